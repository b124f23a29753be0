"""Every operation of the schema, with arguments that fit it, made from the schema itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)

SAMPLES: Mapping[str, Any] = {
    "ID": "sample",
    "String": "sample",
    "Int": 1,
    "Boolean": False,
    "Decimal": "1",
    "DateTime": "2100-01-01T00:00:00Z",
    "Sequence": "0",
}
NAMED: Mapping[str, Any] = {"symbol": "AAPL", "symbols": ["AAPL"], "price": "150", "first": 1}
"""What fits a field by its name, where its type alone says too little."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One operation with variables; `name` is `Query.orders`."""

    name: str
    text: str
    variables: Mapping[str, Any]
    accounts: tuple[tuple[str, ...], ...]
    """Where an account's id goes: paths into the variables, those that may be left out too."""

    def of_account(self, path: tuple[str, ...], account_id: str) -> dict[str, Any]:
        """Return the variables with this account at a path."""
        found: dict[str, Any] = _put(dict(self.variables), path, account_id)
        return found


def samples(schema: GraphQLSchema) -> Iterator[Sample]:
    """Make a sample of every field of the roots."""
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        assert root is not None
        for name, field in root.fields.items():
            yield _sample(root, name, field)


def _sample(root: GraphQLObjectType, name: str, field: GraphQLField) -> Sample:
    variables, accounts, declared, given = {}, [], [], []
    for arg, definition in field.args.items():
        is_account = (name, arg) == ("account", "id")
        found = [(arg, *path) for path in _accounts(arg, definition.type)]
        found += [(arg,)] if is_account else []
        if not is_required_argument(definition) and not found:
            continue
        accounts += found
        declared.append(f"${arg}: {definition.type}")
        given.append(f"{arg}: ${arg}")
        if is_required_argument(definition):
            variables[arg] = value(arg, definition.type)
    head = f"({', '.join(declared)})" if declared else ""
    called = f"({', '.join(given)})" if given else ""
    kind = root.name.lower()
    text = f"{kind}{head} {{ it: {name}{called}{_selection(field)} }}"
    return Sample(f"{root.name}.{name}", text, variables, tuple(accounts))


def _selection(field: GraphQLField) -> str:
    named = get_named_type(field.type)
    composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
    return " { __typename }" if isinstance(named, composite) else ""


def value(name: str, of: GraphQLInputType) -> Any:
    """Make a value that fits a type, of required fields alone."""
    bare = get_nullable_type(of)
    if name in NAMED:
        return NAMED[name]
    if is_list_type(bare):
        return [value(name, bare.of_type)]
    match bare:
        case GraphQLEnumType():
            return next(iter(bare.values))
        case GraphQLInputObjectType():
            fields = {n: f.type for n, f in bare.fields.items() if is_required_input_field(f)}
            if bare.is_one_of:
                fields = dict([next((n, f.type) for n, f in bare.fields.items())])
            return {each: value(each, type_) for each, type_ in fields.items()}
        case _:
            return SAMPLES[getattr(bare, "name", "")]


def _accounts(name: str, of: GraphQLInputType) -> Iterator[tuple[str, ...]]:
    """Find where below an argument an account's id may stand."""
    named = get_named_type(of)
    if name == "accountId":
        yield ()
    elif isinstance(named, GraphQLInputObjectType):
        for each, field in named.fields.items():
            yield from ((each, *path) for path in _accounts(each, field.type))


def _put(into: Any, path: tuple[str, ...], account_id: str) -> Any:
    """Put an account's id at a path, in the first item of a list, and in place of its like."""
    if not path:
        return account_id
    if isinstance(into, list):
        return [_put(into[0] if into else {}, path, account_id)]
    inside = dict(into or {})
    if path == ("accountId",) and set(inside) <= {"tenantId", "all", "broker", "accountId"}:
        inside = {}  # a scope names one thing
    return inside | {path[0]: _put(inside.get(path[0]), path[1:], account_id)}
