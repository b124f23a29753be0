"""Programs that are wrong in one place each: a check of who may do what is dropped.

Dropped are refusals, entitlements, the policies of fields, what a role may not do, the tenant that
a query asks for, the place that a secret is sealed for, and the rules of redaction.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tidy.rules import ROOT

PERMISSIONS = ("tests/gateway/test_permissions.py",)
RESOLVERS = (
    *PERMISSIONS,
    "tests/resolvers/test_policy.py",
    "tests/resolvers/test_query.py",
    "tests/resolvers/test_subscription.py",
)
SECURITY = ("tests/security",)
POSSESSION = ("tests/security/test_possession.py",)
INTROSPECTION = ("tests/security/test_introspection.py",)
LINKS = ("tests/persistence/test_links.py",)


def _all_of(package: str, tests: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Name the same tests for every file of a package."""
    return {f"{package}/{each.name}": tests for each in sorted((ROOT / package).glob("*.py"))}


TESTS: Mapping[str, Sequence[str]] = {
    **_all_of("schema", PERMISSIONS),
    **_all_of("resolvers", RESOLVERS),
    "gateway/telemetry.py": ("tests/gateway/test_telemetry.py",),
    "persistence/audit.py": ("tests/persistence/test_audit.py",),
    "persistence/directory.py": ("tests/persistence/test_directory.py",),
    "persistence/limits.py": ("tests/persistence/test_limits.py",),
    "persistence/link.py": LINKS,
    "persistence/scopes.py": ("tests/persistence/test_scopes.py",),
    "security/authentication.py": SECURITY,
    "security/credentials.py": SECURITY,
    "security/discovery.py": ("tests/security/test_jwks.py",),
    "security/dpop.py": POSSESSION,
    "security/envelope.py": ("tests/security/test_envelope.py",),
    "security/introspection.py": INTROSPECTION,
    "security/issuer.py": INTROSPECTION,
    "security/redaction.py": ("tests/security/test_redaction.py",),
    "security/replays.py": POSSESSION,
    "security/roles.py": (*PERMISSIONS, *SECURITY),
    "security/verifier.py": ("tests/security/test_verifier.py",),
    "serving/websocket.py": ("tests/serving/test_websocket.py",),
    "trading/closing.py": ("tests/trading/test_scopes.py",),
    "trading/controller.py": (
        "tests/trading/test_scopes.py",
        "tests/trading/test_whose_scopes.py",
        "tests/trading/test_controller.py",
    ),
    "trading/desk.py": ("tests/trading/test_desk.py",),
    "trading/limitdesk.py": ("tests/persistence/test_limits.py",),
    "trading/linkdesk.py": LINKS,
    "trading/permission.py": ("tests/trading/test_desk.py", *RESOLVERS),
    "trading/revocation.py": ("tests/trading/test_revocation.py",),
    "trading/store.py": ("tests/persistence/test_limits.py",),
}
"""The files that hold checks, and the tests that must notice when one is gone."""

BESIDE = frozenset(
    {
        "not isinstance(bound, dict)",
        "not isinstance(key, ECKey | OKPKey)",
        "scope in _scopes(order, sent.get(order.id))",
        "sealed is None",
        "sealed.revision > link.revision",
        "after_seq and after_seq > (last := await head())",
        "any(s.reaches(a, whose) for s in scopes)",
        "books.states.state(scope).strictness >= state.strictness",
        "not canceled",
        "row is not None and row.changed_at > request.requested_at",
    }
)
"""What refuses or returns in these files and does not ask who is there, or is asked twice."""

_ASK_WHO = frozenset({"account", "entitlement", "execution", "order", "policy"})
"""The resolvers whose refusals ask who is there; those of others ask for what can be read."""

_REFUSING = {"refuse", "_end"}
_ENTITLED = {"may_read", "may_trade"}
_TELLING = {
    "may_read": "True",
    "may_trade": "True",
    "sees": "True",
    "_holds": "True",
    "_is_awaited": "True",
    "_is_from_here": "True",
    "authenticated": 'b""',
    "_redacted": "text[:_TEXT_MAX]",
}
"""Functions whose answer is a check, and the answer that checks nothing."""

