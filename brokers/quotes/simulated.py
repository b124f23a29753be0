"""Simulated quotes: seeded random walks on the tick grid, the same for the same seed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from brokers.instruments import currency_pair, front_future, instrument_of
from trading.instrument import Instrument
from trading.ports import Clock, MarketClock
from trading.quantity import Px
from trading.quote import Quote

_UPDATES_PER_SECOND = 4
_STRAY = 20
"""A walk turns back when it has strayed by one part in so many from where it began."""


class Walk:
    """One random walk in ticks; instruments of the same underlying share one."""

    def __init__(self, start: Px, tick: Px, random: Random) -> None:
        """Begin at a price."""
        self._random = random
        self._start = self._ticks = int(start / tick)
        self._farthest = self._start // _STRAY

    def step(self) -> int:
        """Go a tick up or down, or stay; return the bid in ticks."""
        move = self._random.choice((-1, 0, 0, 1))
        if abs(self._ticks + move - self._start) <= self._farthest:
            self._ticks += move
        return self._ticks


@dataclass(frozen=True, slots=True)
class _Listing:
    """An instrument, its walk, and the most lots that its quotes show."""

    instrument: Instrument
    walk: Walk
    most_lots: int


class SimulatedQuotes:
    """Some stocks, the front index futures and a currency pair, all together four times a second.

    Together, because quotes cost by the frame, and these go in one. The market's time is the
    clock's own.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        """List the instruments as of the clock's time."""
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - a simulated market is no secret
        self._listings = _listings(clock.now(), self._random)

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments it quotes."""
        return [listing.instrument for listing in self._listings]

    @property
    def clock(self) -> MarketClock:
        """The market's time, which is the real one."""
        return self._clock

    async def quotes(self) -> AsyncIterator[Quote]:
        """Yield quotes without end."""
        while True:
            for listing in self._listings:
                yield self._quote(listing)
            await self._clock.sleep(1 / _UPDATES_PER_SECOND)

    def _quote(self, listing: _Listing) -> Quote:
        instrument, now = listing.instrument, self._clock.now()
        bid = listing.walk.step()
        ask = bid + self._random.choice((1, 1, 1, 2))
        return Quote(
            symbol=instrument.id,
            bid=bid * instrument.tick,
            bid_size=self._random.randint(1, listing.most_lots) * instrument.lot,
            ask=ask * instrument.tick,
            ask_size=self._random.randint(1, listing.most_lots) * instrument.lot,
            time=now,
            received_at=now,
            source="simulated",
        )


def _listings(now: int, random: Random) -> Sequence[_Listing]:
    stocks = [
        _Listing(instrument, Walk(Decimal(start), instrument.tick, random), 1000)
        for symbol, start in (("AAPL", 230), ("MSFT", 430), ("NVDA", 140))
        if (instrument := instrument_of(symbol, now)) is not None
    ]
    es, mes = front_future("ES", now), front_future("MES", now)
    index = Walk(Decimal(6000), es.tick, random)
    eurusd = currency_pair("EUR", "USD")
    return [
        *stocks,
        _Listing(es, index, 60),
        _Listing(mes, index, 200),
        _Listing(eurusd, Walk(Decimal("1.1"), eurusd.tick, random), 2000),
    ]
