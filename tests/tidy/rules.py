"""The house rules that no linter knows, each a function from a syntax tree to what breaks it."""

import ast
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "trading",
    "risk",
    "brokers",
    "persistence",
    "events",
    "schema",
    "resolvers",
    "serving",
    "security",
    "gateway",
)
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN_MAX = 8
FILE_LINES_MAX = 400

type Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file of ours: its path from the root, its text and its syntax tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        """Parse a text as the file of that path."""
        return cls(PurePosixPath(path), text, ast.parse(text, path))

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.parts[0]


type Finding = tuple[int, str]
type Rule = Callable[[Source], Iterator[Finding]]


@cache
def product() -> tuple[Source, ...]:
    """Read every module of the packages, once for all rules."""
    return tuple(
        Source.of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    )


def functions(source: Source) -> Iterator[Function]:
    """Walk the functions and methods of a module, nested ones too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: Function) -> int:
    """Count a function's lines, from its def to its last, docstring and all."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def median_length(sources: Iterable[Source]) -> float:
    """Find the median length of all functions, in lines."""
    return statistics.median(length(f) for source in sources for f in functions(source))


def short_functions(source: Source) -> Iterator[Finding]:
    """Find functions over 70 lines."""
    for node in functions(source):
        if length(node) > FUNCTION_LINES_MAX:
            yield node.lineno, f"{node.name} has {length(node)} lines"


def short_files(source: Source) -> Iterator[Finding]:
    """Find a file over 400 lines; a migration tells a story and may be long."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX and source.path.parts[:2] != ("persistence", "migrations"):
        yield lines, f"the file has {lines} lines"


def documented(source: Source) -> Iterator[Finding]:
    """Find a public module without a docstring."""
    private = source.path.stem.startswith("_") and source.path.stem != "__init__"
    if not private and ast.get_docstring(source.tree) is None:
        yield 1, "the module has no docstring"


def no_floats(source: Source) -> Iterator[Finding]:
    """Find floats where money is counted.

    Naming the type in order to refuse it is allowed, and so is a duration that says so in its
    name: `seconds`, or anything that ends in `_s`.
    """
    if source.package not in {"trading", "risk", "persistence", "schema"}:
        return
    nodes = list(ast.walk(source.tree))
    allowed = {id(each) for node in nodes for part in _floats_allowed(node) for each in _all(part)}
    for node in nodes:
        if id(node) in allowed:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"the float {node.value}"
        elif isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "the type float"
        elif isinstance(node, ast.Constant) and node.value == "float":
            yield node.lineno, "the type float, quoted"


def _all(node: ast.AST | None) -> Iterator[ast.AST]:
    return iter(()) if node is None else ast.walk(node)


def _floats_allowed(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yield the parts of a node in which a float counts no money."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, classes]):
            yield classes
        case ast.MatchClass(cls=cls):
            yield cls
        case ast.arg(arg=name, annotation=part) | ast.keyword(arg=str(name), value=part):
            yield part if _is_duration(name) else None
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            yield from (annotation, value) if _is_duration(name) else ()
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield value if _is_duration(name) else None
        case _:
            pass


def _is_duration(name: str) -> bool:
    return name == "seconds" or name.lower().endswith("_s")


# Only gateway/ may touch these. A trailing dot stands for the whole module.
NONDETERMINISM = (
    "time.",
    "random.",
    "secrets.",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid.uuid6",
    "uuid.uuid7",
    "os.environ",
    "os.getenv",
    "os.putenv",
    "os.urandom",
)


def no_nondeterminism(source: Source) -> Iterator[Finding]:
    """Find clocks, randomness and environment read past the ports; a seeded Random is allowed."""
    if source.package == "gateway":
        return
    aliases = _aliases(source.tree)
    unseeded = {id(node.func) for node in _calls(source) if not node.args and not node.keywords}
    for node in ast.walk(source.tree):
        name = _qualified(node, aliases)
        if name == "random.Random" and id(node) not in unseeded:
            continue
        if name is not None and _is_nondeterministic(name):
            yield getattr(node, "lineno", 0), name


def _calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _is_nondeterministic(name: str) -> bool:
    return any(
        name.startswith(banned) if banned.endswith(".") else f"{name}.".startswith(f"{banned}.")
        for banned in NONDETERMINISM
    )


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Map each imported name to what it stands for, wherever in the file it is imported."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                root = name.name.partition(".")[0]
                aliases[name.asname or root] = name.name if name.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for name in node.names:
                aliases[name.asname or name.name] = f"{node.module}.{name.name}"
    return aliases


def _qualified(node: ast.AST, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _qualified(node.value, aliases)
        return None if base is None else f"{base}.{node.attr}"
    return None


def approval_in_the_gate(source: Source) -> Iterator[Finding]:
    """Find an ApprovedOrder or ApprovedReplace made anywhere but in the risk gate."""
    if source.path == PurePosixPath("risk/gate.py"):
        return
    for node in _calls(source):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in {"ApprovedOrder", "ApprovedReplace"}:
            yield node.lineno, f"makes an {name}"


def standard_library_only(source: Source) -> Iterator[Finding]:
    """Find what trading/ imports beside itself and the standard library."""
    if source.package != "trading":
        return
    for node in ast.walk(source.tree):
        for module in _imported(node):
            if module.partition(".")[0] not in {"trading", *sys.stdlib_module_names}:
                yield getattr(node, "lineno", 0), f"imports {module}"


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield node.module or ""


RULES: tuple[Rule, ...] = (
    short_functions,
    short_files,
    documented,
    no_floats,
    no_nondeterminism,
    approval_in_the_gate,
    standard_library_only,
)
