"""How the schema is declared: each type names its domain class and its policy, each field itself.

A policy is the permission that a field asks of its caller. It stands at the field, or at the type
for all fields of it that have none of their own, and is printed as a directive.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING
from enum import StrEnum
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema_directive import Location

AUTHENTICATED = "authenticated"
"""The policy of what any signed-in caller may see, once it may see what it is part of."""

type Guarded = GraphQLObjectType | GraphQLInterfaceType


@strawberry.schema_directive(
    locations=[Location.OBJECT, Location.INTERFACE, Location.FIELD_DEFINITION],
    description=(
        "The permission (an OAuth scope) that a caller needs for a field, or for the fields of a"
        f" type. `{AUTHENTICATED}` asks for a valid token and nothing else."
    ),
)
class Policy:
    """What a field, or every field of a type, requires."""

    requires: str = strawberry.field(description="A permission, as in the `scope` of a token.")


def field(
    description: str,
    *,
    requires: str | None = None,
    resolver: Any = None,
    default: object = MISSING,
) -> Any:
    """Describe a field; without a resolver it is the domain object's attribute of that name."""
    return strawberry.field(
        description=description,
        directives=_policies(requires),
        resolver=resolver,
        default=default,
    )


def subscription(description: str, *, requires: str, resolver: Callable[..., object]) -> Any:
    """Describe a field of the subscription root."""
    return strawberry.subscription(
        description=description, directives=_policies(requires), resolver=resolver
    )


def _policies(requires: str | None) -> list[Policy]:
    return [] if requires is None else [Policy(requires=str(requires))]


def noun[T: type](description: str, *, requires: str, of: type) -> Callable[[T], T]:
    """Declare an object type whose values are objects of a domain class, never copies of them."""

    def declare(cls: T) -> T:
        _represent(cls, of)
        return strawberry.type(cls, description=description, directives=_policies(requires))

    return declare


def _represent(cls: Any, of: type) -> None:
    """Let a domain object pass for its GraphQL type in unions and interfaces."""
    cls.domain = of
    cls.is_type_of = staticmethod(lambda value, _info: isinstance(value, cls.domain))


def interface[T: type](description: str, *, requires: str) -> Callable[[T], T]:
    """Declare an interface."""
    return lambda cls: strawberry.interface(
        cls, description=description, directives=_policies(requires)
    )


def enum(cls: type[StrEnum], description: str, **members: str) -> None:
    """Publish a domain enum in place, each member with its description.

    Raises KeyError for a member without one.
    """
    definition: Any = strawberry.enum(cls, description=description)
    for value in definition.__strawberry_definition__.values:
        value.description = members.pop(value.name)
    if members:
        raise KeyError(f"{cls.__name__} has no {', '.join(members)}")


def policies(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Go through all fields as `Type.field`, each with its policy, or None where it has none."""
    for named in schema.type_map.values():
        if isinstance(named, Guarded.__value__) and not named.name.startswith("__"):
            for name, each in named.fields.items():
                yield f"{named.name}.{name}", _required(each) or _required(named)


def _required(definition: Guarded | GraphQLField) -> str | None:
    """Read the policy off what Strawberry made the definition from."""
    origin = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    stated = (each for each in getattr(origin, "directives", ()) if isinstance(each, Policy))
    return next((policy.requires for policy in stated), None)
