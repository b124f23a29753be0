"""Quotes from a paper exchange in a process of its own, so that all gateways see its market."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from brokers.paper.client import Address, Dialogue, ExchangeLink
from brokers.paper.wire import Message, ProtocolError, decode_items, decode_quote
from trading.ids import InstrumentID
from trading.instrument import Instrument
from trading.ports import Clock, Environment, MarketClock, Unavailable
from trading.quote import Quote


class _ToldClock:
    """The market's time as the exchange last told it, with each quote and at least every second."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class RemoteQuotes:
    """The market of an exchange: the latest quote of each symbol, never a backlog.

    While the exchange is away there are none, and the last ones grow stale.
    """

    def __init__(self, *, address: Address, environment: Environment, clock: Clock) -> None:
        """Connect to nothing yet."""
        self._clock = clock
        self._market = _ToldClock()
        self._instruments: Sequence[Instrument] = ()
        self._latest: dict[InstrumentID, Quote] = {}
        self._moved = asyncio.Event()
        self._is_closed = False
        self._link = ExchangeLink(
            address=address,
            environment=environment,
            clock=clock,
            ready=self._subscribe,
            push=self._take,
        )

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments that the exchange lists, as of the first connection."""
        return self._instruments

    @property
    def clock(self) -> MarketClock:
        """The market's time, which is the exchange's: at most a second behind."""
        return self._market

    async def connect(self) -> None:
        """Connect, and learn the instruments and the time. Raises Unavailable."""
        await self._link.open(None)

    async def close(self) -> None:
        """Let go of the connection, and end `quotes`."""
        self._is_closed = True
        self._moved.set()
        await self._link.close()

    async def quotes(self) -> AsyncIterator[Quote]:
        """Yield quotes, over as many connections as it takes, for one consumer.

        `received_at` is when the exchange had a quote, on this process's clock.
        """
        while not self._is_closed:
            self._moved.clear()
            while self._latest:
                yield self._latest.pop(next(iter(self._latest)))
            await self._moved.wait()

    async def _subscribe(self, dialogue: Dialogue) -> None:
        if not self._instruments:
            listed = await dialogue.call({"instruments": {}})
            if not isinstance(listed, list) or not listed:
                raise Unavailable("the exchange gave no list of instruments")
            try:
                self._instruments = decode_items(Instrument, listed)
            except ValueError as error:
                raise Unavailable(f"the exchange's instruments are unreadable: {error}") from None
        await dialogue.call({"quotes": {}})

    def _take(self, message: Message, line: bytes) -> None:
        match message:
            case {"quotes": list(quotes), "market_time": int(time)}:
                self._market.time = time
                now = self._clock.now()
                for quote in [decode_quote(each, now) for each in quotes]:
                    self._latest[quote.symbol] = quote
                self._moved.set()
            case {"beat": {"market_time": int(time)}} | {"welcome": {"market_time": int(time)}}:
                self._market.time = time
            case _:
                raise ProtocolError(f"something unheard of came: {line[:200]!r}")
