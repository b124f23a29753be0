"""Operations: admitted for their caller, bound to their variables, and run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationType
from graphql.error import located_error
from graphql.execution import create_source_event_stream
from graphql.execution.async_iterables import aclosing
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.pyutils import Undefined
from graphql.utilities import coerce_input_value

from resolvers.bounds import items_of
from resolvers.context import Context
from resolvers.document import ERRORS_MAX, Document, Documents, Operation
from resolvers.errors import InputRefused, publish
from resolvers.executor import LeanExecutor, Leaves
from resolvers.policy import refusals
from trading.permission import Permission, Principal
from trading.ports import IdSource
from trading.reject import InputError


@unique
class Fault(StrEnum):
    """Why an operation is not run."""

    DOCUMENT = "DOCUMENT"
    """It cannot be parsed, is too large, or does not fit the schema."""

    NOT_PERSISTED = "NOT_PERSISTED"
    """No document of that hash is registered for the caller, or it may send no other."""

    OPERATION = "OPERATION"
    """The request does not fit its document, as by naming an operation that is not there."""

    VARIABLES = "VARIABLES"
    """The variables do not fit."""

    FORBIDDEN = "FORBIDDEN"
    """The caller may not run it."""

    SOURCE = "SOURCE"
    """The subscription was refused by what it subscribes to."""


class Refused(Exception):
    """An operation is not run; `errors` are what the client is told, as they are published."""

    def __init__(
        self,
        fault: Fault,
        errors: Sequence[GraphQLError],
        forbidden: Operation | None = None,
    ) -> None:
        """Take what went wrong, and the operation where it is a caller who may not run it."""
        super().__init__("; ".join(error.message for error in errors))
        self.fault = fault
        self.errors = errors
        self.forbidden = forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """Prepares operations of one schema."""

    schema: GraphQLSchema
    documents: Documents
    leaves: Leaves

    def prepare(
        self,
        document: Document,
        operation_name: str | None,
        variables: Mapping[str, Any],
        principal: Principal | None,
        ids: IdSource,
    ) -> Prepared:
        """Admit an operation of a document, and bind it to its variables. Raises Refused."""
        unaided = principal is None or Permission.SCHEMA_READ not in principal.permissions
        if errors := self.documents.errors(document, unaided=unaided):
            raise _refused(Fault.DOCUMENT, errors, document, ids)
        operation = document.operations.get(operation_name)
        if operation is None:
            raise Refused(Fault.OPERATION, [_unresolved(operation_name)])
        if errors := refusals(operation.needs, principal):
            raise Refused(Fault.FORBIDDEN, published(errors, document, ids), operation)
        if errors := _too_long(variables, self.documents.bounds.list_items):
            raise _refused(Fault.VARIABLES, errors, document, ids)
        bound = _bound(operation, variables) or get_variable_values(
            self.schema,
            operation.node.variable_definitions or (),
            cast("dict[str, Any]", variables),
            ERRORS_MAX - 1,
            unaided,
        )
        if isinstance(bound, list):
            raise _refused(Fault.VARIABLES, bound, document, ids)
        return Prepared(
            preparer=self, operation=operation, operation_name=operation_name, variables=bound
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An operation that its caller may run, bound to its variables."""

    preparer: Preparer
    operation: Operation
    operation_name: str | None
    variables: VariableValues

    @property
    def kind(self) -> OperationType:
        """Whether it is a query, a mutation or a subscription."""
        return self.operation.node.operation

    @property
    def document(self) -> Document:
        """The document that it is of."""
        return self.operation.document

    def executor(self, context: Context) -> LeanExecutor:
        """Build what executes it in a context."""
        preparer = self.preparer
        context.rows = self.document.rows
        return LeanExecutor.of(
            preparer.schema, preparer.leaves, self.operation, self.variables, context
        )

    async def run(self, context: Context) -> ExecutionResult:
        """Run a query or mutation; errors are published."""
        return await finished(self.executor(context))

    async def subscribe(self, context: Context) -> Source:
        """Open the source of a subscription. Raises Refused."""
        executor = self.executor(context)
        found = create_source_event_stream(executor)
        stream = await found if executor.is_awaitable(found) else found
        if isinstance(stream, ExecutionResult):
            raise _refused(Fault.SOURCE, stream.errors or (), self.document, context.ids)
        return Source(executor, cast("AsyncIterator[Any]", stream))


