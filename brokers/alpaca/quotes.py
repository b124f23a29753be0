"""Quotes of stocks from Alpaca's data stream, and their instruments from its list of assets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from brokers.alpaca.client import AlpacaClient
from brokers.alpaca.fence import DATA_HOST, check_url
from brokers.alpaca.link import AlpacaLink, AlpacaSettings
from brokers.alpaca.messages import instant, number, text
from brokers.instruments import equity
from trading.ids import InstrumentID
from trading.instrument import Instrument
from trading.ports import BrokerError, Clock, Environment, MarketClock, Unauthorized, Unavailable
from trading.quote import Quote

logger = logging.getLogger(__name__)

_MICS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "ARCA": "ARCX", "BATS": "BATS", "AMEX": "XASE"}
_HOURS = "XNYS"
"""The calendar of all US stock exchanges."""

_PING_S = 10.0
_PAUSES_S = (0.2, 1.0, 2.0, 5.0, 10.0)
_SOURCE = "alpaca"


class _Told:
    """The market's time as the last quote has it: a simulator's market may be of another day."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class AlpacaQuotes:
    """The latest quote of each symbol, never a backlog. While the stream is away there are none."""

    def __init__(
        self, settings: AlpacaSettings, clock: Clock, *, symbols: Sequence[str], data_url: str
    ) -> None:
        """Connect to nothing yet. Raises Unauthorized for a host of another environment."""
        check_url(data_url, settings.environment, DATA_HOST)
        self._settings = settings
        self._clock = clock
        self._symbols = symbols
        self._data_url = data_url
        self._told = _Told()
        self._by_name: dict[str, InstrumentID] = {}
        self._instruments: Sequence[Instrument] = ()
        self._latest: dict[InstrumentID, Quote] = {}
        self._moved = asyncio.Event()
        self._is_closed = False
        self._running: asyncio.Task[None] | None = None

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the symbols asked for, as of the connection."""
        return self._instruments

    @property
    def clock(self) -> MarketClock:
        """The market's time: ours, but for a simulator, whose quotes tell it."""
        return self._told if self._settings.environment is Environment.SIM else self._clock

    async def connect(self) -> None:
        """Learn instruments and time, and open the stream. Raises BrokerError."""
        link = AlpacaLink(self._settings, self._clock, "alpaca-assets.jsonl")
        try:
            self._instruments = [
                await self._instrument(link.client, each) for each in self._symbols
            ]
            self._told.time = instant(await link.client.clock(), "timestamp")
        except ValueError as error:
            raise Unavailable(f"Alpaca's answer cannot be read: {error}") from error
        finally:
            await link.close()
        self._running = asyncio.create_task(self._run(), name="alpaca-quotes")

    async def close(self) -> None:
        """Let go of the stream, and end `quotes`."""
        self._is_closed = True
        self._moved.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def quotes(self) -> AsyncIterator[Quote]:
        """Yield the newest quote of each symbol that has changed, for one consumer."""
        while not self._is_closed:
            self._moved.clear()
            while self._latest:
                yield self._latest.pop(next(iter(self._latest)))
            await self._moved.wait()

    async def _instrument(self, client: AlpacaClient, symbol: str) -> Instrument:
        found = await client.asset(symbol)
        if found.get("class") != "us_equity" or not found.get("tradable"):
            raise Unavailable(f"{symbol} is no US stock that Alpaca trades: leave it out")
        mic = _MICS.get(str(found.get("exchange")), "XXXX")
        made = equity(symbol, mic, str(found.get("name") or symbol))
        self._by_name[symbol] = made.id
        return _listed(made, found, self._settings.environment)

    # --- the stream ---

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with connect(
                    self._data_url, ping_interval=_PING_S, ping_timeout=_PING_S, proxy=None
                ) as socket:
                    await self._subscribe(socket)
                    failures = 0
                    async for frame in socket:
                        self._take(json.loads(frame, parse_float=Decimal))
            except (WebSocketException, OSError, TimeoutError, ValueError, BrokerError) as error:
                logger.warning("Alpaca's quotes are away: %s", error)
            await self._clock.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    async def _subscribe(self, socket: ClientConnection) -> None:
        """Say who we are and what we want; the confirmations come among the quotes."""
        key = self._settings.credentials.now()
        await socket.recv()
        auth = {"action": "auth", "key": key.key_id, "secret": key.secret_key}
        await socket.send(json.dumps(auth))
        match json.loads(await socket.recv()):
            case [{"T": "success", "msg": "authenticated"}]:
                pass
            case other:
                raise Unauthorized(f"Alpaca's data stream did not let the key in: {other!r:.200}")
        await socket.send(json.dumps({"action": "subscribe", "quotes": [*self._by_name]}))

    def _take(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            match message:
                case {"T": "q"}:
                    with suppress(KeyError):  # of a symbol that nobody asked for
                        self._show(_quote(message, self._by_name, self._clock.now()))
                case {"T": "error", "msg": what}:
                    raise Unavailable(f"Alpaca's data stream says: {what}")
                case _:
                    pass

    def _show(self, quote: Quote) -> None:
        self._latest[quote.symbol] = quote
        self._told.time = max(self._told.time, quote.time)
        self._moved.set()


def _listed(made: Instrument, found: Mapping[str, Any], environment: Environment) -> Instrument:
    shortable = found.get("shortable") is True and found.get("easy_to_borrow") is True
    if environment is Environment.SIM:
        return replace(made, shortable=shortable)
    return replace(made, shortable=shortable, calendar=_HOURS)


def _quote(
    message: Mapping[str, Any], names: Mapping[str, InstrumentID], received_at: int
) -> Quote:
    """Read a quote; a price of zero is none. Raises ValueError, and KeyError for its symbol."""
    bid, ask = number(message, "bp") or None, number(message, "ap") or None
    return Quote(
        symbol=names[text(message, "S")],
        bid=bid,
        bid_size=number(message, "bs") if bid else None,
        ask=ask,
        ask_size=number(message, "as") if ask else None,
        time=instant(message, "t"),
        received_at=received_at,
        source=_SOURCE,
    )
