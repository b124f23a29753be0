"""The paper exchange as a process of its own: any number of clients over the socket protocol."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from brokers.faults import FaultScript
from brokers.paper import wire
from brokers.paper.codec import REQUESTS, values
from brokers.paper.connection import Connection
from brokers.paper.journal import JournalError
from brokers.paper.stream import LinkBroken
from brokers.paper.venue import JOURNAL, NoAnswer, Route, Venue
from brokers.paper.wire import IN_FLIGHT_MAX, Message, ProtocolError
from trading.ids import InstrumentID
from trading.instrument import Catalogue, Instrument
from trading.ports import (
    BrokerError,
    Clock,
    Environment,
    MarketData,
    RateLimited,
    Rejected,
)
from trading.quote import Quote

_CLIENTS_MAX = 256
_WRITE_HIGH = 65_536
_CROWDED_S = 0.1
_SECOND_NS = 1_000_000_000

logger = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address cannot be listened on; nothing was touched."""


async def run_exchange(
    *,
    host: str,
    port: int,
    directory: Path,
    environment: Environment,
    source: MarketData,
    clock: Clock,
    ready: Callable[[str, int], None],
    seed: int = 0,
    latency_ms: tuple[int, int] = (0, 0),
    faults: FaultScript | None = None,
) -> None:
    """Run an exchange until canceled; `ready` is told where it listens, once it does.

    Port 0 takes any that is free. Raises CannotListen, and ValueError for the environment live,
    before the journal in the directory is touched; then JournalError, also when it can no longer
    be written, and whatever the source of quotes raises.
    """
    if environment is Environment.LIVE:
        raise ValueError("the paper exchange belongs to the environments sim and paper, not live")
    with _listen(host, port) as listener:
        venue = Venue(
            journal=_journal_in(directory),
            environment=environment,
            catalogue=Catalogue(source.instruments),
            clock=clock,
            market=source.clock,
            seed=seed,
            latency_ms=latency_ms,
            faults=faults,
        )
        server = ExchangeServer(venue, source.instruments, environment, clock)
        async with server.listening(listener):
            ready(*listener.getsockname()[:2])
            await _together(server.follow(source), _until_failed(venue))


