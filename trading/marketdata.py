"""The quote desk: the last quote of each symbol, and who must learn of it.

It passes a source of market data on to the exchange in this process, to the bus in frames, and to
the store, from which risk reads. It never holds a quote back and never makes one up: without a
source the last quotes grow stale, which risk refuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from trading.ids import InstrumentID
from trading.ports import Clock, MarketData
from trading.quote import Quote
from trading.store import ReferencePrices, StoreUnavailable

logger = logging.getLogger(__name__)

FRAME_S = 0.02
REFERENCE_NS = 1_000_000_000
REFERENCE_LOOK_S = 0.25
WANTED_NS = 300_000_000_000
WAIT_S = 0.5
PAUSE_MIN_S = 1.0
PAUSE_MAX_S = 30.0

type Listener = Callable[[Quote], None]
type Publish = Callable[[Sequence[Quote]], Awaitable[None]]


class QuoteDesk:
    """The `Quotes` of the process that owns a source of market data.

    `listeners` are told each quote at once. `publish` gets frames: the newest quote of each symbol
    that has changed, at most one frame in 20 ms. The store gets the reference prices of wanted
    symbols, each at most once a second, and at once where it has none since it was wanted.
    """

    def __init__(
        self,
        *,
        source: MarketData,
        references: ReferencePrices,
        clock: Clock,
        publish: Publish,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Take its parts; nothing runs before `run`."""
        self._source, self._references, self._clock = source, references, clock
        self._publish, self._listeners = publish, listeners
        self._last: dict[InstrumentID, Quote] = {}
        self._frame: dict[InstrumentID, Quote] = {}
        self._has_frame = asyncio.Event()
        self._wanted_until: dict[InstrumentID, int] = {}
        self._put_at: dict[InstrumentID, int] = {}
        self._put_quote: dict[InstrumentID, Quote] = {}
        self._look = asyncio.Event()
        self._was_put = asyncio.Event()

    def last(self, symbol: InstrumentID) -> Quote | None:
        """Return the newest quote, or None before the first."""
        return self._last.get(symbol)

    def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that reference prices of these symbols are needed in the store, for five minutes."""
        until = self._clock.monotonic() + WANTED_NS
        for symbol in symbols:
            if symbol not in self._wanted_until:
                self._look.set()
            self._wanted_until[symbol] = until

    async def fresh(self, symbols: Collection[InstrumentID], max_wait_s: float = WAIT_S) -> None:
        """Want these symbols, and wait until the store has a reference of each, or long enough."""
        self.want(symbols)
        if self._has_put(symbols):
            return
        timer = asyncio.ensure_future(self._clock.sleep(max_wait_s))
        waiting = asyncio.ensure_future(self._wait_for_put(symbols))
        try:
            await asyncio.wait({timer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            waiting.cancel()

    def _has_put(self, symbols: Collection[InstrumentID]) -> bool:
        return all(symbol in self._put_at for symbol in symbols)

    async def _wait_for_put(self, symbols: Collection[InstrumentID]) -> None:
        while not self._has_put(symbols):
            await self._was_put.wait()

    async def run(self) -> None:
        """Pass quotes on until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._consume())
            tasks.create_task(self._publish_frames())
            tasks.create_task(self._keep_references())
            tasks.create_task(self._look_by_itself())

    # --- from the source -------------------------------------------------------------------------

    async def _consume(self) -> None:
        pause_s = PAUSE_MIN_S
        while True:
            try:
                async for quote in self._source.quotes():
                    self._take(quote)
                    pause_s = PAUSE_MIN_S
            except Exception:
                logger.exception("the source of quotes failed, begun again in %.0f s", pause_s)
            else:
                logger.warning("the source of quotes has ended: the last ones grow stale")
                return
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _take(self, quote: Quote) -> None:
        self._last[quote.symbol] = quote
        for tell in self._listeners:
            try:
                tell(quote)
            except Exception:
                logger.exception("a listener failed on a quote of %s", quote.symbol)
        self._frame[quote.symbol] = quote
        self._has_frame.set()
        if quote.symbol in self._wanted_until and quote.symbol not in self._put_at:
            self._look.set()

    # --- to the bus ------------------------------------------------------------------------------

    async def _publish_frames(self) -> None:
        while True:
            await self._has_frame.wait()
            self._has_frame.clear()
            quotes, self._frame = tuple(self._frame.values()), {}
            try:
                await self._publish(quotes)
                await self._clock.sleep(FRAME_S)
            except Exception:
                logger.exception("a frame of quotes is lost, next in %.0f s", PAUSE_MIN_S)
                await self._clock.sleep(PAUSE_MIN_S)

    # --- to the store ----------------------------------------------------------------------------

    async def _look_by_itself(self) -> None:
        while True:
            await self._clock.sleep(REFERENCE_LOOK_S)
            self._look.set()

    async def _keep_references(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            self._expire()
            if quotes := [
                self._last[symbol] for symbol in self._wanted_until if self._is_due(symbol)
            ]:
                try:
                    await self._put(quotes)
                except Exception as error:
                    if isinstance(error, StoreUnavailable):
                        logger.warning("reference prices cannot be stored: %s", error)
                    else:
                        logger.exception("storing reference prices failed")
                    # Without this rest a store that is down would be asked at every quote.
                    await self._clock.sleep(REFERENCE_LOOK_S)

    def _is_due(self, symbol: InstrumentID) -> bool:
        quote, put = self._last.get(symbol), self._put_quote.get(symbol)
        if quote is None or quote is put:
            return False
        return put is None or self._clock.monotonic() - self._put_at[symbol] >= REFERENCE_NS

    async def _put(self, quotes: Sequence[Quote]) -> None:
        await self._references.put(quotes)
        now = self._clock.monotonic()
        for quote in quotes:
            self._put_at[quote.symbol] = now
            self._put_quote[quote.symbol] = quote
        # Whoever waits looks for itself, so the bell is rung and silent again at once.
        self._was_put.set()
        self._was_put.clear()

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for symbol in [each for each, until in self._wanted_until.items() if until <= now]:
            del self._wanted_until[symbol]
            self._put_at.pop(symbol, None)
            self._put_quote.pop(symbol, None)
