"""The composition root: the one place that names concrete classes and puts them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from brokers.faults import FaultScript
from brokers.quotes.replay import Replay
from brokers.quotes.simulated import SimulatedQuotes
from brokers.registry import Surroundings, TakesQuotes, open_broker
from events.broadcaster import Handoff, News
from events.codec import Channel, QuoteFrame, encode
from events.relay import Relay
from events.streams import LiveStreams
from gateway.config import SIMULATED, Settings
from gateway.system import SystemClock, TimeOrderedIds
from persistence.opening import open_store
from persistence.seed import seed
from persistence.store import SqlStore
from resolvers.context import Context
from risk.gate import RiskGate
from schema.context import Gateway as GatewayInfo
from security.authentication import Authentication
from security.development import DevelopmentIssuer, open_issuer
from trading.batch import CommandQueue
from trading.clerk import Clerk
from trading.controller import ControlDesk
from trading.desk import OrderDesk
from trading.instrument import Catalogue
from trading.marketdata import QuoteDesk
from trading.permission import Principal
from trading.permit import Permits
from trading.ports import Broker, MarketData
from trading.quote import Quote
from trading.recorder import Recorder
from trading.session import BrokerSession

logger = logging.getLogger(__name__)

VERSION = version("drawbridge")
BROKER = "paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that runs: what its endpoint needs of it."""

    authentication: Authentication
    issuer: DevelopmentIssuer
    session: BrokerSession
    clock: SystemClock
    new_context: Callable[[Principal | None], Context]
    failed: asyncio.Event
    """Set when a part of it has died, and the process must end to be started again."""

    @property
    def is_ready(self) -> bool:
        """Whether orders are taken."""
        return self.session.is_open and not self.failed.is_set()


def market_data(settings: Settings, clock: SystemClock) -> MarketData:
    """Open the source of quotes; a file is read to its end and checked. Raises ReplayError."""
    if settings.quotes == SIMULATED:
        return SimulatedQuotes(clock, settings.seed)
    return Replay(Path(settings.quotes), clock, settings.speed)


async def seeded_store(settings: Settings, catalogue: Catalogue, clock: SystemClock) -> SqlStore:
    """Open the store of a data directory, filled with a first tenant if fresh.

    Raises StoreRefused.
    """
    store = await open_store(
        settings.data,
        environment=settings.environment,
        catalogue=catalogue,
        clock=clock,
        version=VERSION,
    )
    await seed(store, BROKER)
    return store


@asynccontextmanager
async def running(settings: Settings, source: MarketData) -> AsyncIterator[Gateway]:
    """Start a gateway, recovery first, and stop it in the opposite order.

    Raises StoreRefused, JournalError, IssuerRefused, and BrokerError where recovery fails.
    """
    clock = SystemClock()
    ids = TimeOrderedIds(clock)
    catalogue = Catalogue(source.instruments)
    async with AsyncExitStack() as stack:
        store = await seeded_store(settings, catalogue, clock)
        stack.push_async_callback(store.close)
        issuer = open_issuer(
            settings.data,
            environment=settings.environment,
            host=settings.host,
            clock=clock,
            ids=ids,
        )
        broker = _broker(settings, catalogue, clock, source)
        background = await stack.enter_async_context(_Background.open())
        news = _news(store, clock, source, broker)
        background.start(*news.works())
        gate, permits = RiskGate({BROKER: broker.capabilities}, source.clock), Permits()
        session = _session(broker, store, gate, permits, news, clock)
        await _want_held(store, news.quotes)
        await session.start()
        stack.push_async_callback(session.stop)
        clerk = Clerk(gate, ids)
        queue = CommandQueue(
            store=store,
            clerk=clerk,
            catalogue=catalogue,
            sessions={BROKER: session},
            quotes=news.quotes,
            doorbell=news.relay,
            clock=clock,
        )
        queue.start()
        stack.push_async_callback(queue.stop)
        desk = OrderDesk(
            queue=queue,
            clerk=clerk,
            store=store,
            reads=store.reads,
            catalogue=catalogue,
            prices=news.quotes,
            clock=clock,
        )
        control = ControlDesk(
            store=store, permits=permits, doorbell=news.relay, clock=clock, ids=ids
        )
        context = partial(
            Context,
            desk=desk,
            control=control,
            reads=store.reads,
            streams=news.streams,
            quotes=news.quotes,
            catalogue=catalogue,
            gateway=_info(settings, broker, clock, source),
            ids=ids,
        )
        yield Gateway(
            authentication=Authentication(tokens=issuer.verifier(), users=store.directory),
            issuer=issuer,
            session=session,
            clock=clock,
            new_context=lambda principal: context(principal=principal),
            failed=background.failed,
        )


def _session(
    broker: Broker,
    store: SqlStore,
    gate: RiskGate,
    permits: Permits,
    news: _News,
    clock: SystemClock,
) -> BrokerSession:
    return BrokerSession(
        broker=broker,
        store=store,
        reads=store.reads,
        recorder=Recorder(gate, resends=broker.capabilities.dedupes_wire_id),
        permits=permits,
        doorbell=news.relay,
        clock=clock,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What carries quotes and reports from where they arise to whoever follows them."""

    hearing: News
    relay: Relay
    quotes: QuoteDesk
    streams: LiveStreams

    def works(self) -> Sequence[Coroutine[None, None, None]]:
        return [self.hearing.run(), self.relay.run(), self.streams.run(), self.quotes.run()]


def _news(store: SqlStore, clock: SystemClock, source: MarketData, broker: Broker) -> _News:
    bus = Handoff()
    hearing = News(bus, clock)
    quotes = QuoteDesk(
        source=source,
        references=store.prices,
        clock=clock,
        publish=partial(_publish, bus),
        listeners=[broker.on_quote] if isinstance(broker, TakesQuotes) else [],
    )
    return _News(
        hearing=hearing,
        relay=Relay(outbox=store.outbox, reads=store.reads, bus=bus, clock=clock),
        quotes=quotes,
        streams=LiveStreams(reads=store.reads, quotes=quotes, news=hearing, clock=clock),
    )


def _info(
    settings: Settings, broker: Broker, clock: SystemClock, source: MarketData
) -> GatewayInfo:
    return GatewayInfo(
        environment=settings.environment,
        version=VERSION,
        brokers=[broker.capabilities],
        clock=clock,
        market_clock=source.clock,
    )


def _broker(
    settings: Settings, catalogue: Catalogue, clock: SystemClock, source: MarketData
) -> Broker:
    faults = FaultScript.load(settings.faults) if settings.faults else FaultScript()
    return open_broker(
        BROKER,
        Surroundings(
            environment=settings.environment,
            catalogue=catalogue,
            clock=clock,
            market=source.clock,
            directory=settings.data,
            seed=settings.seed,
            faults=faults,
        ),
    )


async def _publish(bus: Handoff, quotes: Sequence[Quote]) -> None:
    await bus.publish(Channel.QUOTES, encode(QuoteFrame(tuple(quotes))))


async def _want_held(store: SqlStore, quotes: QuoteDesk) -> None:
    """Ask for the marks of all that is held, on which buying power rests from the first order."""
    positions = await store.reads.positions(await store.accounts_at(BROKER))
    quotes.want({position.symbol for position in positions})


class _Background:
    """The tasks that run as long as the gateway; the death of one ends it all."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[_Background]:
        background = cls()
        try:
            yield background
        finally:
            await background.stop()

    def start(self, *works: Coroutine[None, None, None]) -> None:
        for work in works:
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            logger.critical("%s has ended", task.get_coro(), exc_info=task.exception())
            self.failed.set()
