"""Which class of traffic an operation belongs to, and how much of it it is."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
)

from resolvers.document import Operation
from resolvers.operation import Prepared
from security.rates import Traffic

LESS_RISK = frozenset({"cancelOrder", "cancelAllOrders", "setTradingState"})
"""The mutations that nothing else of their caller may hold up."""


def classed(prepared: Prepared) -> tuple[Traffic, int]:
    """Return the class, and how many fields of the root there are: aliases count as operations."""
    fields = roots(prepared.operation)
    match prepared.kind:
        case OperationType.QUERY:
            return Traffic.READ, 1
        case OperationType.SUBSCRIPTION:
            return Traffic.SUBSCRIBE, 1
        case OperationType.MUTATION:
            only_less = all(each in LESS_RISK for each in fields)
            return Traffic.CANCEL if only_less else Traffic.ORDER, len(fields)


def roots(operation: Operation) -> list[str]:
    """Return the names of an operation's root fields, one for each alias."""
    return list(_fields(operation, operation.node.selection_set))


def _fields(operation: Operation, selected: SelectionSetNode) -> Iterator[str]:
    """Go through the root's fields; a valid document has no fragment within itself."""
    for each in selected.selections:
        match each:
            case FieldNode():
                yield each.name.value
            case InlineFragmentNode():
                yield from _fields(operation, each.selection_set)
            case FragmentSpreadNode():
                fragment = operation.document.fragment_definitions[each.name.value]
                yield from _fields(operation, fragment.selection_set)
            case _:
                raise AssertionError(f"a selection of another kind: {each.kind}")
