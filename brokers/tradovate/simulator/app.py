"""Tradovate's REST API and its sockets over the simulator, as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from brokers.paper.venue import NoAnswer
from brokers.tradovate.simulator.api import TICKET, Api
from brokers.tradovate.simulator.simulator import Simulator
from brokers.tradovate.simulator.streams import Streams
from brokers.tradovate.simulator.terms import Refused
from brokers.tradovate.simulator.wire import read, written

_LOOK_S = 0.1
_BEARER = "bearer "


class Application:
    """Carries requests over HTTP to the endpoints."""

    def __init__(self, simulator: Simulator) -> None:
        """Take the simulator."""
        self._simulator = simulator
        self._api = Api(simulator)

    def made(self) -> Starlette:
        """Put all routes together."""
        streams = Streams(self._simulator, self._api)
        return Starlette(
            routes=[
                WebSocketRoute("/v1/websocket", streams.serve),
                Route("/v1/{name:path}", self._handle, methods=["GET", "POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        venue = self._simulator.venue
        venue.start(self._simulator.follow())
        venue.start(venue.keep_time())
        await self._simulator.book.reached(venue.last_number)
        yield

    async def _handle(self, request: Request) -> Response:
        name = request.path_params["name"].lower()
        header = request.headers.get("authorization", "")
        token = header[len(_BEARER) :] if header.lower().startswith(_BEARER) else ""
        try:
            given = await _given(request)
            session = self._simulator.sessions.of(token)
            status, document = await self._api.answer(name, session, given, request.method)
        except Refused as refusal:
            return PlainTextResponse(refusal.text, refusal.status)
        except NoAnswer:
            await self._forsaken(request)
            return PlainTextResponse("no answer", 504)
        if status != 200:
            return PlainTextResponse(str(document), status)
        return Response(written(document), media_type="application/json")

    async def _forsaken(self, request: Request) -> None:
        """Tell nothing until the client has given up, or the simulator ends."""
        while not (self._simulator.venue.is_closed or await request.is_disconnected()):
            await self._simulator.clock.sleep(_LOOK_S)


async def _given(request: Request) -> Mapping[str, Any]:
    """Return what a request says, in its body or its query. Raises Refused."""
    if request.method == "GET":
        return dict(request.query_params)
    try:
        given = read(await request.body() or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "The body is not an object of JSON")
    ticket = request.query_params.get(TICKET)
    return given if ticket is None else {TICKET: ticket, **given}