@dataclass(frozen=True, slots=True)
class Source:
    """The events of a subscription; each is executed as often as it is asked to."""

    executor: LeanExecutor
    events: AsyncIterator[Any]

    async def respond(self, event: Any) -> ExecutionResult:
        """Execute the selection on an event; errors are published."""
        if (plain := self.executor.plain_event(event)) is not None:
            return ExecutionResult(plain, None)
        return await finished(cast("LeanExecutor", self.executor.build_per_event_executor(event)))

    async def results(self) -> AsyncGenerator[ExecutionResult]:
        """Respond to each event; what breaks the stream is the last result."""
        async with aclosing(self.events):
            try:
                async for event in self.events:
                    yield await self.respond(event)
            except Exception as error:  # noqa: BLE001 - it is masked, and logged
                yield failed(self.executor, error)


async def finished(executor: LeanExecutor) -> ExecutionResult:
    """Run an executor to its end, and publish its errors."""
    try:
        result = await executor.run()
    except Exception as error:  # noqa: BLE001 - it is masked, and logged
        return failed(executor, error)
    if result.errors:
        ids = executor.context_value.ids
        result.errors = published(result.errors, executor.document, ids)
    return result


def failed(executor: LeanExecutor, error: Exception) -> ExecutionResult:
    """Return the result of an operation that an error has ended, which is published."""
    wrapped = located_error(error)
    return ExecutionResult(
        None, published([wrapped], executor.document, executor.context_value.ids)
    )


def published(
    errors: Sequence[GraphQLError], document: Document | None, ids: IdSource
) -> list[GraphQLError]:
    """Put in place of each error what the client is told, of many errors the first."""
    node = document.node if document is not None else None
    told = [publish(error, node, ids) for error in errors[:ERRORS_MAX]]
    if len(errors) > ERRORS_MAX:
        more = f"and {len(errors) - ERRORS_MAX} more errors that are not shown"
        told.append(GraphQLError(more, extensions={"code": "TOO_MANY_ERRORS"}))
    return told


def _too_long(variables: Mapping[str, Any], most: int) -> list[GraphQLError]:
    """Say which variables have longer lists than a document may have in its text."""
    found = [
        InputError((name,), "TOO_LONG", f"has a list of {items}; send {most} at a time at most")
        for name, value in variables.items()
        if isinstance(value, list | dict) and (items := items_of(value)) > most
    ]
    return [GraphQLError(str(each := InputRefused(found)), original_error=each)] if found else []


def _bound(operation: Operation, variables: Mapping[str, Any]) -> VariableValues | None:
    """Bind variables that are all given and right; the others are left to graphql-core."""
    bound = VariableValues({}, {})
    try:
        for each in operation.signatures:
            value = variables.get(each.name, Undefined)
            coerced = Undefined if value is Undefined else coerce_input_value(value, each.type)
            if coerced is Undefined:
                return None
            bound.sources[each.name] = VariableValueSource(each, value)
            bound.coerced[each.name] = coerced
    except RecursionError:
        return None
    return bound


def _refused(
    fault: Fault, errors: Sequence[GraphQLError], document: Document, ids: IdSource
) -> Refused:
    return Refused(fault, published(errors, document, ids))


def _unresolved(name: str | None) -> GraphQLError:
    words = (
        "say by operationName which operation to run"
        if name is None
        else f"there is no operation named {name!r} in the document"
    )
    return GraphQLError(words, extensions={"code": "OPERATION_RESOLUTION_FAILURE"})
