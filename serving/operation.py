"""From a request to an operation that may run: the same over HTTP and over a WebSocket.

A request names its document by text or by hash. What is prepared is admitted for its caller, bound
to its variables, and runs under a deadline; what is refused says so in errors that are published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.error import located_error

from resolvers.context import Context
from resolvers.document import Document, sha256
from resolvers.operation import Fault, Prepared, Refused, published
from resolvers.root import Schema
from security.credentials import Credentials
from security.rates import Rates
from serving.document import Registry
from serving.refusals import Refusals
from serving.tracing import Errors
from serving.traffic import classed
from trading.outcome import OutcomeUnknown
from trading.permission import Principal
from trading.ports import IdSource
from trading.probe import NO_PROBE, Probe

__all__ = [
    "Authenticate",
    "Fault",
    "Malformed",
    "Operations",
    "Prepared",
    "Refused",
    "Request",
    "encode",
    "encode_refusal",
    "refusal",
]

DEADLINE_S = 30.0
"""How long a query or mutation may take, in seconds."""

type Authenticate = Callable[[Credentials], Awaitable[Principal]]
"""Turns what a caller shows into its principal. Raises Unauthenticated."""


class Malformed(Exception):
    """A request is none: it says which member is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for, by the text of a document or by its hash."""

    query: str | None = None
    document_id: str | None = None
    """`sha256:` and the hash in hexadecimal."""
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: object) -> Request:
        """Read the parameters of GraphQL over HTTP, or a `subscribe` payload. Raises Malformed."""
        if not isinstance(parameters, dict):
            raise Malformed("The request must be a JSON object with a query")
        request = cls(
            query=_member(parameters, "query", str, "a string"),
            document_id=_document_id(parameters),
            operation_name=_member(parameters, "operationName", str, "a string, or left out"),
            variables=_member(parameters, "variables", dict, "an object, or left out") or {},
        )
        if not request.query and not request.document_id:
            raise Malformed("The request must be a JSON object with a query, or with a documentId")
        return request


def _member[T](parameters: Mapping[str, Any], name: str, kind: type[T], words: str) -> T | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, kind):
        raise Malformed(f"The parameter {name} of the operation must be {words}")
    return value


def _document_id(parameters: Mapping[str, Any]) -> str | None:
    given = _member(parameters, "documentId", str, "a string")
    extensions = _member(parameters, "extensions", dict, "an object, or left out") or {}
    apollo = extensions.get("persistedQuery")
    if given is not None or apollo is None:
        return given
    match apollo:
        case {"version": 1, "sha256Hash": str() as digest}:
            return f"sha256:{digest}"
        case _:
            raise Malformed(
                "extensions.persistedQuery must have the version 1 and a string sha256Hash"
            )


class Operations:
    """Prepares and runs what clients ask for."""

    def __init__(
        self,
        schema: Schema,
        *,
        registry: Registry,
        new_context: Callable[[Principal], Context],
        ids: IdSource,
        rates: Rates,
        refusals: Refusals,
        deadline_s: float = DEADLINE_S,
        probe: Probe = NO_PROBE,
    ) -> None:
        """Take the schema that runs, what is registered, and what makes an operation's context."""
        self._rates, self._refusals = rates, refusals
        self.probe = probe
        self.schema = schema
        self._registry = registry
        self.new_context = new_context
        self._ids = ids
        self._deadline_s = deadline_s
        self._running: set[asyncio.Task[ExecutionResult]] = set()

    async def prepare(self, request: Request, principal: Principal, address: str) -> Prepared:
        """Find, admit and bind an operation of a caller at an address. Raises Refused."""
        document = self._document(request, principal.client_id)
        try:
            return self.schema.prepare(
                document, request.operation_name, request.variables, principal, self._ids
            )
        except Refused as refused:
            await self._refusals.record(refused, principal, address)
            raise

    async def admit(self, prepared: Prepared, principal: Principal) -> None:
        """Count an operation as its caller's. Raises RateExceeded."""
        await self._rates.admit(principal, *classed(prepared))

    def _document(self, request: Request, client_id: str) -> Document:
        """Find what a request names. Raises Refused."""
        registry, query = self._registry, request.query
        if request.document_id is not None:
            if query is not None and request.document_id != f"sha256:{sha256(query)}":
                words = "the hash must be that of the query which is sent along"
                raise Refused(Fault.OPERATION, [_coded(words, "BAD_REQUEST")])
            found = registry.find(client_id, request.document_id)
            if found is not None:
                return found
            if query is None:
                words = f"no document is registered as {request.document_id}"
                raise Refused(Fault.NOT_PERSISTED, [_coded(words, "PERSISTED_QUERY_NOT_FOUND")])
        if query is None or registry.is_bound(client_id):
            words = f"the client {client_id} may send registered documents alone, by their hash"
            raise Refused(Fault.NOT_PERSISTED, [_coded(words, "PERSISTED_QUERY_REQUIRED")])
        return self.schema.documents.get(query)

    async def run(self, prepared: Prepared, context: Context) -> ExecutionResult:
        """Run a query or mutation until its deadline; errors are published.

        A mutation that is late goes on: what it has begun must come to its end.
        """
        if prepared.kind is OperationType.MUTATION:
            return await self._mutate(prepared, context)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await prepared.run(context)
        except TimeoutError:
            words = f"the query took more than {self._deadline_s:g} seconds: ask for less"
            return ExecutionResult(None, [_coded(words, "DEADLINE_EXCEEDED")])

    async def _mutate(self, prepared: Prepared, context: Context) -> ExecutionResult:
        # Begun here and now: most of it needs no other turn of the loop.
        task = asyncio.Task(
            prepared.run(context), loop=asyncio.get_running_loop(), eager_start=True
        )
        if task.done():
            return task.result()
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait((task,), timeout=self._deadline_s)
        if task.done():
            return task.result()
        words = f"no outcome within {self._deadline_s:g} seconds: ask again with the same id"
        return ExecutionResult(None, [_coded(words, OutcomeUnknown.code)])


def _coded(words: str, code: str) -> GraphQLError:
    return GraphQLError(words, extensions={"code": code})


def refusal(error: Exception, ids: IdSource) -> Errors:
    """Publish what ends an operation: what nobody expected is masked, with an id that is logged."""
    return [each.formatted for each in published([located_error(error)], None, ids)]


def encode(result: ExecutionResult) -> bytes:
    """Write a result as JSON."""
    if not result.errors:
        return orjson.dumps({"data": result.data})
    errors = [error.formatted for error in result.errors]
    return orjson.dumps({"errors": errors, "data": result.data})


def encode_refusal(refused: Refused) -> bytes:
    """Write why an operation did not run: without data, since there was none to be had."""
    return orjson.dumps({"errors": [error.formatted for error in refused.errors]})
