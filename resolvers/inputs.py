"""Input objects: how each is read is found once, not for every request anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLSchema, get_nullable_type, is_leaf_type
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryObjectDefinition

type Read = Callable[[type, Mapping[str, Any], InputContext], Any]


def prepare_inputs(schema: GraphQLSchema, config: StrawberryConfig) -> None:
    """Have Strawberry make input objects by a plan, where it would look everything up each time."""
    for named in schema.type_map.values():
        if isinstance(named, GraphQLInputObjectType):
            declared = named.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
            declared.from_input = _reader(named, declared, config)


def _reader(
    named: GraphQLInputObjectType, declared: StrawberryObjectDefinition, config: StrawberryConfig
) -> Read:
    """Make what reads an input: leaves as they are, whatever has parts by Strawberry's own way."""
    plan = []
    left_out: dict[str, Any] = {}
    for field in declared.fields:
        name = config.name_converter.from_field(field)
        is_leaf = is_leaf_type(get_nullable_type(named.fields[name].type))
        kind = None if is_leaf else field.resolve_type(type_definition=declared)
        plan.append((name, field.python_name, kind))
        if field.default_value is MISSING and field.default_factory is MISSING:
            left_out[field.python_name] = None

    def read(cls: type, value: Mapping[str, Any], context: InputContext) -> Any:
        values = left_out.copy()
        for name, attribute, kind in plan:
            if name in value:
                given = value[name]
                values[attribute] = given if kind is None else context.convert(given, kind, name)
        return cls(**values)

    return read
