"""Streams: whatever the bus does, a subscriber gets c+1, c+2, … and the latest of all else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import inbox, streams
from events.broadcaster import Handoff, News
from events.codec import Channel, QuoteFrame, encode
from events.inbox import REPORTS_KEPT
from events.relay import Relay
from events.streams import PAGE, BrokenSequence, LiveStreams
from tests.events.fakes import (
    AAPL,
    MSFT,
    ONE,
    OTHER,
    FakeClock,
    FakeQuotes,
    FakeStore,
    FaultyBus,
    account,
    batch,
    change,
    position,
    quote,
    report,
    settle,
)
from trading.account import TradingState
from trading.outcome import CursorAhead, NotFound
from trading.quote import Quote
from trading.store import Reads


class Process:
    """A whole process's events: store, relay, a faulty bus, broadcaster and streams."""

    def __init__(self) -> None:
        self.store, self.clock, self.quotes = FakeStore(), FakeClock(), FakeQuotes()
        handoff = Handoff()
        self.bus = FaultyBus(handoff)
        reads = cast("Reads", self.store)
        self.news = News(handoff, self.clock)
        self.relay = Relay(
            outbox=self.store,
            reads=reads,
            bus=self.bus,
            clock=self.clock,
            is_followed=self.news.is_followed,
        )
        self.streams = LiveStreams(
            reads=reads, quotes=self.quotes, news=self.news, clock=self.clock
        )
        self._handoff = handoff

    async def commit(self, count: int = 1) -> None:
        """Record reports and ring, as the core does."""
        self.store.commit(count)
        self.relay.ring({ONE})
        await settle()

    async def tell(self, *quotes: Quote) -> None:
        """Publish a frame of quotes, which the quote desk holds as well."""
        for each in quotes:
            self.quotes.by_symbol[each.symbol] = each
        await self._handoff.publish(Channel.QUOTES, encode(QuoteFrame(quotes)))
        await settle()


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    each = Process()
    runs = (each.relay.run(), each.news.run(), each.streams.run())
    tasks = [asyncio.create_task(run) for run in runs]
    await settle()
    try:
        yield each
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Subscriber[T]:
    """Takes items from a stream when told to, in a task of its own as a socket would."""

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self.items: list[T] = []
        self._left, self._allowed = 0, asyncio.Event()
        self.task = asyncio.create_task(self._run(stream))

    async def _run(self, stream: AsyncIterator[T]) -> None:
        await self._allowed.wait()
        async for item in stream:
            self.items.append(item)
            self._left -= 1
            if self._left <= 0:
                self._allowed.clear()
                await self._allowed.wait()

    async def take(self, count: int = 1_000_000) -> list[T]:
        """Allow so many more items, and return what came of them."""
        before = len(self.items)
        self._left += count
        self._allowed.set()
        await self.rest()
        return self.items[before:]

    async def rest(self) -> None:
        """Wait until nothing more comes."""
        count = -1
        while count != len(self.items):
            count = len(self.items)
            await settle()

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def subscribed[T](stream: AsyncIterator[T]) -> AsyncIterator[Subscriber[T]]:
    subscriber = Subscriber(stream)
    try:
        yield subscriber
    finally:
        await subscriber.close()


# --- reports -------------------------------------------------------------------------------------

STEP = (
    st.tuples(st.just("commit"), st.integers(1, 9))
    | st.tuples(st.sampled_from(["deliver", "drop", "repeat", "hold", "refuse"]), st.just(0))
    | st.tuples(st.just("take"), st.integers(1, 5))
    | st.tuples(st.sampled_from(["release", "poll", "down", "up"]), st.just(0))
)


