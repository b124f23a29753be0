"""Alpaca's quotes: instruments from its assets, the latest quote of each symbol, and gaps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.alpaca.link import AlpacaSettings
from brokers.alpaca.quotes import AlpacaQuotes
from gateway.system import SystemClock
from tests.brokers.alpaca import KEY, Alpaca, simulated, until
from tests.brokers.world import NOON, catalogue, quote
from trading.ids import AccountID, InstrumentID
from trading.instrument import SecurityType
from trading.ports import Environment, MarketData, Rejected, Unauthorized
from trading.quote import Quote


def source(alpaca: Alpaca, *symbols: str, data_url: str | None = None) -> AlpacaQuotes:
    settings = AlpacaSettings(
        environment=Environment.SIM,
        url=alpaca.url,
        credentials=KEY,
        account_id=AccountID("a"),
        directory=alpaca.folder / "adapter",
    )
    url = data_url or f"{alpaca.url.replace('http', 'ws')}/v2/iex"
    return AlpacaQuotes(settings, SystemClock(), symbols=symbols or ("ABC",), data_url=url)


class Seen:
    """What a source has yielded."""

    def __init__(self, quotes: MarketData) -> None:
        self.quotes: list[Quote] = []
        self._task = asyncio.create_task(self._see(quotes))

    async def _see(self, quotes: MarketData) -> None:
        async for each in quotes.quotes():
            self.quotes.append(each)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Alpaca, AlpacaQuotes, Seen]]:
    async with simulated(folder, catalogue()) as alpaca:
        quotes = source(alpaca)
        await quotes.connect()
        try:
            yield alpaca, quotes, Seen(quotes)
        finally:
            await quotes.close()


async def test_an_instrument_is_what_alpaca_says_of_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, quotes, _):
        [instrument] = quotes.instruments

        assert instrument.id == InstrumentID("ABC@XNAS")
        assert instrument.security_type is SecurityType.COMMON_STOCK
        assert (instrument.currency, instrument.shortable) == ("USD", True)


async def test_quotes_come_exact_and_set_the_market_s_clock(tmp_path: Path) -> None:
    async with connected(tmp_path) as (alpaca, quotes, seen):
        later = max(quotes.clock.now(), NOON) + 7
        alpaca.simulator.on_quote(quote("100.5", 3, "101.25", 4, at=later))
        await until(lambda: bool(seen.quotes))
        [told] = seen.quotes

        assert [told.bid, told.bid_size, told.ask, told.ask_size] == [
            Decimal("100.5"),
            3,
            Decimal("101.25"),
            4,
        ]
        assert (told.symbol, told.time, told.source) == ("ABC@XNAS", later, "alpaca")
        assert quotes.clock.now() == later


async def test_a_side_without_a_price_is_none(tmp_path: Path) -> None:
    async with connected(tmp_path) as (alpaca, _, seen):
        alpaca.simulator.on_quote(replace(quote(None, None, 101, 5), source="x"))
        await until(lambda: bool(seen.quotes))

        assert (seen.quotes[0].bid, seen.quotes[0].bid_size) == (None, None)


async def test_only_the_latest_waits_for_a_slow_reader(tmp_path: Path) -> None:
    async with simulated(tmp_path, catalogue()) as alpaca:
        quotes = source(alpaca)
        await quotes.connect()
        try:
            for px in range(1, 30):
                alpaca.simulator.on_quote(quote(px, 1, px + 1, 1, at=NOON + px))
                await asyncio.sleep(0.002)
            latest = [each.bid for each in quotes._latest.values()]
            await until(
                lambda: [q.bid for q in quotes._latest.values()] == [29], lambda: str(latest)
            )
        finally:
            await quotes.close()


async def test_an_unknown_symbol_is_refused_by_name(tmp_path: Path) -> None:
    async with simulated(tmp_path, catalogue()) as alpaca:
        with pytest.raises(Rejected, match="Alpaca has no asset NOPE"):
            await source(alpaca, "ABC", "NOPE").connect()


async def test_quotes_of_another_environment_s_host_are_refused(tmp_path: Path) -> None:
    async with simulated(tmp_path, catalogue()) as alpaca:
        with pytest.raises(Unauthorized, match="is not of the environment sim"):
            source(alpaca, data_url="wss://stream.data.alpaca.markets/v2/iex")
