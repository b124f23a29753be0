"""The embedded gateway: one process with its store, its bus and its exchange inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from brokers.registry import TakesQuotes
from events.broadcaster import Handoff, News
from events.codec import Channel, QuoteFrame, encode
from events.relay import Relay
from events.streams import LiveStreams
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
from gateway.config import Settings
from gateway.identity import identified
from gateway.market import Remote, broker
from gateway.system import SystemClock, TimeOrderedIds
from persistence.opening import open_store
from persistence.seed import seed
from persistence.store import SqlStore
from trading.controller import ControlDesk
from trading.instrument import Catalogue
from trading.marketdata import QuoteDesk
from trading.permit import Permits
from trading.ports import MarketData
from trading.probe import NO_PROBE, Probe
from trading.quote import Quote

_FOR_EVER = 1 << 63


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
    await seed(store, settings.broker, linked_accounts(settings))
    await check_brokers(store, settings)
    return store


@asynccontextmanager
async def running(
    settings: Settings, source: MarketData, probe: Probe = NO_PROBE
) -> AsyncIterator[Gateway]:
    """Start a gateway, recovery first, and stop it in the opposite order.

    Raises StoreRefused, JournalError, IssuerRefused, and BrokerError where recovery fails.
    """
    clock = SystemClock()
    ids = TimeOrderedIds(clock)
    catalogue = Catalogue(source.instruments)
    async with AsyncExitStack() as stack:
        if isinstance(source, Remote):
            await source.connect()
            stack.push_async_callback(source.close)
            catalogue = Catalogue(source.instruments)
        store = await seeded_store(settings, catalogue, clock)
        stack.push_async_callback(store.close)
        provide_calendars(catalogue, source.clock)
        identity = await stack.enter_async_context(
            identified(settings, clock, ids, await store.identity())
        )
        adapter = broker(settings, catalogue, clock, source.clock)
        background = await stack.enter_async_context(Background.opened())
        bus = Handoff()
        news = News(bus, clock)
        relay = Relay(
            outbox=store.outbox,
            reads=store.reads,
            bus=bus,
            clock=clock,
            is_followed=news.is_followed,
            probe=probe,
        )
        quotes = QuoteDesk(
            source=source,
            references=store.prices,
            clock=clock,
            publish=partial(_publish, bus),
            listeners=[adapter.on_quote] if isinstance(adapter, TakesQuotes) else [],
        )
        streams = LiveStreams(reads=store.reads, quotes=quotes, news=news, clock=clock)
        background.start(news.run(), relay.run(), streams.run(), quotes.run())
        permits = Permits(clock)
        parts = Parts(
            settings=settings,
            clock=clock,
            ids=ids,
            market=source.clock,
            catalogue=catalogue,
            store=store,
            broker=adapter,
            identity=identity,
            doorbell=relay,
            quotes=quotes,
            streams=streams,
            permits=permits,
            control=ControlDesk(store=store, permits=permits, doorbell=relay, clock=clock, ids=ids),
            probe=probe,
        )
        background.start(parts.halt_file().run(), parts.sealer().run())
        # The lock of the data directory is the lease here: whoever has it is the only process.
        parts.permits.extend(_FOR_EVER)
        await want_held(store, quotes, settings.broker)
        session = parts.session()
        await session.start()
        stack.push_async_callback(session.stop)
        yield await stack.enter_async_context(assembled(parts, session, background))


async def _publish(bus: Handoff, quotes: Sequence[Quote]) -> None:
    await bus.publish(Channel.QUOTES, encode(QuoteFrame(tuple(quotes))))


async def want_held(store: SqlStore, quotes: QuoteDesk, broker_name: str) -> None:
    """Have the marks of all that is held, on which risk rests from the first order."""
    positions = await store.reads.positions(await store.accounts_at(broker_name))
    held = {p.symbol for p in positions if p.net_qty or p.open_buy_qty or p.open_sell_qty}
    await quotes.fresh(held)