@asynccontextmanager
async def small_bounds() -> AsyncIterator[None]:
    """Have few reports overflow an inbox and fill more than a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "REPORTS_KEPT", 5)
        patch.setattr(streams, "PAGE", 3)
        yield


async def do[T](each: Process, subscriber: Subscriber[T], step: str, count: int) -> None:
    match step:
        case "commit":
            await each.commit(count)
        case "take":
            await subscriber.take(count)
        case "release":
            await each.bus.release()
        case "poll":
            await each.clock.advance(0.25)
        case "down" | "up":
            each.store.is_down = step == "down"
        case fate:
            each.bus.fate = fate
    await settle()


@settings(max_examples=150)
@given(st.integers(0, 5), st.integers(0, 5), st.lists(STEP, max_size=30))
async def test_a_subscriber_gets_every_report_once_in_order(
    recorded: int, cursor: int, steps: list[tuple[str, int]]
) -> None:
    async with small_bounds(), process() as each:
        each.store.commit(recorded)
        after_seq = min(cursor, recorded)
        async with subscribed(each.streams.reports(ONE, after_seq)) as subscriber:
            await subscriber.take(1)
            for step, count in steps:
                await do(each, subscriber, step, count)
            each.store.is_down = False
            await subscriber.take()
            await each.clock.advance(0.6)
            await subscriber.rest()
            assert subscriber.items == each.store.log[ONE][after_seq:]


async def test_the_log_comes_first_in_pages_and_then_the_news() -> None:
    async with process() as each:
        await each.commit(2 * PAGE + 1)
        await each.clock.advance(streams.POLL_S)  # The relay has passed over what nobody heard of.
        async with subscribed(each.streams.reports(ONE, 0)) as subscriber:
            assert len(await subscriber.take()) == 2 * PAGE + 1
            pages = each.store.reads.count("reports")
            await each.commit(2)
            assert [each.seq for each in subscriber.items[-2:]] == [2 * PAGE + 2, 2 * PAGE + 3]
            # The relay has read them, and the stream took them from the bus.
            assert each.store.reads.count("reports_at") == 1
            assert each.store.reads.count("reports") == pages


async def test_without_a_cursor_it_begins_now() -> None:
    async with process() as each:
        each.store.commit(3)
        async with subscribed(each.streams.reports(ONE, None)) as subscriber:
            assert await subscriber.take() == []
            await each.commit()
            assert subscriber.items == [report(4)]


async def test_a_cursor_ahead_of_the_log_is_refused() -> None:
    async with process() as each:
        each.store.commit(3)
        with pytest.raises(CursorAhead, match="afterSeq is 4, and the last report of the account"):
            await anext(each.streams.reports(ONE, 4))
        assert not each.news.watched


async def test_without_the_bus_a_commit_arrives_within_a_poll() -> None:
    async with process() as each:
        each.bus.fate = "refuse"
        async with subscribed(each.streams.reports(ONE, 0)) as subscriber:
            await subscriber.take()
            await each.commit(2)
            assert subscriber.items == []
            await each.clock.advance(0.25)
            assert subscriber.items == [report(1), report(2)]


async def test_all_watched_accounts_are_polled_by_one_query() -> None:
    async with process() as each:
        async with (
            subscribed(each.streams.reports(ONE, 0)) as one,
            subscribed(each.streams.reports(OTHER, 0)) as other,
            subscribed(each.streams.reports(ONE, 0)) as two,
        ):
            for subscriber in (one, other, two):
                await subscriber.take()
            each.store.reads.clear()
            await each.clock.advance(0.25)
            assert each.store.reads.count("heads") == 1
        await settle()
        each.store.reads.clear()
        await each.clock.advance(0.25)
        assert "heads" not in each.store.reads


async def test_news_of_a_report_that_the_store_does_not_show_is_not_believed() -> None:
    async with process() as each, subscribed(each.streams.reports(ONE, 0)) as subscriber:
        await subscriber.take()
        each.news.hear(batch(report(5)))
        await settle()
        assert subscriber.items == []
        assert each.store.reads.count("reports") == 1
        await each.commit(2)
        assert subscriber.items == [report(1), report(2)]


async def test_a_log_with_a_gap_ends_the_stream() -> None:
    async with process() as each:
        each.store.commit(3)
        del each.store.log[ONE][1]
        stream = each.streams.reports(ONE, 0)
        with pytest.raises(BrokenSequence, match="account one has no report 2"):
            await anext(stream)


async def test_a_slow_subscriber_stalls_no_other() -> None:
    async with (
        process() as each,
        subscribed(each.streams.reports(ONE, 0)) as slow,
        subscribed(each.streams.reports(ONE, 0)) as quick,
    ):
        await slow.take(1)
        await quick.take()
        for _ in range(4):
            await each.commit(REPORTS_KEPT)
        await quick.rest()
        assert len(quick.items) == 4 * REPORTS_KEPT
        assert len(slow.items) == 1
        await slow.take()
        assert slow.items == quick.items


async def test_when_the_process_stops_its_streams_end() -> None:
    async with process() as each:
        subscribers = (
            Subscriber(each.streams.reports(ONE, None)),
            Subscriber(each.streams.quotes({AAPL})),
            Subscriber(each.streams.positions(ONE)),
            Subscriber(each.streams.account(ONE)),
            Subscriber(each.streams.trading_states({ONE})),
        )
        for subscriber in subscribers:
            await subscriber.take()
        await each.clock.advance(0.1)
        each.news.close()
        await settle()
        assert all(subscriber.task.done() for subscriber in subscribers)
        for subscriber in subscribers:
            subscriber.task.result()


async def test_a_closed_iterator_is_detached() -> None:
    async with process() as each:
        each.store.commit(1)
        stream = each.streams.reports(ONE, 0)
        await anext(stream)
        assert each.news.watched == {ONE}
        await cast("asyncio.Future[None]", stream.aclose())  # type: ignore[attr-defined]
        assert not each.news.watched


# --- quotes --------------------------------------------------------------------------------------


async def test_quotes_begin_with_the_last_known_and_are_conflated() -> None:
    async with process() as each:
        await each.tell(quote(AAPL, "1"))
        async with subscribed(each.streams.quotes([AAPL, MSFT])) as subscriber:
            assert await subscriber.take(1) == [quote(AAPL, "1")]
            for bid in ("2", "3", "4"):
                await each.tell(quote(AAPL, bid), quote(MSFT, bid))
            assert await subscriber.take() == [quote(AAPL, "4"), quote(MSFT, "4")]


async def test_a_quote_told_twice_is_yielded_once() -> None:
    async with process() as each, subscribed(each.streams.quotes([AAPL])) as subscriber:
        await subscriber.take()
        await each.tell(quote(AAPL, "1"))
        await each.tell(quote(AAPL, "1"))
        assert subscriber.items == [quote(AAPL, "1")]


async def test_what_was_dealt_out_comes_before_what_the_desk_has() -> None:
    async with process() as each:
        await each.tell(quote(AAPL, "1"))
        each.quotes.by_symbol[AAPL] = quote(AAPL, "2")
        async with subscribed(each.streams.quotes([AAPL])) as subscriber:
            assert await subscriber.take() == [quote(AAPL, "1")]


# --- positions and accounts ----------------------------------------------------------------------


async def test_positions_are_told_once_and_when_they_change() -> None:
    async with process() as each:
        each.store.position_rows = [position(AAPL, 5), position(MSFT, 1)]
        async with subscribed(each.streams.positions(ONE)) as subscriber:
            assert await subscriber.take() == [position(AAPL, 5), position(MSFT, 1)]
            await each.clock.advance(0.06)
            each.store.position_rows[0] = position(AAPL, 6)
            await each.commit()
            assert subscriber.items[2:] == [position(AAPL, 6)]


async def test_a_position_that_becomes_flat_is_told_with_what_it_gained() -> None:
    async with process() as each:
        each.store.position_rows = [position(AAPL, 5)]
        async with subscribed(each.streams.positions(ONE)) as subscriber:
            await subscriber.take()
            await each.clock.advance(0.06)
            flat = replace(position(AAPL, 0), realized_pnl=Decimal(7), as_of_seq=2)
            each.store.position_rows = [flat]
            await each.commit()
            await each.clock.advance(0.06)
            await each.commit()
            assert subscriber.items[1:] == [flat]


async def test_what_open_orders_alone_reserve_is_no_position_yet() -> None:
    async with process() as each:
        traded = position(MSFT, 1)
        each.store.position_rows = [replace(traded, symbol=AAPL, as_of_seq=0), traded]
        async with subscribed(each.streams.positions(ONE)) as subscriber:
            assert await subscriber.take() == [traded]


async def test_marks_of_what_is_held_are_looked_at_once_a_second() -> None:
    async with process() as each:
        each.store.position_rows = [position(AAPL, 5), position(MSFT, 0)]
        async with subscribed(each.streams.positions(ONE)) as subscriber:
            assert len(await subscriber.take()) == 2
            each.store.reads.clear()
            for bid in range(1, 13):
                await each.tell(quote(AAPL, str(bid)), quote(MSFT, str(bid)))
                await each.clock.advance(0.25)
            assert subscriber.items[2:] == [position(AAPL, 5)] * 3
            assert each.store.reads.count("positions") <= 1


async def test_a_burst_of_reports_costs_one_look() -> None:
    async with process() as each, subscribed(each.streams.positions(ONE)) as subscriber:
        await subscriber.take()
        for _ in range(20):
            await each.commit()
            await each.clock.advance(0.002)
        assert each.store.reads.count("positions") == 1
        await each.clock.advance(0.02)
        assert each.store.reads.count("positions") == 2


async def test_an_account_is_told_when_its_row_or_a_mark_moves() -> None:
    async with process() as each:
        each.store.position_rows = [position(AAPL, 5)]
        async with subscribed(each.streams.account(ONE)) as subscriber:
            assert await subscriber.take() == [account()]
            await each.clock.advance(0.06)
            await each.commit()
            assert subscriber.items[1:] == [replace(account(), last_seq=1)]
            await each.tell(quote(AAPL, "7"))
            await each.clock.advance(1)
            assert len(subscriber.items) == 3
            await each.clock.advance(5)
            assert len(subscriber.items) == 3
        assert not each.news.watches_states
        assert not each.news._marks.keys()


@pytest.mark.parametrize("told", [True, False])
async def test_an_account_is_told_when_it_is_halted(told: bool) -> None:  # noqa: FBT001
    async with process() as each, subscribed(each.streams.account(ONE)) as subscriber:
        await subscriber.take()
        await each.clock.advance(0.3)
        halted = replace(account(), trading_state=TradingState.HALTED)
        each.store.account_rows[ONE] = halted
        each.store.changes.append(change(1))
        if told:
            each.relay.ring_states([change(1)])
            await settle()
        else:
            await each.clock.advance(0.25)
        assert subscriber.items[1:] == [halted]


async def test_an_account_that_is_not_there_is_not_found() -> None:
    async with process() as each:
        with pytest.raises(NotFound):
            await anext(each.streams.account(OTHER))


async def test_positions_outlive_a_store_that_is_down() -> None:
    async with process() as each, subscribed(each.streams.positions(ONE)) as subscriber:
        await subscriber.take()
        await each.clock.advance(0.06)
        each.store.is_down = True
        each.news.hear(batch(report(1)))
        await each.clock.advance(1)
        each.store.is_down = False
        each.store.position_rows = [replace(position(AAPL, 1), cost=Decimal(3))]
        await each.clock.advance(0.6)
        assert subscriber.items == each.store.position_rows


# --- trading states ------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["deliver", "repeat", "drop", "refuse"])
async def test_changes_of_state_come_once_in_order_from_now(fate: str) -> None:
    async with process() as each:
        each.store.changes = [change(1)]
        each.bus.fate = fate
        async with subscribed(each.streams.trading_states({ONE})) as subscriber:
            await subscriber.take()
            for number in (2, 4, 6):
                changes = [change(number), change(number + 1, OTHER)]
                each.store.changes.extend(changes)
                each.relay.ring_states(changes)
                await each.clock.advance(0.25)
            assert subscriber.items == [change(2), change(4), change(6)]
