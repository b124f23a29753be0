"""The endpoint's WebSocket side.

It authenticates and carries; what may be asked is decided by the executable schema. The seam for a
hub that executes a shared subscription once is the `streams` port of the context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage

from resolvers.context import Context
from resolvers.root import Schema
from trading.outcome import Unauthenticated
from trading.permission import Principal
from trading.ports import Clock
from trading.store import StoreUnavailable

_INIT_WAIT = timedelta(seconds=5)
_OPERATIONS_MAX = 256
_FORBIDDEN = 4403
_TRY_AGAIN_LATER = 1013
_REASON_MAX = 120
_NS_PER_S = 1_000_000_000

# Starlette and uvicorn say with a RuntimeError that a socket has ended from this side, as all do on
# SIGTERM and those do whose peer is silent. A text on an accepted socket meets no other.
_GONE = (WebSocketDisconnect, RuntimeError)

type Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Turns the value of `authorization` into its principal. Raises Unauthenticated."""

type NewContext = Callable[[Principal | None], Context]


class _TextAdapter(ASGIWebSocketAdapter):
    """Sends text frames: clients of the protocol do not read binary ones."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        text = orjson.dumps(message).decode()
        try:
            await self.ws.send_text(text)
        except _GONE as gone:
            raise WebSocketDisconnected from gone

    async def close(self, code: int, reason: str) -> None:
        with suppress(*_GONE):
            await self.ws.close(code, reason)


class _Handler(BaseGraphQLTransportWSHandler[Context, None]):
    """Authenticates by `connection_init`, and ends the socket when its token ends."""

    view: Endpoint
    expiry: asyncio.TimerHandle | None = None

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        payload: Any = message.get("payload") or {}  # null is allowed, and means none
        if isinstance(payload, dict) and not self.connection_init_received:
            try:
                principal = await self.view.authenticate(payload.get("authorization"))
            except Unauthenticated as refused:
                self.connection_init_received = True
                await self.websocket.close(_FORBIDDEN, str(refused)[:_REASON_MAX])
                return
            except StoreUnavailable:
                self.connection_init_received = True
                await self.websocket.close(_TRY_AGAIN_LATER, "the store is down")
                return
            self.context.principal = principal
            self.expiry = self._end_with(principal)
        await super().handle_connection_init({"type": "connection_init", "payload": payload})

    def _end_with(self, principal: Principal) -> asyncio.TimerHandle:
        left = principal.expires_at - self.view.clock.now()
        return asyncio.get_running_loop().call_later(max(left, 0) / _NS_PER_S, self._expire)

    def _expire(self) -> None:
        # The common client tries again after 4403, with a new token; after 4401 it gives up.
        self.closing = asyncio.ensure_future(self.websocket.close(_FORBIDDEN, "token expired"))

    async def handle_task_exception(self, error: Exception) -> None:
        """Log a defect. A peer that has gone while it was sent something is none."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def shutdown(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        await super().shutdown()

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:  # noqa: ARG004
        """Answer a faulty document with an error: it must not end the socket's other operations."""
        return None


class Endpoint(GraphQL[Context, None]):
    """Strawberry's ASGI view of sockets with our codec and our authentication."""

    websocket_adapter_class = _TextAdapter
    graphql_transport_ws_handler_class = _Handler

    def __init__(
        self,
        schema: Schema,
        *,
        authenticate: Authenticate,
        new_context: NewContext,
        clock: Clock,
    ) -> None:
        """Take who authenticates."""
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=_INIT_WAIT,
            max_subscriptions_per_connection=_OPERATIONS_MAX,
        )
        self.authenticate = authenticate
        self.clock = clock
        self._new_context = new_context

    async def get_context(
        self,
        request: Request | WebSocket,  # noqa: ARG002
        response: Response | WebSocket,  # noqa: ARG002
    ) -> Context:
        """Make the context of a socket that has yet to authenticate."""
        return self._new_context(None)

    def decode_json(self, data: str | bytes) -> object:
        """Decode a message; orjson takes neither NaN nor nesting without end."""
        return orjson.loads(data)
