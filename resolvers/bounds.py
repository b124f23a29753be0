"""How large a document may be: measured before anything of it runs, each fragment once.

A fragment that is spread a thousand times is walked once and counted a thousand times, so that a
short document cannot take long to measure. What a document spells wrongly is left to validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NamedTypeNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from trading.outcome import GatewayError

LIST_ROWS = 10
"""The rows that are reckoned for a list that is not asked for in pages."""

_CONNECTION = "Connection"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one operation may have at most; fragments count wherever they are spread.

    `cost` is the number of fields that are expected to be resolved: each once for every row of the
    lists around it.
    """

    tokens: int = 1_000
    depth: int = 12
    aliases: int = 30
    root_fields: int = 20
    fields: int = 500
    directives: int = 50
    list_items: int = 100
    cost: int = 20_000
    rows: int = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How large something is, in the units of `Bounds`."""

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    fields: int = 0
    directives: int = 0
    list_items: int = 0
    cost: int = 0

    def beside(self, other: Size) -> Size:
        """Return the size of both, side by side."""
        return Size(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.root_fields + other.root_fields,
            self.fields + other.fields,
            self.directives + other.directives,
            max(self.list_items, other.list_items),
            self.cost + other.cost,
        )

    def named(self) -> Iterator[tuple[str, int]]:
        """Go through what was measured, by the names of the bounds."""
        return ((each.name, getattr(self, each.name)) for each in fields(self))


class TooLarge(GatewayError):
    """A document exceeds a bound; nothing of it was run."""

    code = "DOCUMENT_TOO_LARGE"


_NOTHING = Size()
_SHOWN_MAX = 1_000_000

type _Parent = GraphQLObjectType | GraphQLInterfaceType | None


class _Measure:
    """Measures the operations of one document."""

    def __init__(self, schema: GraphQLSchema, definitions: Sequence[Node], rows: int) -> None:
        self._schema = schema
        self._rows = rows
        self._fragments = {
            each.name.value: each
            for each in definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, Size] = {}

    def operation(self, node: OperationDefinitionNode) -> Size:
        """Measure an operation."""
        root = self._schema.get_root_type(node.operation)
        size = self._selections(node.selection_set, root)
        return size.beside(Size(directives=len(node.directives or ()), root_fields=0))

    def _selections(self, node: SelectionSetNode, parent: _Parent) -> Size:
        size = _NOTHING
        for each in node.selections:
            size = size.beside(self._selection(each, parent))
        return size

    def _selection(self, node: SelectionNode, parent: _Parent) -> Size:
        own = Size(directives=len(node.directives or ()))
        match node:
            case FieldNode():
                return own.beside(self._field(node, parent))
            case FragmentSpreadNode():
                return own.beside(self._fragment(node.name.value))
            case InlineFragmentNode():
                on = self._type(node.type_condition) if node.type_condition else parent
                return own.beside(self._selections(node.selection_set, on))
            case _:
                return own

    def _fragment(self, name: str) -> Size:
        if name not in self._known:
            # Until it is known it counts for nothing: validation tells of one that spreads itself.
            self._known[name] = _NOTHING
            found = self._fragments.get(name)
            if found is not None:
                on = self._type(found.type_condition)
                size = self._selections(found.selection_set, on)
                self._known[name] = size.beside(Size(directives=len(found.directives or ())))
        return self._known[name]

    def _field(self, node: FieldNode, parent: _Parent) -> Size:
        name = node.name.value
        definition = parent.fields.get(name) if parent is not None else None
        below = _NOTHING
        if node.selection_set is not None and not name.startswith("__"):
            below = self._selections(node.selection_set, _composite(definition))
        rows = self._rows_of(node, definition, parent)
        return Size(
            depth=below.depth + 1,
            aliases=below.aliases + (node.alias is not None),
            root_fields=1,
            fields=below.fields + 1,
            directives=below.directives,
            list_items=max(below.list_items, _items(node)),
            cost=1 + rows * below.cost,
        )

    def _rows_of(self, node: FieldNode, field: GraphQLField | None, parent: _Parent) -> int:
        if field is None:
            return 1
        if "first" in field.args:
            return self._first(node)
        if parent is not None and parent.name.endswith(_CONNECTION):
            return 1  # its rows are counted where the page was asked for
        return LIST_ROWS if is_list_type(get_nullable_type(field.type)) else 1

    def _first(self, node: FieldNode) -> int:
        """Return how many rows a page may come to; a variable may say as many as are allowed."""
        for argument in node.arguments or ():
            if argument.name.value == "first" and isinstance(argument.value, IntValueNode):
                return min(max(int(argument.value.value[:9]), 1), self._rows)
        return self._rows

    def _type(self, node: NamedTypeNode) -> _Parent:
        found = self._schema.get_type(node.name.value)
        return found if isinstance(found, GraphQLObjectType | GraphQLInterfaceType) else None


def _composite(field: GraphQLField | None) -> _Parent:
    named = get_named_type(field.type) if field is not None else None
    return named if isinstance(named, GraphQLObjectType | GraphQLInterfaceType) else None


def _items(node: FieldNode) -> int:
    """Return the length of the longest list among the literals of a field's arguments."""
    longest, ahead = 0, [each.value for each in node.arguments or ()]
    while ahead:
        match ahead.pop():
            case ListValueNode(values=values):
                longest = max(longest, len(values))
                ahead += values
            case ObjectValueNode(fields=inside):
                ahead += [each.value for each in inside]
            case _:
                pass
    return longest


def items_of(value: object) -> int:
    """Return the length of the longest list within a variable's value."""
    longest, ahead = 0, [value]
    while ahead:
        match ahead.pop():
            case list() as values:
                longest = max(longest, len(values))
                ahead += values
            case dict() as inside:
                ahead += inside.values()
            case _:
                pass
    return longest


def refusals(
    schema: GraphQLSchema, definitions: Sequence[Node], bounds: Bounds
) -> list[GraphQLError]:
    """Say what is too large in a document: an error for each bound that an operation exceeds."""
    measure = _Measure(schema, definitions, bounds.rows)
    return [
        GraphQLError(
            f"the document is too large: {name.replace('_', ' ')} {_shown(found)}, of which"
            f" {getattr(bounds, name)} are allowed",
            each,
            original_error=TooLarge(name),
        )
        for each in definitions
        if isinstance(each, OperationDefinitionNode)
        for name, found in measure.operation(each).named()
        if found > getattr(bounds, name)
    ]


def _shown(number: int) -> str:
    """Write a number that fragments may have made longer than anyone wants to read."""
    return str(number) if number < _SHOWN_MAX else f"over {_SHOWN_MAX}"
