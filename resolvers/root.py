"""The executable schema: every operation is parsed, validated and admitted before it runs."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, cast

import strawberry
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationType,
    Undefined,
)
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.execution import ExecutionResult, PreExecutionError

from resolvers.account import AccountQuery, AccountSubscription
from resolvers.audit import AuditQuery
from resolvers.bounds import Bounds
from resolvers.context import Context
from resolvers.control import ControlMutation, ControlQuery, ControlSubscription
from resolvers.document import Documents
from resolvers.execution import ExecutionQuery, ExecutionSubscription
from resolvers.executor import leaves, mend_attributes
from resolvers.inputs import prepare_inputs
from resolvers.limits import LimitMutation, LimitQuery
from resolvers.link import LinkMutation, LinkQuery
from resolvers.operation import Prepared, Preparer, Refused
from resolvers.order import OrderMutation, OrderQuery
from resolvers.quote import QuoteQuery, QuoteSubscription
from resolvers.revocation import RevocationMutation
from resolvers.viewer import ViewerQuery
from schema.definition import policies
from schema.execution import ExecutionReport, OrderCancelReject
from schema.scalar import SCALARS


@strawberry.type(description="What can be asked.")
class Query(
    ViewerQuery,
    AccountQuery,
    OrderQuery,
    ExecutionQuery,
    QuoteQuery,
    ControlQuery,
    LimitQuery,
    AuditQuery,
    LinkQuery,
):
    pass


@strawberry.type(description="What can be done.")
class Mutation(OrderMutation, ControlMutation, LimitMutation, RevocationMutation, LinkMutation):
    pass


@strawberry.type(description="What can be followed.")
class Subscription(
    ExecutionSubscription, QuoteSubscription, AccountSubscription, ControlSubscription
):
    pass


class Schema(strawberry.Schema):
    """The schema that runs. Raises ValueError when it is made with a field without a policy.

    Strawberry declares it; `prepare` and what it returns run it. `execute` and `stream` do the same
    for callers that know Strawberry's schemas, so that no way leads around a policy.
    """

    def __init__(self, bounds: Bounds | None = None, **types: Any) -> None:
        """Build it of other root types than ours only in tests."""
        super().__init__(
            **({"query": Query, "mutation": Mutation, "subscription": Subscription} | types),
            types=[ExecutionReport, OrderCancelReject],
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        _mend_inputs(self._schema)
        mend_attributes(self._schema)
        prepare_inputs(self._schema, self.config)
        self.policies = _complete(policies(self._schema))
        self.documents = Documents(self._schema, self.policies, bounds)
        self._preparer = Preparer(
            schema=self._schema, documents=self.documents, leaves=leaves(self._schema)
        )
        self.prepare = self._preparer.prepare

    async def execute(  # type: ignore[override]  # what else Strawberry takes, nobody gives
        self,
        query: str,
        variable_values: dict[str, Any] | None = None,
        context_value: Context | None = None,
        operation_name: str | None = None,
    ) -> ExecutionResult:
        """Run a query or mutation, and return what is wrong with it as its result."""
        context = cast("Context", context_value)
        try:
            prepared = self._prepared(query, variable_values, context, operation_name)
            result = await prepared.run(context)
        except Refused as refused:
            return ExecutionResult(None, list(refused.errors))
        return ExecutionResult(result.data, result.errors)

    async def stream(  # type: ignore[override]  # as above
        self,
        query: str,
        variable_values: dict[str, Any] | None = None,
        context_value: Context | None = None,
        operation_name: str | None = None,
        **_: object,
    ) -> AsyncGenerator[ExecutionResult]:
        """Run any operation, and iterate over its results; the last one may be an error."""
        context = cast("Context", context_value)
        return self._results(query, variable_values, context, operation_name)

    async def _results(
        self, query: str, variables: dict[str, Any] | None, context: Context, name: str | None
    ) -> AsyncGenerator[ExecutionResult]:
        try:
            prepared = self._prepared(query, variables, context, name)
            if prepared.kind is not OperationType.SUBSCRIPTION:
                result = await prepared.run(context)
                yield ExecutionResult(result.data, result.errors)
                return
            source = await prepared.subscribe(context)
        except Refused as refused:
            yield PreExecutionError(None, list(refused.errors))
            return
        async with aclosing(source.results()) as results:
            async for result in results:
                yield ExecutionResult(result.data, result.errors)

    def _prepared(
        self, query: str, variables: dict[str, Any] | None, context: Context, name: str | None
    ) -> Prepared:
        document = self.documents.get(query)
        return self.prepare(document, name, variables or {}, context.principal, context.ids)


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
