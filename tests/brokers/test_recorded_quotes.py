"""Real recorded markets: every quote to the nanosecond, and fills at the prices then shown."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.instants import parse_instant
from brokers.paper.exchange import Exchange
from brokers.quotes.replay import Replay
from tests.brokers.world import FakeClock, new, trades
from trading.ids import InstrumentID
from trading.instrument import Catalogue
from trading.order import Side
from trading.quote import Quote

RECORDED = Path(
    os.environ.get("DRAWBRIDGE_TEST_QUOTES")
    or Path(__file__).parents[2].parent / "shared" / "data" / "quotes"
)
ES, BTC, JPY = "ESU4-2024-07-01.csv", "BTCUSDT.csv", "USDJPY-2013.csv"

pytestmark = [
    pytest.mark.quotes,
    pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded quotes on this machine"),
]


def opened(name: str) -> Replay:
    return Replay(RECORDED / name, FakeClock(), Decimal(0))


def lines(name: str) -> list[list[str]]:
    text = (RECORDED / name).read_text(encoding="utf-8")
    return [line.split(",") for line in text.splitlines()[1:]]


def number(text: str) -> Decimal | None:
    return Decimal(text) if text else None


@pytest.mark.parametrize(
    ("name", "symbol", "count"),
    [(ES, "ESU4@XCME", 2168), (BTC, "BTCUSDT@XXXX", 451), (JPY, "USDJPY@XXXX", 1000)],
)
async def test_every_quote_of_the_file_comes_in_its_order(
    name: str, symbol: str, count: int
) -> None:
    heard = [
        (quote.symbol, quote.time, [quote.bid, quote.bid_size, quote.ask, quote.ask_size])
        async for quote in opened(name).quotes()
    ]

    assert len(heard) == count
    assert heard == [
        (symbol, parse_instant(ts), [number(each) for each in sizes])
        for ts, _, *sizes in lines(name)
    ]


async def test_the_nanoseconds_of_the_file_are_kept() -> None:
    quotes = opened(ES).quotes()

    first, second = await anext(quotes), await anext(quotes)

    assert first.time % 1_000_000_000 == 218_485_389
    assert second.time - first.time == 7_900


async def test_a_marketable_order_fills_at_the_prices_then_in_the_file() -> None:
    replay = opened(ES)
    exchange = Exchange(Catalogue(replay.instruments))
    symbol, nth = InstrumentID("ESU4@XCME"), 0
    async for quote in replay.quotes():
        exchange.quote(quote)
        nth += 1
        if nth % 100 == 0:
            check_fill(exchange, symbol, quote, Side.BUY if nth % 200 else Side.SELL)
    assert nth == 2168


def check_fill(exchange: Exchange, symbol: InstrumentID, quote: Quote, side: Side) -> None:
    """Take all that is shown and one more, which must wait."""
    px, size = (quote.ask, quote.ask_size) if side is Side.BUY else (quote.bid, quote.bid_size)
    assert size is not None
    entry = exchange.handle(new(f"at-{quote.time}", side, size + 1, px, symbol=symbol), quote.time)
    (trade,) = trades(entry)
    assert [trade.last_px, trade.last_qty, trade.transact_time] == [px, size, quote.time]
    order = exchange.find(trade.wire_id)
    assert order is not None
    assert order.leaves_qty == 1


async def test_sizes_below_a_lot_are_shown_exactly_and_trade_in_lots() -> None:
    replay = opened(BTC)
    (bitcoin,) = replay.instruments
    exchange = Exchange(Catalogue(replay.instruments))
    async for quote in replay.quotes():
        exchange.quote(quote)
        if str(quote.bid_size) == "0.031035000000000004":
            break

    entry = exchange.handle(new("a", Side.SELL, 1, symbol=bitcoin.id), quote.time)

    assert [(str(t.last_px), t.last_qty) for t in trades(entry)] == [
        ("39430.71", Decimal("0.031035"))
    ]
