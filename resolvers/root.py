"""The executable schema: every operation is parsed, validated and admitted before it runs."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

import strawberry
from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    get_operation_ast,
    parse,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import ExecutionContext

from resolvers.account import AccountQuery, AccountSubscription
from resolvers.control import ControlMutation, ControlSubscription
from resolvers.errors import publish
from resolvers.execution import ExecutionQuery, ExecutionSubscription
from resolvers.order import OrderMutation, OrderQuery
from resolvers.policy import Needs, needs, refusals
from resolvers.quote import QuoteQuery, QuoteSubscription
from resolvers.viewer import ViewerQuery
from schema.definition import policies
from schema.execution import ExecutionReport, OrderCancelReject
from schema.scalar import SCALARS

type Rules = tuple[type[ASTValidationRule], ...]

TOKENS_MAX = 1_000
# A document of that many tokens takes less than a megabyte, so this bounds the memory as well.
DOCUMENTS_MAX = 128


@strawberry.type(description="What can be asked.")
class Query(ViewerQuery, AccountQuery, OrderQuery, ExecutionQuery, QuoteQuery):
    pass


@strawberry.type(description="What can be done.")
class Mutation(OrderMutation, ControlMutation):
    pass


@strawberry.type(description="What can be followed.")
class Subscription(
    ExecutionSubscription, QuoteSubscription, AccountSubscription, ControlSubscription
):
    pass


_UNCLEAR = CannotGetOperationTypeError(None)


class Admission(SchemaExtension):
    """Parses and validates, from a cache, and refuses what the caller may not do."""

    def on_parse(self) -> Iterator[None]:
        """Take the document from the cache; a syntax error is left to the ordinary parser."""
        context = self.execution_context
        context.parse_options = {"max_tokens": TOKENS_MAX}
        if context.query is not None and context.graphql_document is None:
            context.graphql_document = _of(context).parsed(context.query)
        yield

    def on_validate(self) -> Iterator[None]:
        """Set the errors before the operation is validated anew, so that it is not."""
        context = self.execution_context
        if context.graphql_document is not None and not context.pre_execution_errors:
            principal = getattr(context.context, "principal", None)
            errors = _of(context).validated(context.graphql_document, context.validation_rules)
            context.pre_execution_errors = (
                list(errors)
                or _ambiguity(context)
                or refusals(
                    _of(context).needed(context.graphql_document, context.operation_name), principal
                )
            )
        yield


def _ambiguity(context: ExecutionContext) -> list[GraphQLError]:
    """Refuse to choose among operations: Strawberry would run the first, whatever was meant."""
    document = context.graphql_document
    named = context._provided_operation_name is not None  # noqa: SLF001 - it has no public name
    if document is None or named or get_operation_ast(document) is not None:
        return []
    return [GraphQLError("say by operationName which operation to run", original_error=_UNCLEAR)]


def _of(context: ExecutionContext) -> "Schema":
    return cast("Schema", context.schema)


class Schema(strawberry.Schema):
    """The schema that runs. Raises ValueError when it is made with a field without a policy."""

    def __init__(self, **types: Any) -> None:
        """Build it of other root types than ours only in tests."""
        super().__init__(
            **({"query": Query, "mutation": Mutation, "subscription": Subscription} | types),
            types=[ExecutionReport, OrderCancelReject],
            extensions=[Admission],
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        _mend_inputs(self._schema)
        self.policies = _complete(policies(self._schema))
        self.parsed = lru_cache(DOCUMENTS_MAX)(_parse)
        self.validated = lru_cache(DOCUMENTS_MAX)(self._validate)
        self.needed = lru_cache(DOCUMENTS_MAX)(self._needs)

    def _validate(self, document: DocumentNode, rules: Rules) -> tuple[GraphQLError, ...]:
        return tuple(validate(self._schema, document, rules))

    def _needs(self, document: DocumentNode, operation_name: str | None) -> Needs:
        operation = get_operation_ast(document, operation_name)
        if operation is None:
            raise LookupError(f"the document has no one operation {operation_name}")
        return needs(self._schema, self.policies, document, operation)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Put in place of each error what the client is told; every result passes here once."""
        if execution_context is None:
            raise TypeError("errors are published within an operation")
        document, ids = execution_context.graphql_document, execution_context.context.ids
        errors[:] = [publish(error, document, ids) for error in errors]


def _parse(query: str) -> DocumentNode | None:
    try:
        return parse(query, max_tokens=TOKENS_MAX)
    except GraphQLError:
        return None


def _complete(found: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Check that every field has a policy."""
    known = dict(found)
    if without := [name for name, policy in known.items() if policy is None]:
        raise ValueError(f"state what these fields require: {', '.join(without)}")
    return {name: policy for name, policy in known.items() if policy is not None}


def _mend_inputs(schema: GraphQLSchema) -> None:
    """Publish `price: Decimal`, not `price: Decimal = null`: the same, said plainly.

    And have @oneOf checked by graphql-core, which says where it was broken: Strawberry does not.
    """
    for named in schema.type_map.values():
        match named:
            case GraphQLInputObjectType():
                declared = named.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
                named.is_one_of = declared.is_one_of
                values = list(named.fields.values())
            case GraphQLObjectType() | GraphQLInterfaceType():
                values = [arg for each in named.fields.values() for arg in each.args.values()]
            case _:
                continue
        for value in values:
            if value.default_value is None:
                value.default_value = Undefined


def sdl() -> str:
    """Print the schema: the public contract."""
    return print_schema(Schema()) + "\n"
