"""The gate: what it approves, what that reserves, and what a decision keeps."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk import control
from risk.gate import INTENT_MAX_AGE_NS
from tests import rings
from tests.risk.cases import GATE, asking, clear, codes, held, recorded, wanted
from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    ES,
    FUTURE,
    NOW,
    NS,
    STOCK,
    D,
    account,
    books,
    limits,
    order,
    quote,
)
from trading.account import TradingState
from trading.command import Command, CommandKind
from trading.execution import ExecType
from trading.ids import OrderID
from trading.limits import LimitName
from trading.order import (
    ApprovedOrder,
    ApprovedReplace,
    Order,
    OrdType,
    Side,
    TimeInForce,
)
from trading.ports import Withheld
from trading.reject import OrdRejReason


def test_what_all_controls_pass_is_approved_with_what_it_reserves() -> None:
    cleared = clear(books(), wanted())

    assert cleared.approved is not None
    assert cleared.approved.order.reserve_px == 100
    assert cleared.decision.accepted
    assert (cleared.decision.limits_version, cleared.decision.decided_at) == (7, NOW)
    assert [each.name for each in cleared.decision.checks] == list(control.CONTROLS)


@pytest.mark.parametrize(("time", "accepted"), [(NOW + NS - 1, True), (NOW + NS, False)])
def test_a_market_clock_that_stands_still_is_no_older_than_the_reference_price(
    time: int, *, accepted: bool
) -> None:
    """So it is in a process that hears of the market over a bus which is down."""
    of = books()
    of.references[AAPL] = quote(received_at=NOW, time=time)
    until = wanted(time_in_force=TimeInForce.GOOD_TILL_DATE, expire_time=NOW + NS)

    assert clear(of, until).decision.accepted is accepted


def test_what_was_judged_goes_without_the_garbage_collector() -> None:
    with rings.none_left():
        clear(books(), wanted())


def test_every_check_is_made_after_a_refusal_too() -> None:
    cleared = clear(books(), wanted(order_qty=D("1000.5"), price=D("500.001")))

    assert cleared.approved is None
    assert codes(cleared.decision) >= {"QTY_OFF_LOT", "PRICE_OFF_TICK", "PRICE_OUTSIDE_COLLAR"}
    assert len(cleared.decision.checks) == len(control.CONTROLS)


@pytest.mark.parametrize("missing", LimitName)
def test_without_any_one_limit_nothing_is_approved(missing: LimitName) -> None:
    of = books()
    of.limits[ACCOUNT] = limits(values={missing: None})

    assert "LIMIT_NOT_SET" in codes(clear(of, wanted()).decision)


def test_without_limits_nothing_is_approved() -> None:
    of = books()
    of.limits.clear()
    decision = clear(of, wanted()).decision

    assert not decision.accepted
    assert decision.limits_version == 0


@pytest.mark.parametrize(
    ("age_ms", "accepted"), [(0, True), (5000, True), (5001, False), (-60_000, True)]
)
def test_a_reference_counts_while_it_is_fresh(age_ms: int, *, accepted: bool) -> None:
    of = books()
    of.references[AAPL] = quote(received_at=NOW - age_ms * 1_000_000, time=0)

    assert clear(of, wanted()).decision.accepted is accepted


def test_without_a_reference_nothing_is_approved() -> None:
    of = books()
    of.references.clear()

    assert clear(of, wanted()).decision.refusal is not None
    assert clear(of, wanted(ord_type=OrdType.MARKET, price=None)).approved is None


@pytest.mark.parametrize(
    ("terms", "reserve_px"),
    [
        ({"price": D(95)}, D(95)),
        ({"ord_type": OrdType.MARKET, "price": None}, D("111.1")),
        ({"ord_type": OrdType.MARKET, "price": None, "side": Side.SELL}, D("108.9")),
        ({"ord_type": OrdType.STOP, "price": None, "stop_px": D(105)}, D("115.5")),
        ({"ord_type": OrdType.STOP_LIMIT, "price": D(106), "stop_px": D(105)}, D(106)),
        ({"side": Side.SELL, "price": D(95)}, D(99)),
        ({"side": Side.SELL, "price": D(105)}, D(105)),
    ],
)
def test_an_order_reserves_the_worst_that_it_may_cost(
    terms: dict[str, Any], reserve_px: Decimal
) -> None:
    of = books()
    of.references[AAPL] = quote(bid=D(99), ask=D(101))
    approved = clear(of, wanted(**terms)).approved

    assert approved is not None
    assert approved.order.reserve_px == reserve_px


def test_a_future_ties_up_margin_per_contract_whatever_the_multiplier() -> None:
    of = books(account(cash=D(45_000)))
    future = wanted(symbol=ES, order_qty=D(3), price=D(5000))

    assert clear(of, future, FUTURE).decision.accepted
    refused = clear(of, replace(future, order_qty=D(4)), FUTURE).decision
    assert codes(refused) == {"INSUFFICIENT_BUYING_POWER"}
    assert refused.refusal is not None
    assert refused.refusal.reason is OrdRejReason.INSUFFICIENT_CREDIT_LIMIT
    assert (refused.refusal.limit, refused.refusal.used) == (D(45_000), D(60_000))


def test_the_notional_of_a_future_has_its_multiplier_once() -> None:
    check = next(
        each
        for each in clear(
            books(), wanted(symbol=ES, order_qty=D(2), price=D(5000)), FUTURE
        ).decision.checks
        if each.name == "MAX_ORDER_NOTIONAL"
    )

    assert check.used == 2 * 5000 * 50


def test_open_orders_use_up_the_funds() -> None:
    first = order(id=OrderID("first"), order_qty=D(60))
    of = recorded(books(account(cash=D(10_000))), first)

    assert clear(of, wanted(order_qty=D(40))).decision.accepted
    assert codes(clear(of, wanted(order_qty=D(41))).decision) == {"INSUFFICIENT_BUYING_POWER"}


def test_open_orders_count_towards_the_position() -> None:
    first = order(id=OrderID("first"), order_qty=D(600))
    of = recorded(held(books(), 100), first)

    assert clear(of, wanted(order_qty=D(300))).decision.accepted
    assert "POSITION_LIMIT" in codes(clear(of, wanted(order_qty=D(301))).decision)


def test_open_orders_are_counted_and_a_replaced_one_once() -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(), first)
    of.limits[ACCOUNT] = limits(values={"MAX_OPEN_ORDERS": 1})

    assert codes(clear(of, wanted()).decision) == {"TOO_MANY_OPEN_ORDERS"}
    asked = asking(first, order_qty=D(110))
    cleared = GATE.clear_replace(of.orders[first.id], asked, STOCK, of, NOW)
    assert cleared.decision.accepted


# --- reducing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_state", [True, False])
@pytest.mark.parametrize("net", [10, -10])
@given(qty=st.integers(1, 30), closers=st.lists(st.integers(1, 12), max_size=3))
def test_what_only_reduces_never_turns_a_position_round(
    net: int, qty: int, closers: list[int], *, by_state: bool
) -> None:
    side = Side.SELL if net > 0 else Side.BUY
    state = TradingState.REDUCING if by_state else TradingState.ACTIVE
    of = held(books(account(trading_state=state)), net)
    approved = 0
    for number, each in enumerate([*closers, qty]):
        asked = wanted(
            id=OrderID(str(number)), side=side, order_qty=D(each), reduce_only=not by_state
        )
        cleared = clear(of, asked)
        if cleared.approved is not None:
            of.record(cleared.approved.order, ExecType.NEW, NOW)
            approved += each
        else:
            assert approved + each > abs(net)

    assert approved <= abs(net)


def test_a_replace_that_grows_a_closing_order_is_judged_by_its_new_size() -> None:
    closing = order(id=OrderID("first"), side=Side.SELL, order_qty=D(4), reduce_only=True)
    of = recorded(held(books(account(trading_state=TradingState.REDUCING)), 10), closing)
    judged = {
        qty: GATE.clear_replace(
            of.orders[closing.id], asking(closing, order_qty=D(qty)), STOCK, of, NOW
        ).decision.accepted
        for qty in (3, 10, 11)
    }

    assert judged == {3: True, 10: True, 11: False}


# --- replace -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "price", "tied_up"), [(150, 100, 15_000), (50, 100, 10_000), (100, 105, 10_500)]
)
def test_a_replace_is_judged_by_the_larger_of_both_terms(
    qty: int, price: int, tied_up: int
) -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(), first)
    asked = asking(first, order_qty=D(qty), price=D(price))
    cleared = GATE.clear_replace(of.orders[first.id], asked, STOCK, of, NOW)
    [power] = [each for each in cleared.decision.checks if each.name == "BUYING_POWER"]

    assert power.inputs["tied_up_before"] == "10000"
    assert power.inputs["tied_up_after"] == str(tied_up)
    assert cleared.approved is not None
    assert cleared.approved.terms.reserve_px == price
    assert cleared.approved.wire_id == "replace"


def test_a_replace_beyond_the_funds_is_refused() -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(account(cash=D(12_000))), first)
    for qty, accepted in ((120, True), (121, False)):
        asked = asking(first, order_qty=D(qty))
        cleared = GATE.clear_replace(of.orders[first.id], asked, STOCK, of, NOW)
        assert cleared.decision.accepted is accepted


def test_a_replace_of_what_has_traded_is_judged_by_what_is_left() -> None:
    first = order(id=OrderID("first"), cum_qty=D(60), cum_value=D(6000))
    of = recorded(held(books(), 940), first)
    for qty, accepted in ((120, True), (121, False)):
        asked = asking(first, order_qty=D(qty))
        decision = GATE.clear_replace(of.orders[first.id], asked, STOCK, of, NOW).decision
        assert ("POSITION_LIMIT" not in codes(decision)) is accepted


# --- readmission ---------------------------------------------------------------------------------


def queued(of: Order) -> Command:
    return replace(asking(of), kind=CommandKind.NEW, terms=None)


@pytest.mark.parametrize(("age", "sent"), [(0, True), (INTENT_MAX_AGE_NS, True)])
def test_a_fresh_intent_is_readmitted(age: int, *, sent: bool) -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(), first)

    admitted = GATE.readmit(of.orders[first.id], queued(first), of, NOW + age)
    assert isinstance(admitted, ApprovedOrder) is sent
    replaced = GATE.readmit(of.orders[first.id], asking(first), of, NOW + age)
    assert isinstance(replaced, ApprovedReplace) is sent


@pytest.mark.parametrize("ask", [queued, asking])
def test_what_was_accepted_keeps_the_limits_by_which_it_was_judged(
    ask: Callable[[Order], Command],
) -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(), first)
    of.limits[ACCOUNT] = limits(values={"MAX_ORDER_QTY": 1})
    admitted = GATE.readmit(of.orders[first.id], ask(first), of, NOW)
    fresh = GATE.clear_replace(of.orders[first.id], asking(first), STOCK, of, NOW).decision

    assert isinstance(admitted, ApprovedOrder | ApprovedReplace)
    assert "QTY_EXCEEDS_MAX" in codes(fresh), "a replace is judged by those of today"


@pytest.mark.parametrize("ask", [queued, asking])
def test_an_intent_of_more_than_half_a_minute_is_withheld(ask: Callable[[Order], Command]) -> None:
    first = order(id=OrderID("first"))
    of = recorded(books(), first)
    verdict = GATE.readmit(of.orders[first.id], ask(first), of, NOW + 30 * NS + 1)

    assert verdict == Withheld("STALE_INTENT: age_ms=30000")


@pytest.mark.parametrize("ask", [queued, asking])
def test_a_halt_withholds_and_reducing_lets_pass_what_reduces(
    ask: Callable[[Order], Command],
) -> None:
    buying = order(id=OrderID("buying"))
    selling = order(id=OrderID("selling"), side=Side.SELL, order_qty=D(10))
    of = recorded(held(books(), 10), buying, selling)
    expected = {TradingState.ACTIVE: (True, True), TradingState.REDUCING: (False, True)}
    for state in TradingState:
        of.put_account(replace(of.accounts[ACCOUNT], trading_state=state))
        verdicts = tuple(
            not isinstance(GATE.readmit(of.orders[each.id], ask(each), of, NOW), Withheld)
            for each in (buying, selling)
        )
        assert verdicts == expected.get(state, (False, False))
