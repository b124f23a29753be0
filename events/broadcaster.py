"""The seam between the bus and this process: four subscriptions, and bounded inboxes behind them.

`broadcaster` has queues without bound, a race between the first two subscribers of a channel, and
a listener whose death nobody hears of. So it gets one message at a time, one subscriber for each
channel and a supervisor, and no socket ever subscribes to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from broadcaster import Broadcast, BroadcastBackend, Event

from events.codec import (
    Channel,
    Message,
    QuoteFrame,
    ReportBatch,
    Reports,
    Ring,
    StateChanges,
    Unreadable,
    decode,
)
from events.inbox import Inbox, QuoteInbox, ReportInbox, StateInbox, Subscribers, Watch
from trading.control import TradingStateChange
from trading.ids import AccountID, InstrumentID
from trading.ports import Clock
from trading.quote import Quote

logger = logging.getLogger(__name__)

MESSAGES_HELD = 256
PAUSE_S = 0.5


class Handoff(BroadcastBackend):
    """The embedded bus; and where any other bus hands over what it delivers to this process.

    It holds a bounded number of messages, so that whoever publishes waits rather than memory
    grows, and lets the next one out only when the one before has been dealt out.
    """

    def __init__(self) -> None:
        """Hold nothing, and let nothing in before somebody listens."""
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(MESSAGES_HELD)
        self._channels: set[str] = set()
        self._dealt = asyncio.Event()

    async def connect(self) -> None:
        """Start over; messages that were held stay held."""
        self._dealt.set()

    async def disconnect(self) -> None:
        """Do nothing: there is no connection."""

    async def subscribe(self, group: str) -> None:
        """Let messages of a channel in."""
        self._channels.add(group)

    async def unsubscribe(self, group: str) -> None:
        """Turn messages of a channel away."""
        self._channels.discard(group)

    async def publish(self, channel: str, message: bytes, traceparent: str | None = None) -> None:
        """Hand a message over, and wait while too many are held. With no listener it is lost.

        Nobody within this process needs to be told of its trace.
        """
        del traceparent
        if channel in self._channels:
            await self._waiting.put(Event(channel, message.decode()))

    async def next_published(self) -> Event:
        """Wait until the message before was dealt out, and return the next one."""
        await self._dealt.wait()
        while (event := await self._waiting.get()).channel not in self._channels:
            pass
        self._dealt.clear()
        return event

    def dealt(self) -> None:
        """Let the next message out."""
        self._dealt.set()


class _Supervised(Broadcast):
    """A Broadcast whose listener is heard of when it dies, and is gone after disconnect."""

    async def died(self) -> None:
        """Wait for the listener to end, and raise what ended it."""
        await asyncio.wait({self._listener_task})
        raise ConnectionError("the broadcast listener has ended") from self._error()

    def _error(self) -> BaseException | None:
        task = self._listener_task
        return None if task.cancelled() else task.exception()

    async def disconnect(self) -> None:
        """End the listener; what it died of was raised by `died`."""
        self._listener_task.cancel()
        await asyncio.wait({self._listener_task})
        await self._backend.disconnect()


class News:
    """All that this process hears from the bus, dealt out to the inboxes of its subscribers.

    Dealing out never waits for a subscriber. News may be lost: `run` says nothing of what it
    missed, and streams look for themselves.
    """

    def __init__(
        self, bus: Handoff, clock: Clock, on_ring: Callable[[Ring], None] = lambda _: None
    ) -> None:
        """Listen to this bus, once `run` runs; a doorbell that another process rings is passed on.

        In a process without others nobody rings.
        """
        self._bus, self._clock, self._on_ring = bus, clock, on_ring
        self._reports: Subscribers[AccountID, ReportInbox] = Subscribers()
        self._watches: Subscribers[AccountID, Watch] = Subscribers()
        self._states: Subscribers[AccountID, StateInbox] = Subscribers()
        self._quotes: Subscribers[InstrumentID, QuoteInbox] = Subscribers()
        self._marks: Subscribers[InstrumentID, Watch] = Subscribers()
        self._last: dict[InstrumentID, Quote] = {}
        self.market_time: int | None = None
        """The market's time in UTC nanoseconds, as of the newest quote that was dealt out."""

    async def run(self) -> None:
        """Listen until canceled; whatever fails is logged and begun again."""
        while True:
            try:
                await self._listen()
            except Exception:
                logger.exception("listening to the bus failed, begun again in %.1f s", PAUSE_S)
            await self._clock.sleep(PAUSE_S)

    async def _listen(self) -> None:
        broadcast = _Supervised(backend=self._bus)
        async with broadcast, asyncio.TaskGroup() as tasks:
            for channel in Channel:
                tasks.create_task(self._deal_out(broadcast, channel))
            tasks.create_task(broadcast.died())

    async def _deal_out(self, broadcast: Broadcast, channel: Channel) -> None:
        async with broadcast.subscribe(channel) as subscriber:
            while True:
                event = await subscriber.get()
                try:
                    self.hear(decode(event.message, self.is_followed))
                except Unreadable as error:
                    logger.warning("a message on %s is passed over: %s", channel, error)
                self._bus.dealt()

    def hear(self, message: Message) -> None:
        """Deal a message out."""
        match message:
            case Reports():
                for batch in message.batches:
                    self._hear_batch(batch)
            case QuoteFrame():
                for quote in message.quotes:
                    self._hear_quote(quote)
            case StateChanges():
                self.hear_states(message.changes)
            case Ring():
                self._on_ring(message)

    def hear_heads(self, heads: Collection[tuple[AccountID, int]]) -> None:
        """Deal out how far the accounts are."""
        for account_id, seq in heads:
            for inbox in self._reports.of(account_id):
                inbox.hear_head(seq)
            for watch in self._watches.of(account_id):
                watch.hear_head(seq)

    def hear_states(self, changes: Sequence[TradingStateChange]) -> None:
        """Deal out that trading states changed."""
        for account_id in {change.account_id for change in changes}:
            for inbox in self._states.of(account_id):
                inbox.ring()
            for watch in self._watches.of(account_id):
                watch.hear()

    def _hear_batch(self, batch: ReportBatch) -> None:
        for inbox in self._reports.of(batch.account_id):
            inbox.hear(batch)
        for watch in self._watches.of(batch.account_id):
            watch.hear_head(batch.last_seq)

    def _hear_quote(self, quote: Quote) -> None:
        self._last[quote.symbol] = quote
        self.market_time = max(self.market_time or 0, quote.time)
        for inbox in self._quotes.of(quote.symbol):
            inbox.hear(quote)
        for watch in self._marks.of(quote.symbol):
            watch.hear_quote()

    def pulse(self) -> None:
        """Wake those whose marks have moved since the last pulse."""
        for watch in self._marks.all():
            watch.pulse()

    def last(self, symbol: InstrumentID) -> Quote | None:
        """Return the newest quote that was dealt out, or None."""
        return self._last.get(symbol)

    @property
    def watched(self) -> frozenset[AccountID]:
        """The accounts whose reports somebody waits for."""
        return self._reports.keys() | self._watches.keys()

    def is_followed(self, account_id: AccountID) -> bool:
        """Tell whether somebody waits for reports of an account."""
        return account_id in self._reports or account_id in self._watches

    @property
    def watches_states(self) -> bool:
        """Whether somebody waits for a change of trading state."""
        return bool(self._states.keys() or self._watches.keys())

    @contextmanager
    def reports_of(self, account_id: AccountID) -> Iterator[ReportInbox]:
        """Attach to an account's reports."""
        with _attached(self._reports, {account_id}, ReportInbox()) as inbox:
            yield inbox

    @contextmanager
    def quotes_of(self, symbols: Collection[InstrumentID]) -> Iterator[QuoteInbox]:
        """Attach to quotes."""
        with _attached(self._quotes, symbols, QuoteInbox()) as inbox:
            yield inbox

    @contextmanager
    def states_of(self, accounts: Collection[AccountID]) -> Iterator[StateInbox]:
        """Attach to changes of trading state."""
        with _attached(self._states, accounts, StateInbox()) as inbox:
            yield inbox

    @contextmanager
    def watch(self, account_id: AccountID) -> Iterator[Watch]:
        """Attach to all that moves an account; `follow` says which symbols do."""
        with _attached(self._watches, {account_id}, Watch()) as watch:
            try:
                yield watch
            finally:
                self.follow(watch, frozenset())

    def follow(self, watch: Watch, symbols: frozenset[InstrumentID]) -> None:
        """Have a watch hear quotes of these symbols, and of no others."""
        self._marks.discard(watch.symbols - symbols, watch)
        self._marks.add(symbols - watch.symbols, watch)
        watch.symbols = symbols

    def close(self) -> None:
        """End every subscriber's stream."""
        for each in (self._reports, self._watches, self._states, self._quotes):
            for inbox in each.all():
                inbox.close()


@contextmanager
def _attached[K, I: Inbox](
    subscribers: Subscribers[K, I], keys: Collection[K], inbox: I
) -> Iterator[I]:
    subscribers.add(keys, inbox)
    try:
        yield inbox
    finally:
        subscribers.discard(keys, inbox)
