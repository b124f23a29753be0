"""Positions and cash as a fold over executions, and reservations as one over open orders."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.builders import AAPL, ACCOUNT, ES, FUTURE, STOCK, D, order
from trading.account import Position, Reservation, reservation
from trading.instrument import Instrument
from trading.order import OrdStatus, Replacement, Side
from trading.quantity import ZERO, Money

# Quantities that divide without remainder, so that shares of a cost are exact.
TRADES = st.lists(
    st.tuples(st.integers(-8, 8).filter(bool).map(lambda n: n * 16), st.integers(-20, 200)),
    max_size=12,
)


def fold(trades: list[tuple[int, int]], instrument: Instrument) -> tuple[Position, Money]:
    position, cash = Position(account_id=ACCOUNT, symbol=instrument.id), ZERO
    for qty, px in trades:
        position, paid = position.trade(D(qty), D(px), instrument)
        cash += paid
    return position, cash


@given(TRADES)
def test_cash_and_cost_and_gains_are_conserved_to_the_last_digit(
    trades: list[tuple[int, int]],
) -> None:
    position, cash = fold(trades, STOCK)

    assert cash == -sum(qty * px for qty, px in trades)
    assert cash + position.cost == position.realized_pnl
    assert position.net_qty == sum(qty for qty, _ in trades)


@given(TRADES)
def test_a_future_moves_cash_by_realized_gains_alone(trades: list[tuple[int, int]]) -> None:
    position, cash = fold(trades, FUTURE)
    value = sum(qty * px for qty, px in trades) * FUTURE.multiplier

    assert cash == position.realized_pnl
    assert cash == position.cost * FUTURE.multiplier - value


@given(TRADES, st.integers(-20, 200))
def test_equity_does_not_depend_on_when_gains_are_realized(
    trades: list[tuple[int, int]], mark: int
) -> None:
    for instrument in (STOCK, FUTURE):
        position, _ = fold(trades, instrument)
        gained = sum((mark - px) * qty for qty, px in trades) * instrument.multiplier
        unrealized = position.unrealized_pnl(D(mark), instrument.multiplier)

        assert position.realized_pnl + unrealized == gained


def test_a_flat_position_has_no_cost_and_no_average() -> None:
    position, cash = fold([(30, 100), (-10, 101), (-20, 103)], STOCK)

    assert (position.net_qty, position.cost, position.avg_px) == (D(0), D(0), None)
    assert position.realized_pnl == cash == 70


def test_a_trade_through_zero_closes_at_the_average_and_opens_at_its_price() -> None:
    position, _ = fold([(10, 100), (10, 110), (-50, 120)], STOCK)

    assert position.realized_pnl == 20 * (120 - 105)
    assert (position.net_qty, position.avg_px) == (D(-30), D(120))


def test_closing_in_thirds_loses_nothing() -> None:
    position, cash = fold([(3, 10), (1, 11), (-1, 12), (-1, 12), (-2, 12)], STOCK)

    assert (position.net_qty, position.cost) == (D(0), D(0))
    assert position.realized_pnl == cash == 48 - 41


def test_the_multiplier_scales_what_a_future_gains() -> None:
    position, cash = fold([(2, 5000), (-1, 5010)], FUTURE)

    assert cash == 10 * 50
    assert position.unrealized_pnl(D(4990), FUTURE.multiplier) == -10 * 50


@pytest.mark.parametrize("instrument", [STOCK, FUTURE], ids=lambda each: each.symbol)
@given(trades=TRADES, last=st.tuples(st.integers(1, 8).map(lambda n: n * 16), st.integers(1, 200)))
def test_undoing_what_opened_leaves_all_as_it_was(
    instrument: Instrument, trades: list[tuple[int, int]], last: tuple[int, int]
) -> None:
    before, cash = fold(trades, instrument)
    sign = -1 if before.net_qty < 0 else 1
    qty, px = D(last[0] * sign), D(last[1])
    between, paid = before.trade(qty, px, instrument)
    after, returned = between.undo(qty, px, instrument)

    assert after == before
    assert cash + paid + returned == cash


@given(
    opened=st.integers(2, 100), px=st.integers(1, 200), closed=st.data(), other=st.integers(1, 200)
)
def test_undoing_what_closed_a_part_leaves_all_as_it_was(
    opened: int, px: int, closed: st.DataObject, other: int
) -> None:
    before, _ = fold([(opened, px)], FUTURE)
    qty = D(-closed.draw(st.integers(1, opened - 1)))
    between, paid = before.trade(qty, D(other), FUTURE)
    after, returned = between.undo(qty, D(other), FUTURE)

    assert after == before
    assert paid + returned == 0


@given(TRADES, st.integers(-8, 8).filter(bool).map(lambda n: n * 16), st.integers(-20, 200))
def test_undoing_anything_moves_equity_by_what_it_had_gained(
    trades: list[tuple[int, int]], qty: int, px: int
) -> None:
    for instrument in (STOCK, FUTURE):
        before, _ = fold(trades, instrument)
        after, paid = before.undo(D(qty), D(px), instrument)
        value = (before.cost - after.cost) * instrument.multiplier

        assert after.net_qty == before.net_qty - qty
        gained = after.realized_pnl - before.realized_pnl
        assert gained + value == qty * px * instrument.multiplier
        assert paid == (gained if instrument.is_margined else gained + value)


def test_an_open_order_reserves_what_is_left_of_it() -> None:
    held = reservation(order(order_qty=D(100), cum_qty=D(40), reserve_px=D(110)), D(1))

    assert held == Reservation(D(60), D(6600))


@pytest.mark.parametrize(
    ("order_qty", "reserve_px", "expected"),
    [(150, 90, (150, 100)), (50, 120, (100, 120)), (150, 120, (150, 120)), (50, 90, (100, 100))],
)
def test_a_pending_replace_reserves_the_larger_of_both_terms(
    order_qty: int, reserve_px: int, expected: tuple[int, int]
) -> None:
    terms = Replacement(order_qty=D(order_qty), price=D(1), stop_px=None, reserve_px=D(reserve_px))
    qty, px = expected

    assert reservation(order(replacement=terms), D(2)) == Reservation(D(qty), D(qty * px * 2))


@pytest.mark.parametrize("status", [each for each in OrdStatus if each.is_terminal])
def test_a_finished_order_reserves_nothing(status: OrdStatus) -> None:
    assert reservation(order(status=status), D(1)) == Reservation()


@pytest.mark.parametrize(
    ("net", "buys", "sells", "longest", "shortest"),
    [(0, 5, 3, 5, 3), (10, 5, 3, 15, 0), (10, 0, 15, 10, 5), (-10, 4, 3, 0, 13)],
)
def test_open_orders_stretch_a_position_to_both_sides(
    net: int, buys: int, sells: int, longest: int, shortest: int
) -> None:
    position = Position(
        account_id=ACCOUNT,
        symbol=AAPL,
        net_qty=D(net),
        open_buy_qty=D(buys),
        open_sell_qty=D(sells),
    )

    assert (position.long_qty, position.short_qty) == (D(longest), D(shortest))


def test_a_reservation_is_held_on_its_own_side() -> None:
    flat = Position(account_id=ACCOUNT, symbol=ES)
    held = flat.reserve(Side.SELL, Reservation(), Reservation(Decimal(2), Decimal(20)))

    assert (held.open_sell_qty, held.open_sell_notional) == (D(2), D(20))
    assert (held.open_buy_qty, held.open_buy_notional) == (D(0), D(0))
    assert held.reserve(Side.SELL, Reservation(D(2), D(20)), Reservation()) == flat
