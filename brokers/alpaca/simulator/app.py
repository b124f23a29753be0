"""Alpaca's REST API over the simulator, as an ASGI application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from brokers.alpaca.fence import Credentials
from brokers.alpaca.simulator import account as accounts
from brokers.alpaca.simulator.book import SimulatedFill, SimulatedOrder
from brokers.alpaca.simulator.simulator import Simulator
from brokers.alpaca.simulator.streams import Streams
from brokers.alpaca.simulator.terms import Refused, malformed
from brokers.alpaca.simulator.window import Window
from brokers.instants import format_instant, parse_instant
from brokers.paper.venue import NoAnswer
from trading.ports import BrokerError, RateLimited, Unauthorized, Unavailable

_ORDERS_MAX = 500
_PAGE_MAX = 100
_LOOK_S = 0.1
_KEY = ("key-id", "secret-key")
_DAY_NS = 86_400_000_000_000

type _Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The handlers, each of one path and method."""

    def __init__(self, simulator: Simulator) -> None:
        """Take the simulator."""
        self._simulator = simulator
        self._book = simulator.book
        self._window = Window(simulator.clock, simulator.rate_limit)

    def application(self) -> Starlette:
        """Put all routes together."""
        streams = Streams(self._simulator)
        order = "/v2/orders/{order_id}"
        paths: list[tuple[str, str, _Handler]] = [
            ("GET", "/v2/account", self._account),
            ("GET", "/v2/account/activities/FILL", self._fills),
            ("GET", "/v2/assets", self._assets),
            ("GET", "/v2/assets/{symbol:path}", self._asset),
            ("GET", "/v2/calendar", self._calendar),
            ("GET", "/v2/clock", self._clock),
            ("GET", "/v2/events/trades", streams.replayed),
            ("GET", "/v2/orders:by_client_order_id", self._by_client),
            ("POST", "/v2/orders", self._create),
            ("GET", "/v2/orders", self._orders),
            ("DELETE", "/v2/orders", self._cancel_all),
            ("GET", order, self._order),
            ("PATCH", order, self._replace),
            ("DELETE", order, self._cancel),
            ("GET", "/v2/positions", self._positions),
            ("GET", "/v2/positions/{symbol:path}", self._position),
        ]
        routes = [Route(path, self._guarded(work), methods=[verb]) for verb, path, work in paths]
        sockets = [
            WebSocketRoute("/stream", streams.trades),
            WebSocketRoute("/v2/{feed}", streams.quotes),
        ]
        return Starlette(routes=[*routes, *sockets], lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        self._simulator.venue.start(self._simulator.follow())
        self._simulator.venue.start(self._simulator.venue.keep_time())
        await self._book.reached(self._simulator.venue.last_number)
        yield

    # --- around every request ---

    def _guarded(self, work: _Handler) -> _Handler:
        async def handle(request: Request) -> Response:
            if not self._knows(request):
                return _error(401, 40110000, "request is not authorized")
            limits = self._window.take()
            if not self._window.allows:
                return _error(429, 42910000, "too many requests", limits)
            response = await self._answered(work, request)
            response.headers.update(limits)
            return response

        return handle

    async def _answered(self, work: _Handler, request: Request) -> Response:
        try:
            return await work(request)
        except NoAnswer:
            await self._forsaken(request)
            return _error(504, 50410000, "no answer")
        except Refused as refusal:
            return _error(refusal.status, refusal.code, refusal.message)
        except BrokerError as error:
            return _failed(error)

    async def _forsaken(self, request: Request) -> None:
        """Tell nothing until the client has given up, or the simulator ends."""
        while not (self._simulator.venue.is_closed or await request.is_disconnected()):
            await self._simulator.clock.sleep(_LOOK_S)

    def _knows(self, request: Request) -> bool:
        key_id, secret = (request.headers.get(f"apca-api-{each}", "") for each in _KEY)
        return Credentials(key_id, secret) in self._simulator.accepted

    # --- orders ---

    async def _create(self, request: Request) -> Response:
        return _order(await self._simulator.create(await _body(request)))

    async def _replace(self, request: Request) -> Response:
        order_id = request.path_params["order_id"]
        return _order(await self._simulator.replace(order_id, await _body(request)))

    async def _cancel(self, request: Request) -> Response:
        await self._simulator.cancel(request.path_params["order_id"])
        return Response(status_code=204)

    async def _cancel_all(self, request: Request) -> Response:
        del request
        done = []
        for order in [each for each in self._book.orders.values() if each.is_open]:
            try:
                await self._simulator.cancel(order.id)
            except Refused as refusal:
                done.append({"id": order.id, "status": refusal.status})
            else:
                done.append({"id": order.id, "status": 200})
        return _json(done, 207)

    async def _order(self, request: Request) -> Response:
        return _order(self._simulator.order(request.path_params["order_id"]))

    async def _by_client(self, request: Request) -> Response:
        return _order(self._simulator.by_client(request.query_params.get("client_order_id", "")))

    async def _orders(self, request: Request) -> Response:
        asked = request.query_params
        limit, status = _limit(asked.get("limit"), 50, _ORDERS_MAX), asked.get("status", "open")
        after, until = _instant(asked.get("after")), _instant(asked.get("until"))
        wanted = set(filter(None, asked.get("symbols", "").split(",")))
        found = [
            order
            for order in self._book.orders.values()
            if (status == "all" or order.is_open == (status == "open"))
            and (after is None or order.created_at > after)
            and (until is None or order.created_at < until)
            and (not wanted or order.symbol in wanted)
        ]
        if asked.get("direction", "desc") == "desc":
            found.reverse()
        return _json([order.document() for order in found[:limit]])

    async def _fills(self, request: Request) -> Response:
        asked = request.query_params
        after, until = _instant(asked.get("after")), _instant(asked.get("until"))
        fills = [
            fill
            for fill in self._book.fills
            if (after is None or fill.at > after) and (until is None or fill.at < until)
        ]
        if asked.get("direction", "desc") == "desc":
            fills.reverse()
        limit = _limit(asked.get("page_size"), _PAGE_MAX, _PAGE_MAX)
        page = _after(fills, asked.get("page_token"))[:limit]
        return _json([fill.document() for fill in page])

    # --- account and market ---

    async def _account(self, request: Request) -> Response:
        del request
        return _json(self._simulator.account.document(self._simulator.opened_at))

    async def _positions(self, request: Request) -> Response:
        del request
        return _json(self._simulator.account.positions())

    async def _position(self, request: Request) -> Response:
        instrument = self._simulator.instrument(request.path_params["symbol"])
        if (position := self._simulator.account.position(instrument.id)) is None:
            return _error(404, 40410000, "position does not exist")
        return _json(position)

    async def _assets(self, request: Request) -> Response:
        del request
        catalogue = self._simulator.catalogue
        return _json([accounts.asset(each, catalogue) for each in self._simulator.instruments])

    async def _asset(self, request: Request) -> Response:
        instrument = self._simulator.instrument(request.path_params["symbol"])
        return _json(accounts.asset(instrument, self._simulator.catalogue))

    async def _clock(self, request: Request) -> Response:
        del request
        now = self._simulator.venue.market.now()
        at = {"next_open": now + _DAY_NS, "next_close": now + _DAY_NS, "timestamp": now}
        return _json({"is_open": True} | {name: format_instant(each) for name, each in at.items()})

    async def _calendar(self, request: Request) -> Response:
        del request
        # The paper exchange is always open.
        day = format_instant(self._simulator.venue.market.now())[:10]
        hours = {"open": "00:00", "close": "23:59", "session_open": "0000", "session_close": "2359"}
        return _json([{"date": day, **hours}])


def _failed(error: BrokerError) -> Response:
    match error:
        case RateLimited(retry_after_s=wait_s):
            wait = {"retry-after": str(max(round(wait_s), 1))}
            return _error(429, 42910000, str(error), wait)
        case Unauthorized():
            return _error(401, 40110000, str(error))
        case Unavailable():
            return _error(503, 50310000, str(error))
        case _:
            return _error(500, 50010000, str(error))


def _json(content: object, status: int = 200) -> Response:
    return JSONResponse(content, status)


def _order(order: SimulatedOrder) -> Response:
    return _json(order.document())


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"code": code, "message": message}, status, headers=headers)


async def _body(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body(), parse_float=Decimal)
    except ValueError:
        raise malformed("request body format is invalid") from None
    if not isinstance(given, dict):
        raise malformed("request body format is invalid")
    return given


def _limit(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise malformed(f"a limit must be from 1 to {most}")
    return int(text)


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text if "T" in text.upper() else f"{text}T00:00:00Z")
    except ValueError:
        raise malformed(f"{text} is not a time") from None


def _after(fills: Sequence[SimulatedFill], token: str | None) -> Sequence[SimulatedFill]:
    if token is None:
        return fills
    places = [place for place, fill in enumerate(fills) if fill.id == token]
    return fills[places[0] + 1 :] if places else []
