"""Reference prices for a process that feeds none: it says what it wants, and waits a little."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from trading.ids import InstrumentID
from trading.ports import FRESH_WAIT_S, Clock, Quotes
from trading.quote import Quote
from trading.store import ReferencePrices, StoreUnavailable, Wanted

logger = logging.getLogger(__name__)

_LOOK_S = 0.05
_SAY_EVERY_S = 0.02
_HELD_MAX = 4096
# The feed puts a wanted price at most once a second; one much older is nobody's any more.
_RECENT_NS = 3_000_000_000
_SEEN_NS = 1_000_000_000


class StorePrices:
    """The `Prices` and `Quotes` of one process among many, over the store that all share."""

    def __init__(
        self, *, references: ReferencePrices, wanted: Wanted, quotes: Quotes, clock: Clock
    ) -> None:
        """Take what is heard of quotes; nothing is said to be wanted before `run`."""
        self._references = references
        self._wanted = wanted
        self._quotes = quotes
        self._clock = clock
        self._unsaid: set[InstrumentID] = set()
        self._has_unsaid = asyncio.Event()
        self._seen_until: dict[InstrumentID, int] = {}

    def last(self, symbol: InstrumentID) -> Quote | None:
        """Return the newest quote that this process has heard."""
        return self._quotes.last(symbol)

    def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that reference prices of these symbols are needed in the store, for some minutes."""
        if symbols and len(self._unsaid) < _HELD_MAX:
            self._unsaid |= set(symbols)
            self._has_unsaid.set()

    async def fresh(
        self, symbols: Collection[InstrumentID], max_wait_s: float = FRESH_WAIT_S
    ) -> None:
        """Return when the store has a recent reference of each symbol, or after the wait."""
        self.want(symbols)
        now = self._clock.monotonic()
        # Seen a moment ago: the transaction judges it anyway, and each order would read it twice.
        if all(now < self._seen_until.get(symbol, 0) for symbol in symbols):
            return
        deadline = now + int(max_wait_s * 1_000_000_000)
        while not await self._are_recent(symbols) and self._clock.monotonic() < deadline:
            await self._clock.sleep(_LOOK_S)

    async def _are_recent(self, symbols: Collection[InstrumentID]) -> bool:
        received = await self._references.ages(symbols)
        since = self._clock.now() - _RECENT_NS
        recent = {symbol for symbol in symbols if received.get(symbol, 0) > since}
        self._seen_until |= dict.fromkeys(recent, self._clock.monotonic() + _SEEN_NS)
        return recent >= set(symbols)

    async def run(self) -> None:
        """Say what is wanted, until canceled; what could not be said is said again."""
        while True:
            await self._has_unsaid.wait()
            self._has_unsaid.clear()
            unsaid, self._unsaid = self._unsaid, set()
            try:
                await self._wanted.want(unsaid)
            except StoreUnavailable as error:
                logger.warning("the store was not told which prices are wanted: %s", error)
                self.want(unsaid)
            await self._clock.sleep(_SAY_EVERY_S)
