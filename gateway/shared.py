"""One gateway process among many: PostgreSQL, RabbitMQ, Redis and the exchange are elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from events.broadcaster import Handoff, News
from events.doorbell import SharedDoorbell
from events.quotecache import QuoteCache
from events.quotes import HeardQuotes, QuoteFeed
from events.rabbitmq import RabbitBus
from events.relay import Relay
from events.shards import LeasedOutbox, Shards
from events.streams import LiveStreams
from events.topology import Topology
from gateway.assembly import (
    VERSION,
    Gateway,
    Parts,
    assembled,
    check_brokers,
    linked_accounts,
    provide_calendars,
)
from gateway.background import Background
from gateway.config import ConfigError, Role, Settings
from gateway.identity import Identity, identified
from gateway.leased import while_leased
from gateway.login import redis_login
from gateway.market import Remote, broker, market_data
from gateway.system import SystemClock, TimeOrderedIds
from persistence.emergency import FileEmergencyJournal
from persistence.errors import StoreRefused
from persistence.opening import open_postgresql
from persistence.seed import seed
from persistence.store import SqlStore
from trading.answers import Answers
from trading.controller import ControlDesk
from trading.emergency import EmergencyDesk, KnownOrders, read_in
from trading.ids import base62
from trading.instrument import Catalogue
from trading.marketdata import QuoteDesk
from trading.owner import SessionOwner
from trading.permit import Permits
from trading.ports import Broker, MarketClock
from trading.prices import StorePrices
from trading.probe import NO_PROBE, Probe
from trading.store import StoreUnavailable

logger = logging.getLogger(__name__)

_SEALER = "sealer"
_WANTED_EVERY_S = 0.25
_END_FROZEN_EVERY_S = 1.0
_READ_IN_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Elsewhere:
    """Where this process meets the others."""

    database: str
    amqp: str
    redis: str

    @classmethod
    def of(cls, settings: Settings) -> _Elsewhere:
        match settings:
            case Settings(
                database_url=str() as database, amqp_url=str() as amqp, redis_url=str() as redis
            ):
                return cls(database=database, amqp=amqp, redis=redis)
            case _:
                raise ConfigError("a process among many needs all of their addresses")


class _HeardTime:
    """The market's time for a process without a source: that of the newest quote heard of."""

    def __init__(self, news: News, clock: SystemClock) -> None:
        self._news = news
        self._clock = clock

    def now(self) -> int:
        return self._news.market_time or self._clock.now()


@asynccontextmanager
async def running(settings: Settings, probe: Probe = NO_PROBE) -> AsyncIterator[Gateway]:
    """Start a process among many, and stop it so that a successor need not wait.

    Raises ConfigError, StoreRefused, IssuerRefused, and Unavailable where the exchange is not to
    be reached.
    """
    elsewhere, clock = _Elsewhere.of(settings), SystemClock()
    ids = TimeOrderedIds(clock)
    process = base62(ids.next())
    async with AsyncExitStack() as stack:
        source = None
        if settings.role is not Role.API:
            source = market_data(settings, clock)
            if isinstance(source, Remote):
                await source.connect()
                stack.push_async_callback(source.close)
        catalogue = Catalogue(source.instruments if source else ())
        store = await shared_store(settings, elsewhere.database, catalogue, clock)
        stack.push_async_callback(store.close)
        database = await store.identity()
        settings.data.mkdir(parents=True, exist_ok=True)
        where, login = redis_login(elsewhere.redis)
        cache = await stack.enter_async_context(
            QuoteCache.opened(where, settings.environment, database, clock, login)
        )
        background = await stack.enter_async_context(Background.opened())
        events = _events(settings, elsewhere, store, cache, clock, process, database, probe)
        background.start(*events.works(), cache.run())
        market: MarketClock = source.clock if source else _HeardTime(events.news, clock)
        provide_calendars(store.catalogue, market)
        journal = FileEmergencyJournal(settings.data, process, database)
        stack.callback(journal.close)
        identity = await stack.enter_async_context(identified(settings, clock, ids, database))
        parts = _parts(settings, store, events, journal, market, ids, identity, probe)
        answers = Answers(store, clock)
        owner = _owner(parts, process, answers)
        events.doorbell.answer(settings.broker, owner.wake)
        background.start(
            answers.run(),
            parts.halt_file().run(),
            _read_in(parts, journal),
            _end_frozen(store, clock),
            _seal(parts, process),
        )
        if source is not None:
            feed = QuoteDesk(
                source=source,
                references=store.prices,
                clock=clock,
                publish=QuoteFeed(events.bus, cache).publish,
            )
            background.start(
                owner.run(),
                while_leased(
                    f"feed:{settings.broker}",
                    leases=store.leases,
                    holder=process,
                    clock=clock,
                    work=lambda: _feed(feed, store, clock),
                ),
            )
            stack.push_async_callback(owner.release)
        yield await stack.enter_async_context(assembled(parts, owner, background))


