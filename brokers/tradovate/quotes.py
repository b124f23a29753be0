"""Quotes of futures from Tradovate's socket of market data, and their specifications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from brokers.tradovate.client import TradovateClient
from brokers.tradovate.link import TradovateLink, TradovateSettings
from brokers.tradovate.messages import document, instant, integer, number
from brokers.tradovate.socket import Socket
from brokers.tradovate.specification import specified
from trading.ids import InstrumentID
from trading.instrument import Instrument
from trading.ports import (
    BrokerError,
    Clock,
    Environment,
    MarketClock,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from trading.quantity import ZERO
from trading.quote import Quote

logger = logging.getLogger(__name__)

_LOG = "tradovate-quotes.jsonl"
_SUBSCRIBE = "md/subscribequote"
_PAUSES_S = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_SOURCE = "tradovate"


class _Told:
    """The market's time as the last quote has it: a simulator's market may be of another day."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class TradovateQuotes:
    """The latest quote of each symbol, never a backlog. While the socket is away there are none.

    It is opened by who reads the quotes first, for a user has but two sessions.
    """

    def __init__(
        self, settings: TradovateSettings, clock: Clock, *, symbols: Sequence[str]
    ) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._clock = clock
        self._symbols = symbols
        self._told = _Told()
        self._by_contract: dict[int, InstrumentID] = {}
        self._instruments: Sequence[Instrument] = ()
        self._latest: dict[InstrumentID, Quote] = {}
        self._moved = asyncio.Event()
        self._is_closed = False
        self._link: TradovateLink | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The futures of the symbols asked for, as of the connection."""
        return self._instruments

    @property
    def clock(self) -> MarketClock:
        """The market's time: ours, but for a simulator, whose quotes tell it."""
        return self._told if self._settings.environment is Environment.SIM else self._clock

    async def connect(self) -> None:
        """Learn what the contracts are. Raises BrokerError."""
        self._link = TradovateLink(self._settings, self._clock, _LOG)
        found = []
        try:
            for symbol in self._symbols:
                contract_id, instrument = await specified(
                    self._link.client, symbol, self._settings.environment
                )
                self._by_contract[contract_id] = instrument.id
                found.append(instrument)
            self._told.time = await _latest(self._link.client)
        except BaseException:
            await self._link.close()
            raise
        self._instruments = found

    async def close(self) -> None:
        """Let go of the socket, and end `quotes`."""
        self._is_closed = True
        self._moved.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._link is not None:
            await self._link.close()

    async def quotes(self) -> AsyncIterator[Quote]:
        """Yield the newest quote of each symbol that has changed, for one consumer."""
        if self._running is None and self._link is not None:
            self._running = asyncio.create_task(self._run(self._link), name="tradovate-quotes")
        while not self._is_closed:
            self._moved.clear()
            while self._latest:
                yield self._latest.pop(next(iter(self._latest)))
            await self._moved.wait()

    # --- the socket ---

    async def _run(self, link: TradovateLink) -> None:
        failures = 0
        while True:
            wait_s = 0.0
            try:
                await self._read(link)
            except BrokerError as error:
                logger.warning("Tradovate's quotes are away: %s", error)
                wait_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
            pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
            failures = 0 if self._latest else failures + 1
            if 0 < (shut_s := link.shut_s()) <= pause_s:
                pause_s, failures = shut_s, 0
            await self._clock.sleep(max(wait_s, pause_s))

    async def _read(self, link: TradovateLink) -> None:
        token = await link.client.token()
        try:
            async with link.data_socket() as socket:
                await socket.authorize(token.data_value)
                renewing = asyncio.create_task(self._keep(link, socket, token.value))
                try:
                    await self._follow(link, socket)
                finally:
                    renewing.cancel()
                    await asyncio.gather(renewing, return_exceptions=True)
        except Unauthorized:
            link.login.spoil(token.value)
            raise

    async def _follow(self, link: TradovateLink, socket: Socket) -> None:
        for instrument in self._instruments:
            body = link.penalties.with_ticket(_SUBSCRIBE, {"symbol": instrument.symbol})
            said = document(await socket.request(_SUBSCRIBE, body) or {})
            link.penalties.examine(_SUBSCRIBE, {"symbol": instrument.symbol}, said)
            if said.get("errorText"):
                raise Rejected(f"no quotes of {instrument.symbol}: {said['errorText']}")
        async for event in socket.events():
            match event:
                case {"e": "md", "d": {"quotes": [*quotes]}}:
                    for each in quotes:
                        self._take(each)
                case {"e": "shutdown", "d": said}:
                    raise Unauthorized(f"Tradovate ends the socket of quotes: {said}")
                case _:
                    pass

    async def _keep(self, link: TradovateLink, socket: Socket, shown: str) -> None:
        """Renew the token in time, and show the socket the new one."""
        while True:
            await self._clock.sleep(max(link.login.renew_in_s(), _PAUSES_S[0]))
            try:
                token = await link.client.renewed()
                if token.value != shown:
                    await socket.authorize(token.data_value)
                    shown = token.value
            except BrokerError as error:
                logger.warning("the token of Tradovate's quotes could not be renewed: %s", error)
                await self._clock.sleep(_PAUSES_S[-1])

    def _take(self, given: object) -> None:
        try:
            quote = self._quote(document(given))
        except (KeyError, ValueError, ArithmeticError) as error:
            logger.warning("a quote of Tradovate cannot be read: %r, in %.200r", error, given)
            return
        if quote is not None:
            self._latest[quote.symbol] = quote
            self._told.time = max(self._told.time, quote.time)
            self._moved.set()

    def _quote(self, given: Mapping[str, Any]) -> Quote | None:
        """Read a quote; None for one that nobody asked for. Raises ValueError, KeyError."""
        symbol = self._by_contract.get(integer(given, "contractId"))
        if symbol is None:
            return None
        entries = document(given.get("entries"))
        bid, ask = document(entries.get("Bid", {})), document(entries.get("Offer", {}))
        last = document(entries.get("Trade", {}))
        return Quote(
            symbol=symbol,
            bid=_px(bid),
            bid_size=number(bid, "size"),
            ask=_px(ask),
            ask_size=number(ask, "size"),
            last=_px(last),
            last_size=number(last, "size"),
            time=instant(given, "timestamp"),
            received_at=self._clock.now(),
            source=_SOURCE,
        )


async def _latest(client: TradovateClient) -> int:
    """Return the newest instant that the user's cash tells of: a simulator's day, before quotes."""
    try:
        balances = await client.cash_balances()
        return max((instant(each, "timestamp") for each in balances), default=0)
    except (KeyError, ValueError) as error:
        raise Unavailable(f"Tradovate's cash cannot be read: {error!r}") from error


def _px(entry: Mapping[str, Any]) -> Any:
    px = number(entry, "price")
    return None if px == ZERO else px
