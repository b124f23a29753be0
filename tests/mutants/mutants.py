"""Programs that are wrong in one place each: a check of who may do what is dropped."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tidy.rules import ROOT

RESOLVERS = (
    "tests/resolvers/test_query.py",
    "tests/resolvers/test_subscription.py",
    "tests/resolvers/test_policy.py",
)
SECURITY = ("tests/security",)
TESTS: Mapping[str, Sequence[str]] = {
    "security/authentication.py": SECURITY,
    "security/credentials.py": SECURITY,
    "security/discovery.py": ("tests/security/test_jwks.py",),
    "security/dpop.py": ("tests/security/test_possession.py",),
    "security/introspection.py": ("tests/security/test_introspection.py",),
    "security/issuer.py": ("tests/security/test_introspection.py",),
    "security/replays.py": ("tests/security/test_possession.py",),
    "security/roles.py": SECURITY,
    "security/verifier.py": ("tests/security/test_verifier.py",),
    "resolvers/account.py": RESOLVERS,
    "resolvers/entitlement.py": RESOLVERS,
    "resolvers/execution.py": RESOLVERS,
    "resolvers/order.py": RESOLVERS,
    "resolvers/policy.py": RESOLVERS,
    "serving/websocket.py": ("tests/serving/test_websocket.py",),
    "trading/controller.py": (
        "tests/trading/test_scopes.py",
        "tests/trading/test_whose_scopes.py",
        "tests/trading/test_controller.py",
    ),
    "trading/desk.py": ("tests/trading/test_desk.py",),
    "trading/limitdesk.py": ("tests/persistence/test_limits.py",),
    "trading/permission.py": ("tests/trading/test_desk.py", *RESOLVERS),
    "trading/revocation.py": ("tests/trading/test_revocation.py",),
}
"""The files that hold checks, and the tests that must notice when one is gone."""

BESIDE = frozenset(
    {
        "after_seq and after_seq > (last := await head())",
        "any(s.reaches(a, whose) for s in scopes)",
        "books.states.state(scope).strictness >= state.strictness",
        "not canceled",
        "row is not None and row.changed_at > request.requested_at",
    }
)
"""What refuses or returns in these files and does not ask who is there."""

_REFUSING = {"refuse", "_end"}
_ENTITLED = {"may_read", "may_trade"}


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
        for node, instead in sorted(_replaced(ast.parse(text)), key=lambda each: each[0].lineno):
            mutant = _mutant(path, text, node, instead)
            if mutant.was not in BESIDE:
                yield mutant


def _replaced(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Find what may be dropped, and what stands in its place then."""
    for node in ast.walk(tree):
        match node:
            case ast.If(test=test, body=[first, *_]) if _refuses(first):
                yield test, "False"
            case ast.Call(func=ast.Attribute(attr=name)) if name in _ENTITLED:
                yield node, "True"
            case ast.Call(func=ast.Name(id="visible"), args=[_, account]):
                yield node, ast.unparse(account)
            case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.expr() as value)]) if (
                name in _ENTITLED | {"_holds", "_is_from_here"}
            ):
                yield value, "True"
            case ast.comprehension(ifs=[condition]) if "scopes" in ast.unparse(condition):
                yield condition, "True"
            case ast.BinOp(op=ast.Sub(), right=right) if "_withheld" in ast.unparse(right):
                yield right, "frozenset()"
            case _:
                pass


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
