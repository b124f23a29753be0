"""Reference prices for a process that feeds none."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.trading.builders import AAPL, NS
from tests.trading.fakes import ManualClock, NoQuotes, settle
from trading.ids import InstrumentID
from trading.prices import StorePrices
from trading.quote import Quote
from trading.store import StoreUnavailable


class References:
    """References whose receipt times a test sets, and which count how often they are asked."""

    def __init__(self) -> None:
        self.received: dict[InstrumentID, int] = {}
        self.asked = 0

    async def put(self, quotes: Sequence[Quote]) -> None:
        self.received |= {quote.symbol: quote.received_at for quote in quotes}

    async def ages(self, symbols: Collection[InstrumentID]) -> Mapping[InstrumentID, int]:
        self.asked += 1
        return {each: self.received[each] for each in symbols if each in self.received}


class Wanted:
    def __init__(self) -> None:
        self.told: list[set[InstrumentID]] = []
        self.is_down = False

    async def want(self, symbols: Collection[InstrumentID]) -> None:
        if self.is_down:
            raise StoreUnavailable("down")
        self.told.append(set(symbols))

    async def wanted(self) -> Collection[InstrumentID]:
        return set().union(*self.told)


class World:
    def __init__(self) -> None:
        self.clock, self.references, self.wanted = ManualClock(), References(), Wanted()
        self.prices = StorePrices(
            references=self.references, wanted=self.wanted, quotes=NoQuotes(), clock=self.clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        task = asyncio.create_task(self.prices.run())
        try:
            yield self
        finally:
            task.cancel()

    async def fresh(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.prices.fresh([AAPL]))
        await settle()
        return task


async def test_a_recent_price_is_ready_at_once_and_not_asked_for_again_and_again() -> None:
    async with World().running() as world:
        world.references.received[AAPL] = world.clock.now()
        for _ in range(3):
            assert (await world.fresh()).done()

        assert world.references.asked == 1


async def test_what_nobody_has_wanted_is_waited_for_until_it_comes() -> None:
    async with World().running() as world:
        waiting = await world.fresh()
        assert not waiting.done()
        assert world.wanted.told == [{AAPL}]

        world.references.received[AAPL] = world.clock.now()
        await world.clock.advance(0.05)
        assert waiting.done()


async def test_what_does_not_come_is_not_waited_for_longer_than_half_a_second() -> None:
    async with World().running() as world:
        waiting = await world.fresh()
        await world.clock.advance(0.5)

        assert waiting.done()


async def test_a_price_that_has_grown_old_is_waited_for() -> None:
    async with World().running() as world:
        world.references.received[AAPL] = world.clock.now() - 4 * NS

        assert not (await world.fresh()).done()


async def test_what_could_not_be_said_is_said_again() -> None:
    async with World().running() as world:
        world.wanted.is_down = True
        world.prices.want([AAPL])
        await settle()
        world.wanted.is_down = False
        await world.clock.advance(0.1)

        assert world.wanted.told == [{AAPL}]
