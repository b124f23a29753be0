"""The quote desk tells everyone who must know, as often as it must and no more."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.events.fakes import AAPL, MSFT, FakeClock, quote, settle
from trading.ids import InstrumentID
from trading.instrument import Instrument
from trading.marketdata import QuoteDesk
from trading.ports import MarketClock
from trading.quote import Quote


class FakeSource:
    """Market data that a test hands out, ends or breaks."""

    instruments: Sequence[Instrument] = ()

    def __init__(self, clock: MarketClock) -> None:
        self.clock = clock
        self.starts = 0
        self._coming: asyncio.Queue[Quote | Exception | None] = asyncio.Queue()

    async def quotes(self) -> AsyncIterator[Quote]:
        self.starts += 1
        while (item := await self._coming.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def give(self, *items: Quote | Exception | None) -> None:
        for item in items:
            self._coming.put_nowait(item)
        await settle()


class FakePrices:
    """Reference prices that remember every put, and fail when told to."""

    def __init__(self) -> None:
        self.puts: list[list[Quote]] = []
        self.attempts = 0
        self.is_down = False

    async def put(self, quotes: Sequence[Quote]) -> None:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionError("down")
        self.puts.append(list(quotes))

    async def ages(self, symbols: Collection[InstrumentID]) -> Mapping[InstrumentID, int]:
        raise NotImplementedError(symbols)


class Bench:
    """A desk, with all around it made up."""

    def __init__(self) -> None:
        self.clock, self.prices = FakeClock(), FakePrices()
        self.source = FakeSource(self.clock)
        self.heard: list[Quote] = []
        self.frames: list[list[Quote]] = []
        self.bus_is_down = self.listener_is_broken = False
        self.desk = QuoteDesk(
            source=self.source,
            references=self.prices,
            clock=self.clock,
            publish=self._publish,
            listeners=[self._break, self.heard.append],
        )

    async def _publish(self, quotes: Sequence[Quote]) -> None:
        if self.bus_is_down:
            raise ConnectionError("down")
        self.frames.append(list(quotes))

    def _break(self, each: Quote) -> None:
        if self.listener_is_broken:
            raise ValueError(each)


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.desk.run())
    await settle()
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_last_quote_is_known_and_each_is_heard() -> None:
    async with running() as bench:
        given = [quote(AAPL, "1"), quote(MSFT, "7"), quote(AAPL, "2")]
        await bench.source.give(*given)
        assert bench.heard == given
        assert bench.desk.last(AAPL) == quote(AAPL, "2")
        assert bench.desk.last(InstrumentID("TSLA@XNAS")) is None


async def test_frames_are_conflated_and_at_most_one_in_20_ms() -> None:
    async with running() as bench:
        await bench.source.give(quote(AAPL, "1"))
        assert bench.frames == [[quote(AAPL, "1")]]
        await bench.source.give(quote(AAPL, "2"), quote(MSFT, "2"), quote(AAPL, "3"))
        await bench.clock.advance(0.019)
        assert len(bench.frames) == 1
        await bench.clock.advance(0.001)
        assert bench.frames[1:] == [[quote(AAPL, "3"), quote(MSFT, "2")]]
        await bench.clock.advance(1)
        assert len(bench.frames) == 2


async def test_a_bus_that_is_down_costs_frames_and_nothing_else() -> None:
    async with running() as bench:
        bench.bus_is_down = True
        await bench.source.give(quote(AAPL, "1"))
        bench.bus_is_down = False
        await bench.source.give(quote(AAPL, "2"))
        await bench.clock.advance(1)
        assert bench.frames == [[quote(AAPL, "2")]]


async def test_a_listener_that_fails_silences_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        bench.listener_is_broken = True
        await bench.source.give(quote(AAPL, "1"))
        assert bench.heard == [quote(AAPL, "1")]
        assert bench.source.starts == 1
        assert "a listener failed on a quote of AAPL@XNAS" in caplog.text


async def test_a_source_that_fails_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        await bench.source.give(quote(AAPL, "1"), OSError("gone"))
        await bench.clock.advance(0.9)
        assert bench.source.starts == 1
        await bench.clock.advance(0.1)
        await bench.source.give(OSError("gone again"), quote(AAPL, "2"))
        await bench.clock.advance(1.9)
        assert (bench.source.starts, bench.desk.last(AAPL)) == (2, quote(AAPL, "1"))
        await bench.clock.advance(0.1)
        assert (bench.source.starts, bench.desk.last(AAPL)) == (3, quote(AAPL, "2"))
        assert "the source of quotes failed, begun again in 2 s" in caplog.text


async def test_a_source_that_ends_leaves_its_last_quotes(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        await bench.source.give(quote(AAPL, "1"), None)
        await bench.clock.advance(100)
        assert (bench.source.starts, bench.desk.last(AAPL)) == (1, quote(AAPL, "1"))
        assert [each.levelno for each in caplog.records] == [logging.WARNING]


async def test_only_wanted_symbols_go_to_the_store_once_a_second_each() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        for bid in range(1, 41):
            await bench.source.give(quote(AAPL, str(bid)), quote(MSFT, str(bid)))
            await bench.clock.advance(0.1)
        bids = [str(each.bid) for (each,) in bench.prices.puts]
        assert {each.symbol for (each,) in bench.prices.puts} == {AAPL}
        assert bids == ["1", "10", "20", "30", "40"]


async def test_a_newly_wanted_symbol_is_stored_at_once() -> None:
    async with running() as bench:
        await bench.source.give(quote(AAPL, "1"))
        assert bench.prices.puts == []
        bench.desk.want([AAPL, MSFT])
        await settle()
        assert bench.prices.puts == [[quote(AAPL, "1")]]
        await bench.source.give(quote(MSFT, "2"))
        assert bench.prices.puts[1:] == [[quote(MSFT, "2")]]


async def test_a_quote_is_stored_once() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        await bench.source.give(quote(AAPL, "1"))
        await bench.clock.advance(10)
        assert bench.prices.puts == [[quote(AAPL, "1")]]


async def test_a_want_expires_and_begins_anew() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        await bench.source.give(quote(AAPL, "1"))
        await bench.clock.advance(301)
        await bench.source.give(quote(AAPL, "2"))
        await bench.clock.advance(2)
        assert len(bench.prices.puts) == 1
        bench.desk.want([AAPL])
        await settle()
        assert bench.prices.puts[1:] == [[quote(AAPL, "2")]]


async def test_a_want_that_is_renewed_stays() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        await bench.clock.advance(200)
        bench.desk.want([AAPL])
        await bench.clock.advance(200)
        await bench.source.give(quote(AAPL, "1"))
        assert len(bench.prices.puts) == 1


async def test_a_store_that_is_down_is_asked_four_times_a_second() -> None:
    async with running() as bench:
        bench.prices.is_down = True
        bench.desk.want([AAPL])
        for bid in range(1, 101):
            await bench.source.give(quote(AAPL, str(bid)))
            await bench.clock.advance(0.01)
        assert 0 < bench.prices.attempts <= 5
        bench.prices.is_down = False
        await bench.clock.advance(0.5)
        assert bench.prices.puts == [[quote(AAPL, "100")]]


async def test_fresh_returns_when_every_symbol_is_in_the_store() -> None:
    async with running() as bench:
        await bench.source.give(quote(AAPL, "1"))
        waiting = asyncio.create_task(bench.desk.fresh([AAPL, MSFT]))
        await settle()
        assert not waiting.done()
        await bench.source.give(quote(MSFT, "2"))
        assert waiting.done()
        assert sorted(each.symbol for put in bench.prices.puts for each in put) == [AAPL, MSFT]


async def test_fresh_waits_no_longer_than_it_was_told() -> None:
    async with running() as bench:
        waiting = asyncio.create_task(bench.desk.fresh([AAPL]))
        await bench.clock.advance(0.49)
        assert not waiting.done()
        await bench.clock.advance(0.01)
        assert waiting.done()


async def test_fresh_does_not_wait_for_what_is_there() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        await bench.source.give(quote(AAPL, "1"))
        await asyncio.wait_for(bench.desk.fresh([AAPL]), timeout=1)
        await asyncio.wait_for(bench.desk.fresh([]), timeout=1)


async def test_fresh_after_the_want_expired_waits_for_a_new_put() -> None:
    async with running() as bench:
        bench.desk.want([AAPL])
        await bench.source.give(quote(AAPL, "1"))
        await bench.clock.advance(301)
        puts = len(bench.prices.puts)
        await asyncio.wait_for(bench.desk.fresh([AAPL]), timeout=1)
        assert len(bench.prices.puts) == puts + 1


async def test_a_canceled_wait_leaves_nothing_behind() -> None:
    async with running() as bench:
        waiting = asyncio.create_task(bench.desk.fresh([AAPL]))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