_EVERYTHING = {
    "ROLE_PERMISSIONS": "frozenset(Permission)",
    "RULES": '(re.compile("(?!)"), SHOWN)',
}
"""Tables of which each entry is a rule, and the entry that forbids nothing."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one expression replaced."""

    path: str
    line: int
    was: str
    text: str
    """The whole file, as it is then."""

    @property
    def name(self) -> str:
        """Say where, and what was dropped."""
        return f"{self.path}:{self.line}: {' '.join(self.was.split())}"


def mutants() -> Iterator[Mutant]:
    """Make every mutant of every file."""
    for path in TESTS:
        text = (ROOT / path).read_text(encoding="utf-8")
        tree = ast.parse(text)
        found = [*_found(tree, _rules), *(_found(tree, _checks) if _asks_who(Path(path)) else ())]
        for node, instead in sorted(found, key=lambda each: each[0].lineno):
            mutant = _mutant(path, text, node, instead)
            if mutant.was not in BESIDE:
                yield mutant


def _asks_who(path: Path) -> bool:
    match path.parts[0]:
        case "schema":
            return False
        case "resolvers":
            return path.stem in _ASK_WHO
        case _:
            return True


type _Replaced = Iterator[tuple[ast.expr, str]]


def _found(tree: ast.Module, find: Callable[[ast.AST], _Replaced]) -> _Replaced:
    """Find what may be dropped, and what stands in its place then."""
    for node in ast.walk(tree):
        yield from find(node)


def _checks(node: ast.AST) -> _Replaced:
    """Find checks in what is done."""
    match node:
        case ast.If(test=test, body=[first, *_]) if _refuses(first):
            yield from ((each, "False") for each in _alternatives(test))
        case ast.Call(func=ast.Attribute(attr=name)) if name in _ENTITLED:
            yield node, "True"
        case ast.Call(func=ast.Name(id="visible"), args=[_, account]):
            yield node, ast.unparse(account)
        case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.expr() as value)]) if (
            name in _TELLING
        ):
            yield value, _TELLING[name]
        case ast.comprehension(ifs=[condition]) if "scopes" in ast.unparse(condition):
            yield condition, "True"
        case ast.BinOp(op=ast.Sub(), right=right) if "_withheld" in ast.unparse(right):
            yield right, "frozenset()"
        case ast.Compare(
            left=ast.Attribute(attr="tenant_id"),
            comparators=[ast.Call(func=ast.Attribute(attr="bindparam"))],
        ):
            yield node, "sa.true()"
        case _:
            pass


def _rules(node: ast.AST) -> _Replaced:
    """Find what is laid down: policies of fields, rights of roles, shapes of secrets."""
    match node:
        case ast.keyword(arg="requires", value=ast.Attribute() as policy):
            yield policy, '"authenticated"'
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(values=values)) if (
            name in _EVERYTHING
        ):
            yield from ((value, _EVERYTHING[name]) for value in values)
        case _:
            pass


def _alternatives(test: ast.expr) -> list[ast.expr]:
    """Take a condition apart into those of which each is enough to refuse."""
    match test:
        case ast.BoolOp(op=ast.Or(), values=values):
            return values
        case _:
            return [test]


def _refuses(statement: ast.stmt) -> bool:
    match statement:
        case ast.Raise():
            return True
        case ast.Return(value=ast.Constant(value=None | False)):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in _REFUSING
        case _:
            return False


def _mutant(path: str, text: str, node: ast.expr, instead: str) -> Mutant:
    lines = text.splitlines(keepends=True)
    begin = _offset(lines, node.lineno, node.col_offset)
    end = _offset(lines, node.end_lineno or node.lineno, node.end_col_offset or 0)
    return Mutant(path, node.lineno, text[begin:end], f"{text[:begin]}{instead}{text[end:]}")


def _offset(lines: Sequence[str], line: int, column: int) -> int:
    """Find a place in a text; the syntax tree counts columns in bytes."""
    before = sum(map(len, lines[: line - 1]))
    return before + len(lines[line - 1].encode()[:column].decode())


def packages() -> Iterator[Path]:
    """Name the folders and files that a copy needs to run its tests."""
    for path in sorted(ROOT.iterdir()):
        if (path / "__init__.py").is_file() or path.name in {"pyproject.toml", "schema", "docs"}:
            yield path
