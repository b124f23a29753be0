"""Quotes between processes: from the one that has a source to those that have none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from events.broadcaster import News
from events.codec import Channel, QuoteFrame, encode
from events.quotecache import QuoteCache
from events.relay import Bus, BusUnavailable
from trading.ids import InstrumentID
from trading.ports import Clock
from trading.quote import Quote

logger = logging.getLogger(__name__)

READ_EVERY_S = 1.0
MISSED_MAX = 4_096


class QuoteFeed:
    """What a process with a source does with each frame: it goes to the cache and to the bus.

    A frame that the bus does not take is not kept: the next one is newer.
    """

    def __init__(self, bus: Bus, cache: QuoteCache) -> None:
        """Take where frames go."""
        self._bus, self._cache = bus, cache
        self._is_failing = False

    async def publish(self, quotes: Sequence[Quote]) -> None:
        """Pass a frame on, as the quote desk asks for it."""
        self._cache.keep(quotes)
        try:
            await self._bus.publish(Channel.QUOTES, encode(QuoteFrame(tuple(quotes))))
            self._is_failing = False
        except BusUnavailable as error:
            # Once for each outage, because there are up to fifty frames a second.
            if not self._is_failing:
                logger.warning("quotes are not heard elsewhere: %s", error)
            self._is_failing = True


class HeardQuotes:
    """The `Quotes` of a process without a source: what it has heard, else what the cache has.

    `symbols` are looked up first of all. `want` passes on to whoever feeds the store.
    """

    def __init__(
        self,
        *,
        news: News,
        cache: QuoteCache,
        clock: Clock,
        want: Callable[[Collection[InstrumentID]], None],
        symbols: Collection[InstrumentID] = (),
    ) -> None:
        """Take its parts; nothing is looked up before `run`."""
        self._news, self._cache, self._clock, self._want = news, cache, clock, want
        self._missed = set(symbols)
        self._has_missed = asyncio.Event()
        self._has_missed.set()

    def last(self, symbol: InstrumentID) -> Quote | None:
        """Return the newest quote; None where it is not known, or not yet."""
        quote = self._news.last(symbol)
        if quote is None and len(self._missed) < MISSED_MAX:
            self._missed.add(symbol)
            self._has_missed.set()
        return quote

    def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that reference prices of these symbols are needed in the store, for some minutes."""
        self._want(symbols)

    async def run(self) -> None:
        """Look up what was missed, at most once a second, until canceled."""
        while True:
            await self._has_missed.wait()
            self._has_missed.clear()
            missed, self._missed = self._missed, set()
            self._fill(await self._cache.read(missed))
            await self._clock.sleep(READ_EVERY_S)

    def _fill(self, quotes: Sequence[Quote]) -> None:
        # What was heard meanwhile is newer than what was kept.
        unheard = tuple(quote for quote in quotes if self._news.last(quote.symbol) is None)
        self._news.hear(QuoteFrame(unheard))