async def shared_store(
    settings: Settings, url: str, catalogue: Catalogue, clock: SystemClock
) -> SqlStore:
    """Open the database that all processes share, filled with a first tenant if fresh.

    Raises StoreRefused, also where it has no instruments and this process brings none.
    """
    store = await open_postgresql(
        url,
        environment=settings.environment,
        catalogue=catalogue,
        clock=clock,
        version=VERSION,
    )
    if not list(store.catalogue):
        await store.close()
        raise StoreRefused(
            "the database has no instruments yet, and a process of the role api brings none:"
            " start one of the role all or session first, or run `drawbridge migrate`"
        )
    await seed(store, settings.broker, linked_accounts(settings))
    await check_brokers(store, settings)
    return store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """What carries news between the processes and within this one."""

    bus: RabbitBus
    shards: Shards
    relay: Relay
    doorbell: SharedDoorbell
    news: News
    heard: HeardQuotes
    prices: StorePrices
    streams: LiveStreams

    def works(self) -> list[Coroutine[None, None, None]]:
        return [
            self.bus.run(),
            self.shards.run(),
            self.relay.run(),
            self.doorbell.run(),
            self.news.run(),
            self.heard.run(),
            self.prices.run(),
            self.streams.run(),
        ]


def _events(
    settings: Settings,
    elsewhere: _Elsewhere,
    store: SqlStore,
    cache: QuoteCache,
    clock: SystemClock,
    process: str,
    database: str,
    probe: Probe,
) -> _Events:
    handoff = Handoff()
    bus = RabbitBus(
        url=elsewhere.amqp,
        topology=Topology(settings.environment),
        handoff=handoff,
        clock=clock,
        process=process,
        database=database,
    )
    shards = Shards(leases=store.leases, clock=clock, process=process)
    outbox = LeasedOutbox(store.outbox, shards)
    relay = Relay(outbox=outbox, reads=store.reads, bus=bus, clock=clock, probe=probe)
    doorbell = SharedDoorbell(bus=bus, relay=relay, shards=shards, clock=clock)
    news = News(handoff, clock, doorbell.hear)
    heard = HeardQuotes(
        news=news,
        cache=cache,
        clock=clock,
        want=lambda symbols: prices.want(symbols),  # noqa: PLW0108 - it is made just below
        symbols=[instrument.id for instrument in store.catalogue],
    )
    prices = StorePrices(references=store.prices, wanted=store.wanted, quotes=heard, clock=clock)
    return _Events(
        bus=bus,
        shards=shards,
        relay=relay,
        doorbell=doorbell,
        news=news,
        heard=heard,
        prices=prices,
        streams=LiveStreams(reads=store.reads, quotes=heard, news=news, clock=clock),
    )


def _parts(
    settings: Settings,
    store: SqlStore,
    events: _Events,
    journal: FileEmergencyJournal,
    market: MarketClock,
    ids: TimeOrderedIds,
    identity: Identity,
    probe: Probe,
) -> Parts:
    clock, known = SystemClock(), KnownOrders()
    permits = Permits(clock)

    def open_broker() -> Broker:
        return broker(settings, store.catalogue, clock, market)

    return Parts(
        settings=settings,
        clock=clock,
        ids=ids,
        market=market,
        catalogue=store.catalogue,
        store=store,
        broker=open_broker(),
        identity=identity,
        doorbell=events.doorbell,
        quotes=events.prices,
        streams=events.streams,
        permits=permits,
        control=ControlDesk(
            store=store, permits=permits, doorbell=events.doorbell, clock=clock, ids=ids
        ),
        known=known,
        emergency=EmergencyDesk(journal=journal, known=known, open_broker=open_broker, clock=clock),
        probe=probe,
    )


async def _read_in(parts: Parts, journal: FileEmergencyJournal) -> None:
    """Record emergency cancels as soon as the store can be had: at the start, and after outages."""
    while True:
        try:
            if count := await read_in(parts.store, journal, parts.clock):
                logger.warning("%d emergency cancels were read in from the journal", count)
        except StoreUnavailable as error:
            logger.debug("the store is still down: %s", error)
        await parts.clock.sleep(_READ_IN_EVERY_S)


def _seal(parts: Parts, process: str) -> Coroutine[None, None, None]:
    """Seal the audit record while no other process does. Raises KeysRefused."""
    sealer = parts.sealer()
    return while_leased(
        _SEALER, leases=parts.store.leases, holder=process, clock=parts.clock, work=sealer.run
    )


async def _end_frozen(store: SqlStore, clock: SystemClock) -> None:
    """Free accounts whose locks a process holds that has stopped, for all others wait for them."""
    while True:
        await clock.sleep(_END_FROZEN_EVERY_S)
        try:
            await store.end_frozen()
        except StoreUnavailable as error:
            logger.debug("the store is down: %s", error)


def _owner(parts: Parts, process: str, answers: Answers) -> SessionOwner:
    return SessionOwner(
        broker=parts.settings.broker,
        holder=process,
        leases=parts.store.leases,
        store=parts.store,
        permits=parts.permits,
        clock=parts.clock,
        open_session=parts.session,
        answers=answers,
    )


async def _feed(feed: QuoteDesk, store: SqlStore, clock: SystemClock) -> None:
    """Feed quotes to everybody, and reference prices of what any process wants to the store."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        tasks.create_task(_want_for_all(feed, store, clock))


async def _want_for_all(feed: QuoteDesk, store: SqlStore, clock: SystemClock) -> None:
    while True:
        try:
            feed.want(await store.wanted.wanted())
        except StoreUnavailable as error:
            logger.warning("what prices are wanted cannot be read: %s", error)
        await clock.sleep(_WANTED_EVERY_S)
