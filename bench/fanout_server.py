"""Three servers that tell quotes to a crowd: Drawbridge's, plain Strawberry, and raw Starlette.

Run as `python -m bench.fanout_server KIND PORT`. A GET of `/rate/TICKS/SYMBOLS` sets how often in a
second each of so many symbols is quoted anew. A quote's `bidSize` is the monotonic nanosecond at
which it was due.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import orjson
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL

from events.broadcaster import Handoff, News
from events.codec import QuoteFrame
from events.streams import LiveStreams
from gateway.system import SystemClock, TimeOrderedIds
from resolvers.context import Context
from resolvers.root import Schema
from security.credentials import Credentials
from security.rates import LocalAccount, Rates
from serving.document import Registry
from serving.hub import Hub
from serving.operation import Operations
from serving.protocol import SocketProtocol
from serving.refusals import Refusals
from serving.socket import House
from serving.websocket import SocketEndpoint
from trading.ids import InstrumentID, TenantID, UserID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.permission import Permission, Principal
from trading.ports import Quotes
from trading.quote import Quote

SYMBOLS = 100
_FOREVER = 1 << 62
_BID = Decimal("189.99")


def symbol(number: int) -> str:
    """Name one of the symbols."""
    return f"S{number:03d}"


class Ticker:
    """Quotes all symbols so many times a second; what is late is made up for, never left out."""

    def __init__(self) -> None:
        """Stand still."""
        self.rate = 0.0
        self.symbols = 1

    async def run(self, tell: Callable[[int, int], Awaitable[None]]) -> None:
        """Tell the instant and the number of symbols of each tick, until canceled."""
        due = time.monotonic_ns()
        while True:
            if self.rate <= 0:
                await asyncio.sleep(0.02)
                due = time.monotonic_ns()
                continue
            due += int(1e9 / self.rate)
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            await tell(due, self.symbols)

    async def set(self, request: Request) -> Response:
        """Set the pace."""
        self.rate = float(request.path_params["rate"])
        self.symbols = int(request.path_params["symbols"])
        return Response()


# --- Drawbridge ----------------------------------------------------------------------------------


class _NoQuotes:
    def last(self, _: InstrumentID) -> Quote | None:
        return None


def drawbridge() -> tuple[list[BaseRoute], Callable[[int, int], Awaitable[None]]]:
    """Put the endpoint on streams and news as they are, over a bus that has only quotes.

    Everything is in the path but the verification of tokens and the store.
    """
    clock = SystemClock()
    ids = TimeOrderedIds(clock)
    news = News(Handoff(), clock)
    nothing, quotes = cast("Any", None), cast("Quotes", _NoQuotes())
    streams = LiveStreams(reads=nothing, quotes=quotes, news=news, clock=clock)
    catalogue = Catalogue(_instrument(number) for number in range(SYMBOLS))

    def new_context(principal: Principal | None) -> Context:
        return Context(
            principal=principal,
            desk=nothing,
            control=nothing,
            limits=nothing,
            revocations=nothing,
            reads=nothing,
            streams=streams,
            quotes=quotes,
            catalogue=catalogue,
            gateway=nothing,
            acts=nothing,
            links=nothing,
            ids=ids,
        )

    async def authenticate(_: Credentials) -> Principal:
        return _PRINCIPAL

    async def tell(due: int, symbols: int) -> None:
        news.hear(QuoteFrame(tuple(_quote(number, due) for number in range(symbols))))

    schema = Schema()
    registry = Registry(nothing, schema, clock)
    house = House(
        operations=Operations(
            schema,
            registry=registry,
            new_context=new_context,
            ids=ids,
            rates=Rates({}, LocalAccount(clock), clock),
            refusals=Refusals(nothing, clock),
        ),
        authenticate=authenticate,
        ids=ids,
        clock=clock,
        hub=Hub(ids),
    )
    return [WebSocketRoute("/graphql", SocketEndpoint(house))], tell


_PRINCIPAL = Principal(
    user_id=UserID("bench"),
    name="Bench",
    tenant_id=TenantID("bench"),
    role="trader",
    permissions=frozenset(Permission),
    accounts={},
    expires_at=_FOREVER,
)


def _instrument(number: int) -> Instrument:
    return Instrument(
        symbol=symbol(number),
        mic="XNAS",
        description="Bench",
        security_type=SecurityType.COMMON_STOCK,
        currency="USD",
        tick=Decimal("0.01"),
        lot=Decimal(1),
        multiplier=Decimal(1),
        calendar="XNYS",
    )


def _quote(number: int, due: int) -> Quote:
    return Quote(
        symbol=InstrumentID(f"{symbol(number)}@XNAS"),
        bid=_BID,
        bid_size=Decimal(due),
        ask=_BID,
        ask_size=Decimal(100),
        time=due,
        received_at=due,
        source="bench",
    )


# --- plain Strawberry ----------------------------------------------------------------------------


@strawberry.type(name="Quote")
class PlainQuote:
    """The fields that are asked for."""

    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str


def plain() -> tuple[list[BaseRoute], Callable[[int, int], Awaitable[None]]]:
    """Write what one would write first: a queue for each subscription."""
    queues: dict[str, set[asyncio.Queue[PlainQuote]]] = {}

    @strawberry.type
    class Query:
        version: str = "1"

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def quotes(self, symbols: list[str]) -> AsyncGenerator[PlainQuote, None]:
            queue: asyncio.Queue[PlainQuote] = asyncio.Queue()
            for each in symbols:
                queues.setdefault(each, set()).add(queue)
            try:
                while True:
                    yield await queue.get()
            finally:
                for each in symbols:
                    queues[each].discard(queue)

    async def tell(due: int, symbols: int) -> None:
        for number in range(symbols):
            name = symbol(number)
            quote = PlainQuote(
                symbol=f"{name}@XNAS",
                bid=str(_BID),
                bid_size=str(due),
                ask=str(_BID),
                ask_size="100",
            )
            for queue in queues.get(name, ()):
                queue.put_nowait(quote)

    endpoint: GraphQL[Any, None] = GraphQL(strawberry.Schema(Query, subscription=Subscription))
    return [WebSocketRoute("/graphql", endpoint)], tell


# --- raw Starlette -------------------------------------------------------------------------------


def raw() -> tuple[list[BaseRoute], Callable[[int, int], Awaitable[None]]]:
    """Send the same bytes by `send_text`: no GraphQL, and encoded once."""
    followers: dict[str, list[tuple[WebSocket, str]]] = {}

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept("graphql-transport-ws")
        try:
            await websocket.receive_text()
            await websocket.send_text('{"type":"connection_ack"}')
            asked = orjson.loads(await websocket.receive_text())
            head = f'{{"type":"next","id":"{asked["id"]}","payload":'
            for each in asked["payload"]["variables"]["symbols"]:
                followers.setdefault(each, []).append((websocket, head))
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            followers.clear()

    async def tell(due: int, symbols: int) -> None:
        for number in range(symbols):
            name = symbol(number)
            quote = {
                "symbol": f"{name}@XNAS",
                "bid": str(_BID),
                "bidSize": str(due),
                "ask": str(_BID),
                "askSize": "100",
            }
            payload = orjson.dumps({"data": {"quotes": quote}}).decode()
            for websocket, head in tuple(followers.get(name, ())):
                try:
                    await websocket.send_text(f"{head}{payload}}}")
                except (WebSocketDisconnect, RuntimeError):
                    followers.clear()
                    break

    return [WebSocketRoute("/graphql", endpoint)], tell


KINDS: Mapping[str, Callable[[], tuple[list[BaseRoute], Callable[[int, int], Awaitable[None]]]]] = {
    "drawbridge": drawbridge,
    "plain Strawberry": plain,
    "raw Starlette": raw,
}


async def serve(kind: str, port: int) -> None:
    """Serve until a signal."""
    routes, tell = KINDS[kind]()
    ticker = Ticker()
    config = uvicorn.Config(
        Starlette(routes=[*routes, Route("/rate/{rate}/{symbols}", ticker.set)]),
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws=SocketProtocol if kind == "drawbridge" else "websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # the crowd does not answer them
        timeout_graceful_shutdown=1,
    )
    ticking = asyncio.create_task(ticker.run(tell))
    await uvicorn.Server(config).serve()
    ticking.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