def _journal_in(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{directory} cannot be made: {error.strerror}") from None
    return directory / JOURNAL


def _listen(host: str, port: int) -> socket.socket:
    """Listen at once: of two that have only bound an address, both would believe to have it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_CLIENTS_MAX)
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port} ({error.strerror}): end what does, or choose another"
        ) from error


async def _together(*works: Coroutine[None, None, None]) -> None:
    """Do all until the first fails."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_failed(venue: Venue) -> None:
    await venue.keep_time()
    raise JournalError("the journal cannot be written, and without it the exchange cannot go on")


class ExchangeServer:
    """One exchange and the clients that are connected to it."""

    def __init__(
        self,
        venue: Venue,
        instruments: Sequence[Instrument],
        environment: Environment,
        clock: Clock,
    ) -> None:
        """Serve nobody yet."""
        self.venue = venue
        self.instruments = instruments
        self.environment = environment
        self.clock = clock
        self.last_quotes: dict[InstrumentID, Quote] = {}
        self.clients: set[Client] = set()
        self._down_until = clock.monotonic()

    @asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncIterator[None]:
        """Take clients; at the end cut them off, and close the exchange."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Client(self), sock=listener)
        try:
            yield
        finally:
            server.close()
            cut_off = list(self.clients)
            for client in cut_off:
                client.end("the exchange stops", after_sending=True)
            for client in cut_off:
                await client.closed.wait()
            await self.venue.close()

    async def follow(self, source: MarketData) -> None:
        """Trade against a source of quotes until it ends; then the last ones stand."""
        async for quote in source.quotes():
            self.show(quote)
        logger.warning("the source of quotes has ended: the last ones stand, and grow stale")

    def show(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market, and have all clients told."""
        self.venue.on_quote(quote)
        self.last_quotes[quote.symbol] = quote
        for client in self.clients:
            client.offer(quote)

    @property
    def is_down(self) -> bool:
        """Whether the fault script lets nobody in now."""
        return self.clock.monotonic() < self._down_until

    def go_down(self, seconds: float) -> None:
        """Let nobody in for a while, as the fault script has it."""
        self._down_until = self.clock.monotonic() + int(seconds * _SECOND_NS)


class Client(Connection):
    """A client as the exchange sees it: one connection, its requests and its subscriptions."""

    def __init__(self, server: ExchangeServer) -> None:
        """Wait for its hello."""
        super().__init__(server.clock, _WRITE_HIGH)
        self._server = server
        self._venue = server.venue
        self._route = Route()
        self._is_greeted = False
        self._in_flight = 0
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._credit = 0
        self._quotes: dict[InstrumentID, Quote] = {}
        self._more_credit = asyncio.Event()
        self._more_quotes = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the clients, of which there is a bounded number."""
        super().connection_made(transport)
        if len(self._server.clients) >= _CLIENTS_MAX:
            self.refuse(f"this exchange has {_CLIENTS_MAX} clients already")
        self._server.clients.add(self)

    def ended(self, why: str) -> None:
        """Leave. What this client has asked for is carried out all the same."""
        if self._is_greeted:
            logger.info("a client has gone: %s", why)
        for pump in self._pumps.values():
            pump.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the clients."""
        super().connection_lost(exc)
        self._server.clients.discard(self)

    def beat(self) -> Message:
        """Show that the exchange lives, and what its time is."""
        return {"beat": {"market_time": self._venue.market.now()}}

    # --- what it says ---

    def hear(self, message: Message, line: bytes) -> None:
        """Take in a message."""
        match message:
            case {"hello": hello} if not self._is_greeted:
                self._greet(hello)
            case {"beat": _} if self._is_greeted:
                pass
            case {"credit": int(more)} if self._is_greeted and more > 0:
                self._credit += more
                self._more_credit.set()
            case {"id": int(number), **rest} if self._is_greeted and len(rest) == 1:
                self._take(number, *next(iter(rest.items())))
            case _:
                raise ProtocolError(f"this is not of the protocol: {line[:200]!r}")

    def _greet(self, hello: object) -> None:
        refusal = wire.refuse_hello(hello, self._server.environment, self._venue.id)
        if refusal is None and self._server.is_down:
            refusal = "the fault script has broken the link"
        if refusal is not None:
            self.refuse(refusal)
            return
        self._is_greeted = True
        welcome = {
            "protocol": wire.PROTOCOL,
            "environment": self._server.environment,
            "exchange": self._venue.id,
            "last_event": self._venue.last_number,
            "market_time": self._venue.market.now(),
        }
        self.send({"welcome": welcome})

    def refuse(self, why: str) -> None:
        """Tell the client why, and end the connection."""
        self.send({"refused": {"text": why}})
        self.end(why, after_sending=True)

    def _take(self, number: int, kind: str, body: object) -> None:
        if self._in_flight >= IN_FLIGHT_MAX:
            crowded = RateLimited(f"{IN_FLIGHT_MAX} requests are under way already", _CROWDED_S)
            self._fail(number, crowded)
            return
        self._in_flight += 1
        self._venue.start(self._serve(number, kind, body))

    async def _serve(self, number: int, kind: str, body: object) -> None:
        try:
            await self._answer(number, kind, body)
        except NoAnswer:
            logger.info("the fault script leaves a %s unanswered", kind)
        except BrokerError as error:
            self._fail(number, error)
        except Exception:
            # Whether it took effect is not known here either: the client must not hear a no.
            logger.exception("a %s failed, and is left unanswered", kind)
        finally:
            self._in_flight -= 1

    def _fail(self, number: int, error: BrokerError) -> None:
        self.send({"id": number, "error": wire.encode_error(error)})

    async def _answer(self, number: int, kind: str, body: object) -> None:
        match kind:
            case _ if kind in REQUESTS:
                request = wire.decode_request(kind, body)
                order_id = await self._venue.carry_out(request, self._route, lambda: None)
                self.send({"id": number, "ok": {"order_id": order_id}})
            case "find_order":
                order = await self._venue.find_order(wire.decode_wire_id(body))
                self.send({"id": number, "ok": {"order": order and values(order)}})
            case "orders":
                orders = await self._venue.orders(wire.decode_accounts(body))
                await self._list(number, kind, orders)
            case "positions":
                positions = await self._venue.positions(wire.decode_accounts(body))
                await self._list(number, kind, positions)
            case "instruments":
                await self._list(number, kind, self._server.instruments)
            case "events":
                after, credit = wire.decode_subscription(body)
                self._venue.check_cursor(None, after)
                self._subscribe(number, kind, self._pump_events(after, credit))
            case "quotes":
                self._subscribe(number, kind, self._pump_quotes())
            case _:
                raise Rejected(f"there is no request {kind}")

    async def _list(self, number: int, kind: str, items: Sequence[object]) -> None:
        for page, is_last in wire.pages(wire.encode_items(kind, items)):
            self.send({"id": number, "all" if is_last else "part": page})
            await self.room()

    # --- what it is told unasked ---

    def _subscribe(self, number: int, name: str, work: Coroutine[None, None, None]) -> None:
        if name in self._pumps or self.why_ended is not None:
            work.close()
            raise Rejected(f"this connection has subscribed to {name} already")
        self.send({"id": number, "ok": {}})
        self._pumps[name] = pump = asyncio.get_running_loop().create_task(work)
        pump.add_done_callback(self._pumped)

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (defect := pump.exception()) is not None:
            logger.error("a subscription failed", exc_info=defect)
            self.end("the exchange has failed to go on with a subscription")

    async def _pump_events(self, after: int, credit: int) -> None:
        """Send events: as many as the client has asked for, and as fast as it takes them."""
        self._credit += credit
        async with aclosing(self._venue.deliveries(after)) as deliveries:
            try:
                while True:
                    await self._may_send_event()
                    self.send(wire.encode_delivery(await anext(deliveries)))
                    self._credit -= 1
            except StopAsyncIteration:
                pass
            except LinkBroken as broken:
                self._server.go_down(broken.down_s)
                self.end("the fault script breaks the link", after_sending=True)

    async def _may_send_event(self) -> None:
        await self.room()
        while self._credit <= 0:
            self._more_credit.clear()
            await self._more_credit.wait()

    def offer(self, quote: Quote) -> None:
        """Have the client told of a quote, in place of an older one that has not left yet."""
        if "quotes" in self._pumps:
            self._quotes[quote.symbol] = quote
            self._more_quotes.set()

    async def _pump_quotes(self) -> None:
        """Send the latest quotes, as fast as the client takes them."""
        self._quotes = dict(self._server.last_quotes)
        while True:
            while not self._quotes:
                self._more_quotes.clear()
                await self._more_quotes.wait()
            waiting, self._quotes = list(self._quotes.values()), {}
            now, market_time = self._server.clock.now(), self._venue.market.now()
            for page, _ in wire.pages([wire.encode_quote(quote, now) for quote in waiting]):
                self.send({"quotes": page, "market_time": market_time})
                await self.room()
