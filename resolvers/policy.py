"""What an operation needs of its caller, found before it runs: deny by default.

One walk over the syntax tree covers fragments, interfaces and aliases; a field counts although a
directive may skip it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    visit,
)

from schema.definition import AUTHENTICATED
from trading.outcome import Forbidden, GatewayError, Unauthenticated
from trading.permission import Permission, Principal

type Needs = Mapping[str, FieldNode]
"""Policies, each with the first field that has it."""

_DENIED = "denied"


class _Fields(Visitor):
    """Collects the policies of the fields below a node, and the fragments that it spreads."""

    def __init__(self, types: TypeInfo, policies: Mapping[str, str]) -> None:
        super().__init__()
        self.types = types
        self.policies = policies
        self.needs: dict[str, FieldNode] = {}
        self.spreads: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        if (policy := self._policy(node.name.value)) is not None:
            self.needs.setdefault(policy, node)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        self.spreads.add(node.name.value)

    def _policy(self, name: str) -> str | None:
        """Return the policy of a field; None where it is free, or its parent was asked already."""
        parent = self.types.get_parent_type()
        if name == "__typename" or (parent is not None and parent.name.startswith("__")):
            return None
        if name.startswith("__"):
            return Permission.SCHEMA_READ
        return self.policies.get(f"{parent}.{name}", _DENIED)


def needs(
    schema: GraphQLSchema,
    policies: Mapping[str, str],
    document: DocumentNode,
    operation: OperationDefinitionNode,
) -> Needs:
    """Collect what an operation of a valid document requires, with all fragments it reaches."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    found: dict[str, FieldNode] = {}
    seen: set[str] = set()
    ahead: list[Node] = [operation]
    while ahead:
        types = TypeInfo(schema)
        fields = _Fields(types, policies)
        visit(ahead.pop(), TypeInfoVisitor(types, fields))
        found = fields.needs | found
        ahead += [fragments[name] for name in sorted(fields.spreads - seen)]
        seen |= fields.spreads
    return found


def refusals(needed: Needs, principal: Principal | None) -> list[GraphQLError]:
    """Return why a caller may not run an operation: one error for each permission it lacks."""
    if principal is None:
        error = Unauthenticated("sign in: send `authorization: Bearer <token>`")
        return [_at(node, error) for node in list(needed.values())[:1]]
    return [
        _at(node, Forbidden(f"{node.name.value}: you lack the permission {policy}"))
        for policy, node in needed.items()
        if not _holds(principal.permissions, policy)
    ]


def _holds(permissions: Collection[Permission], policy: str) -> bool:
    return policy == AUTHENTICATED or policy in permissions


def _at(node: Node, error: GatewayError) -> GraphQLError:
    return GraphQLError(str(error), nodes=node, original_error=error)
