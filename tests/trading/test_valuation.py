"""What accounts are worth, and what positions and open orders tie up."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.builders import AAPL, ACCOUNT, ES, FUTURE, STOCK, D, account
from trading.account import Position
from trading.ids import InstrumentID
from trading.instrument import Catalogue
from trading.quantity import Px
from trading.valuation import gains, requirement, value

CATALOGUE = Catalogue([STOCK, FUTURE])


def marks(**prices: int) -> dict[InstrumentID, Px]:
    return {AAPL: D(prices.get("stock", 100)), ES: D(prices.get("future", 5000))}


def position(symbol: InstrumentID = AAPL, net: int = 0, cost: int = 0, **fields: int) -> Position:
    numbers: dict[str, Any] = {name: D(number) for name, number in fields.items()}
    plain = Position(account_id=ACCOUNT, symbol=symbol, net_qty=D(net), cost=D(cost))
    return replace(plain, **numbers)


def test_an_account_of_cash_alone_is_worth_its_cash() -> None:
    valued = value(account(cash=D(500)), [], CATALOGUE, lambda _: None)

    assert (valued.equity, valued.buying_power) == (D(500), D(500))
    assert (valued.initial_margin, valued.maintenance_margin) == (D(0), D(0))


def test_a_stock_counts_into_equity_at_its_mark_and_buys_nothing() -> None:
    held = position(net=10, cost=900)
    valued = value(account(cash=D(500)), [held], CATALOGUE, marks().get)

    assert (valued.equity, valued.buying_power) == (D(1500), D(500))


def test_a_future_counts_by_its_gain_and_ties_up_its_margin() -> None:
    held = position(ES, net=2, cost=2 * 4990)
    valued = value(account(cash=D(50_000)), [held], CATALOGUE, marks().get)

    assert valued.equity == 50_000 + 2 * 10 * 50
    assert valued.buying_power == 51_000 - 2 * 15_000, "the multiplier is inside the margin"
    assert (valued.initial_margin, valued.maintenance_margin) == (D(30_000), D(26_000))


def test_a_short_stock_ties_up_its_value_and_half_as_much_again() -> None:
    held = position(net=-10, cost=-1000)
    valued = value(account(cash=D(2000)), [held], CATALOGUE, marks(stock=110).get)

    assert valued.equity == 2000 - 1100
    assert valued.buying_power == 2000 - 1650
    assert (valued.initial_margin, valued.maintenance_margin) == (D(550), D(330))


@pytest.mark.parametrize("held", [position(net=10), position(ES, net=1)], ids=["stock", "future"])
def test_what_has_no_mark_has_no_value(held: Position) -> None:
    assert value(account(), [held], CATALOGUE, lambda _: None).equity is None


def test_gains_are_those_of_margined_positions() -> None:
    held = [position(net=10, cost=500), position(ES, net=1, cost=4990)]

    assert gains(held, CATALOGUE, marks().get) == 500
    assert gains(held, CATALOGUE, lambda _: None) is None


@pytest.mark.parametrize(
    ("net", "buys", "sells", "contracts"),
    [(0, 2, 3, 3), (2, 0, 2, 2), (2, 1, 2, 3), (2, 0, 5, 3), (-2, 1, 0, 2), (-2, 5, 0, 3)],
)
def test_a_future_ties_up_the_margin_of_the_worse_side(
    net: int, buys: int, sells: int, contracts: int
) -> None:
    held = position(ES, net=net, open_buy_qty=buys, open_sell_qty=sells)

    assert requirement(held, FUTURE, None) == contracts * Decimal(15_000)


@pytest.mark.parametrize(
    ("net", "tied"), [(0, 1000), (50, 1000), (-4, 600 + 4 * 150), (-10, 1500), (-20, 3000)]
)
def test_buys_tie_up_their_cost_beyond_what_they_cover(net: int, tied: int) -> None:
    held = position(net=net, open_buy_qty=10, open_buy_notional=1000)

    assert requirement(held, STOCK, D(100)) == tied


@pytest.mark.parametrize(("net", "short"), [(10, 0), (6, 4), (0, 10)])
def test_sells_tie_up_what_they_sell_short(net: int, short: int) -> None:
    held = position(net=net, open_sell_qty=10, open_sell_notional=1000)

    assert requirement(held, STOCK, D(100)) == short * 150
    assert requirement(held, STOCK, None) == (0 if short == 0 else None)
