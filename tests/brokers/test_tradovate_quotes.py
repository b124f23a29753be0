"""Tradovate's quotes: what a contract is, the latest quote of each, and gaps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.tradovate.quotes import TradovateQuotes
from gateway.system import SystemClock
from tests.brokers.alpaca import until
from tests.brokers.test_alpaca_quotes import Seen
from tests.brokers.tradovate import Tradovate, simulated
from tests.brokers.world import FUT, NOON, catalogue, quote
from trading.instrument import SecurityType
from trading.ports import Rejected


def source(tradovate: Tradovate, *symbols: str) -> TradovateQuotes:
    return TradovateQuotes(tradovate.settings(), SystemClock(), symbols=symbols or ("FUT",))


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Tradovate, TradovateQuotes]]:
    async with simulated(folder, catalogue()) as tradovate:
        quotes = source(tradovate)
        await quotes.connect()
        try:
            yield tradovate, quotes
        finally:
            await quotes.close()


async def test_a_contract_is_what_tradovate_says_of_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, quotes):
        [instrument] = quotes.instruments

        assert instrument.id == FUT
        assert instrument.security_type is SecurityType.FUTURE
        assert [instrument.tick, instrument.multiplier, instrument.lot] == [Decimal("0.25"), 50, 1]
        assert [instrument.initial_margin, instrument.maintenance_margin] == [1000, 900]
        assert (instrument.currency, instrument.expiry) == ("USD", NOON + 3600 * 1_000_000_000)


async def test_quotes_come_exact_set_the_market_s_clock_and_outlive_the_session(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path) as (tradovate, quotes):
        seen = Seen(quotes)
        later = max(quotes.clock.now(), NOON) // 1_000_000 * 1_000_000 + 7_000_000
        tradovate.simulator.on_quote(quote("100.25", 3, None, None, at=later, symbol=FUT))
        await until(lambda: bool(seen.quotes))
        told = seen.quotes[0]
        assert [told.bid, told.bid_size, told.ask, told.ask_size] == [
            Decimal("100.25"),
            3,
            None,
            None,
        ]
        assert (told.symbol, told.time, told.source) == (FUT, later, "tradovate")
        assert quotes.clock.now() == later

        tradovate.simulator.sessions.end("ConnectionQuotaReached")
        moved = quote(101, 3, 102, 4, at=later + 1_000_000, symbol=FUT)
        tradovate.simulator.on_quote(moved)
        await until(lambda: seen.quotes[-1].bid == 101)


async def test_the_socket_is_opened_by_who_reads_the_quotes(tmp_path: Path) -> None:
    async with connected(tmp_path):
        log = (tmp_path / "adapter" / "tradovate-quotes.jsonl").read_text()

        assert "socket" not in log
        assert log.count("accesstokenrequest") == 2  # as asked, and as answered


async def test_an_unknown_contract_is_refused_by_name(tmp_path: Path) -> None:
    async with simulated(tmp_path, catalogue()) as tradovate:
        with pytest.raises(Rejected, match="Tradovate has no contract NOPE: say one such as ESZ6"):
            await source(tradovate, "FUT", "NOPE").connect()
