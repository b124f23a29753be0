"""A process without a source knows what it heard, else what the cache has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from events.broadcaster import Handoff, News
from events.codec import Channel, QuoteFrame, decode
from events.quotecache import QuoteCache
from events.quotes import MISSED_MAX, HeardQuotes, QuoteFeed
from tests.events.fakes import AAPL, MSFT, FakeClock, FaultyBus, quote, settle
from trading.ids import InstrumentID
from trading.quote import Quote


class StandIn:
    """A cache that answers what a test has put there, and remembers what it was asked."""

    def __init__(self) -> None:
        self.quotes = {AAPL: quote(AAPL, "1")}
        self.asked: list[set[InstrumentID]] = []
        self.kept: list[Quote] = []
        self.answers = asyncio.Event()
        self.answers.set()

    def keep(self, quotes: Sequence[Quote]) -> None:
        self.kept.extend(quotes)

    async def read(self, symbols: set[InstrumentID]) -> list[Quote]:
        self.asked.append(symbols)
        await self.answers.wait()
        return [self.quotes[each] for each in symbols if each in self.quotes]


@asynccontextmanager
async def listening(
    *symbols: InstrumentID,
) -> AsyncIterator[tuple[HeardQuotes, News, StandIn, FakeClock]]:
    clock, cache = FakeClock(), StandIn()
    news = News(Handoff(), clock)
    quotes = HeardQuotes(
        news=news,
        cache=cast("QuoteCache", cache),
        clock=clock,
        want=lambda _: None,
        symbols=symbols,
    )
    task = asyncio.create_task(quotes.run())
    try:
        yield quotes, news, cache, clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_at_its_start_a_process_looks_up_what_it_trades() -> None:
    async with listening(AAPL, MSFT) as (quotes, _, cache, _clock):
        await settle()
        assert cache.asked == [{AAPL, MSFT}]
        assert quotes.last(AAPL) == quote(AAPL, "1")
        assert quotes.last(MSFT) is None


async def test_what_is_missed_is_looked_up_once_a_second_and_told_to_subscribers() -> None:
    async with listening() as (quotes, news, cache, clock):
        await settle()
        with news.quotes_of({AAPL}) as inbox:
            for _ in range(10):
                assert quotes.last(AAPL) is None
                await clock.advance(0.05)
            assert inbox.take() is None
            await clock.advance(1)
            assert inbox.take() == quotes.last(AAPL) == quote(AAPL, "1")
        await clock.advance(10)
        assert cache.asked == [set(), {AAPL}]


async def test_what_was_heard_is_not_replaced() -> None:
    async with listening(AAPL) as (quotes, news, cache, _clock):
        cache.answers.clear()
        await settle()
        news.hear(QuoteFrame((quote(AAPL, "2"),)))
        cache.answers.set()
        await settle()
        assert quotes.last(AAPL) == quote(AAPL, "2")


async def test_what_is_missed_is_bounded() -> None:
    async with listening() as (quotes, _news, cache, clock):
        cache.answers.clear()
        await settle()
        for number in range(2 * MISSED_MAX):
            quotes.last(InstrumentID(f"S{number}"))
        cache.answers.set()
        await clock.advance(1)
        assert max(map(len, cache.asked)) == MISSED_MAX


async def test_what_is_wanted_is_passed_on() -> None:
    wanted: list[InstrumentID] = []
    clock = FakeClock()
    quotes = HeardQuotes(
        news=News(Handoff(), clock),
        cache=cast("QuoteCache", StandIn()),
        clock=clock,
        want=wanted.extend,
    )
    quotes.want([AAPL, MSFT])
    assert wanted == [AAPL, MSFT]


async def test_a_frame_is_kept_and_published_and_lost_where_the_bus_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, cache = FaultyBus(Handoff()), StandIn()
    feed = QuoteFeed(bus, cast("QuoteCache", cache))
    bus.fate = "refuse"
    for bid in ("1", "2"):
        await feed.publish([quote(AAPL, bid)])
    bus.fate = "drop"
    await feed.publish([quote(AAPL, "3"), quote(MSFT, "3")])
    assert cache.kept == [quote(AAPL, "1"), quote(AAPL, "2"), quote(AAPL, "3"), quote(MSFT, "3")]
    ((channel, message),) = bus.sent
    assert channel == Channel.QUOTES
    assert decode(message) == QuoteFrame((quote(AAPL, "3"), quote(MSFT, "3")))
    assert caplog.text.count("quotes are not heard elsewhere: refused") == 1
