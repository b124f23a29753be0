"""The clerk: one namespace of ClOrdIDs, chains of them, and what is decided at once."""

from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    ES,
    OTHER,
    D,
    account,
    amend,
    books,
    cancel,
    new,
    place,
    report,
    trade,
)
from tests.trading.office import Office, refused
from trading.clerk import Repeated
from trading.command import (
    CancelAllOrders,
    CommandKind,
    CommandState,
    OrderCommand,
)
from trading.decision import Check, RiskDecision, Verdict
from trading.execution import ExecType
from trading.ids import ClOrdID
from trading.order import Order, OrdStatus, OrdType, Side
from trading.outcome import ClOrdIdConflict, OrderMassCancelReport
from trading.recorder import Doubted, Due, Returned
from trading.reject import CxlRejReason, OrdRejReason, RejectedBy

REFUSAL = RiskDecision(
    checks=(
        Check(
            name="TICK_SIZE",
            verdict=Verdict.REFUSE,
            inputs={},
            code="PRICE_OFF_TICK",
            text="PRICE_OFF_TICK: tick=1",
            reason=OrdRejReason.INVALID_PRICE_INCREMENT,
        ),
    ),
    limits_version=1,
    decided_at=1,
)


def cancel_all(cl_ord_id: str = "m1", **fields: Any) -> CancelAllOrders:
    plain = CancelAllOrders(account_id=ACCOUNT, cl_ord_id=ClOrdID(cl_ord_id))
    return replace(plain, **fields)


# --- place ---------------------------------------------------------------------------------------


def test_a_placed_order_is_recorded_and_sent_by_the_owner_of_the_session() -> None:
    office = Office()
    handled = office.handle(place())

    assert isinstance(handled.decided, Order)
    assert handled.decided.ord_status is OrdStatus.PENDING_NEW
    assert office.told == ["PENDING_NEW"]
    [dispatch] = handled.dispatches
    assert dispatch.command.state is CommandState.SENT
    assert (dispatch.command.attempt, dispatch.command.epoch) == (1, 1)
    assert dispatch.command.wire_id == handled.decided.wire_id == handled.wire_id


def test_who_does_not_own_the_session_only_queues() -> None:
    office = Office()
    handled = office.handle(place(), epoch=None)

    assert handled.dispatches == ()
    assert handled.wire_id is not None
    assert office.state(handled.wire_id) is CommandState.QUEUED


def test_what_risk_refuses_is_a_rejected_order_with_its_decision() -> None:
    office = Office()
    office.gate.refuses = REFUSAL
    order = office.place()

    assert (order.ord_status, order.rejected_by) == (OrdStatus.REJECTED, RejectedBy.GATEWAY)
    assert order.ord_rej_reason is OrdRejReason.INVALID_PRICE_INCREMENT
    assert office.told == ["REJECTED"]
    assert office.books.new_decisions == [(ACCOUNT, "p1", REFUSAL)]
    assert not office.books.commands
    assert office.books.accounts[ACCOUNT].open_orders == 0


def test_an_unknown_symbol_is_a_rejected_order() -> None:
    office = Office()
    order = office.place(symbol="NOPE")

    assert order.ord_rej_reason is OrdRejReason.UNKNOWN_SYMBOL
    assert office.told == ["REJECTED"]


# --- one ClOrdID, one effect ---------------------------------------------------------------------

COMMANDS: dict[str, OrderCommand] = {
    "place": place("x"),
    "place other": place("x", order_qty=D(7)),
    "replace": amend("x"),
    "replace other": amend("x", order_qty=D(60)),
    "cancel": cancel("x"),
    "cancel other": cancel("x", "p0"),
    "cancel all": cancel_all("x"),
    "cancel all other": cancel_all("x", side=Side.BUY),
}


@pytest.mark.parametrize("first", COMMANDS)
@pytest.mark.parametrize("second", COMMANDS)
def test_a_cl_ord_id_has_one_effect_in_one_namespace(first: str, second: str) -> None:
    office = Office()
    office.working("p0")
    office.working("p1")
    decided = office.handle(COMMANDS[first]).decided
    before = office.books.accounts[ACCOUNT], dict(office.books.commands)
    again = office.handle(COMMANDS[second])

    assert (office.books.accounts[ACCOUNT], dict(office.books.commands)) == before
    assert again.dispatches == ()
    if first != second:
        assert isinstance(again.decided, ClOrdIdConflict)
        assert "use a new one" in again.decided.message
    elif isinstance(decided, OrderMassCancelReport):
        assert isinstance(again.decided, Repeated)
    else:
        assert again.decided == decided


def test_numbers_that_are_equal_are_the_same_body() -> None:
    office = Office()
    order = office.place(price=D("100.50"))

    assert office.handle(place(price=D("100.5"))).decided == order


def test_a_repetition_shows_the_present_state() -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 30, wire_id=order.wire_id))
    again = office.handle(place()).decided

    assert isinstance(again, Order)
    assert again.cum_qty == 30


def test_a_refusal_is_repeated_though_the_order_has_changed_since() -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 60, wire_id=order.wire_id))
    first = office.handle(amend(order_qty=D(50))).decided
    office.take(report(ExecType.CANCELED, order.wire_id))

    assert office.handle(amend(order_qty=D(50))).decided == first


def test_a_rejected_order_is_repeated_as_rejected() -> None:
    office = Office()
    office.gate.refuses = REFUSAL
    order = office.place()
    office.gate.refuses = None

    assert office.handle(place()).decided == order


def test_accounts_do_not_share_their_cl_ord_ids() -> None:
    office = Office(books(account(), account("b")))
    mine, theirs = office.place(), office.place(account_id=OTHER)

    assert mine.id != theirs.id


# --- cancel --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [trade("t", 100), report(ExecType.CANCELED), report(ExecType.EXPIRED)],
    ids=["filled", "canceled", "expired"],
)
def test_a_finished_order_can_be_neither_canceled_nor_replaced(ending: Any) -> None:
    office = Office()
    order = office.working()
    office.take(replace(ending, wire_id=order.wire_id))
    for command in (cancel(), amend(order_qty=D(200))):
        assert refused(office, command).cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL


def test_a_second_cancel_is_refused_while_one_is_pending() -> None:
    office = Office()
    office.canceling(office.working())
    reject = refused(office, cancel("c2"))

    assert reject.cxl_rej_reason is CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS


def test_a_cancel_of_what_was_never_sent_cancels_it_here() -> None:
    office = Office()
    order = office.place(epoch=None)
    handled = office.handle(cancel())

    assert isinstance(handled.decided, Order)
    assert handled.decided.ord_status is OrdStatus.CANCELED
    assert (handled.dispatches, handled.wire_id) == ((), None)
    assert office.state(order.wire_id) is CommandState.SUPERSEDED
    assert office.take(Due(order.wire_id)) == []
    assert (office.last().cl_ord_id, office.last().orig_cl_ord_id) == ("c1", "p1")


def test_a_cancel_waits_until_the_order_has_an_address() -> None:
    office = Office()
    order = office.place()
    handled = office.handle(cancel())

    assert isinstance(handled.decided, Order)
    assert handled.decided.ord_status is OrdStatus.PENDING_CANCEL
    assert handled.dispatches == ()
    [dispatch] = office.take(new(order.wire_id))
    assert dispatch.command.kind is CommandKind.CANCEL
    assert dispatch.order.secondary_order_id is not None


def test_a_cancel_supersedes_a_replace_that_waits() -> None:
    office = Office()
    order = office.place()
    replacing = office.replacing(order)
    office.handle(cancel())

    assert office.state(replacing) is CommandState.SUPERSEDED
    assert office.told[-2:] == ["CancelReject", "PENDING_CANCEL"]
    assert office.order(order.id).replacement is None


def test_a_cancel_waits_for_the_replace_that_is_on_its_way() -> None:
    office = Office()
    order = office.working()
    office.replacing(order)
    handled = office.handle(cancel(of="r1"))

    assert handled.dispatches == ()
    [dispatch] = office.take(report(ExecType.REPLACED, order.wire_id, order_qty=D(150)))
    assert dispatch.command.kind is CommandKind.CANCEL


def test_an_order_in_doubt_may_be_canceled_but_not_replaced() -> None:
    office = Office()
    order = office.place()
    office.take(Doubted(order.wire_id, "timeout"))

    reject = refused(office, amend())
    assert reject.cxl_rej_reason is CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS
    assert isinstance(office.handle(cancel()).decided, Order)


# --- replace -------------------------------------------------------------------------------------


def test_a_replace_is_recorded_and_sent_with_its_terms() -> None:
    office = Office()
    order = office.working()
    handled = office.handle(amend(order_qty=D(150), price=D(101)))

    [dispatch] = handled.dispatches
    assert dispatch.approved is not None
    assert dispatch.command.terms is not None
    assert (dispatch.command.terms.order_qty, dispatch.command.terms.price) == (D(150), D(101))
    assert office.order(order.id).ord_status is OrdStatus.PENDING_REPLACE
    assert office.order(order.id).order_qty == 100, "until the broker says so"
    assert (office.last().cl_ord_id, office.last().orig_cl_ord_id) == ("r1", "p1")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"order_qty": D(60)}, CxlRejReason.OTHER),
        ({"order_qty": D(59)}, CxlRejReason.OTHER),
        ({"order_qty": None, "stop_px": D(90)}, CxlRejReason.OTHER),
    ],
)
def test_impossible_terms_are_refused(fields: dict[str, Any], reason: CxlRejReason) -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 60, wire_id=order.wire_id))

    assert refused(office, amend(**fields)).cxl_rej_reason is reason


def test_a_market_order_has_no_price_to_replace() -> None:
    office = Office()
    office.working(ord_type=OrdType.MARKET, price=None)

    assert "has no price" in (refused(office, amend(price=D(1))).text or "")


def test_a_second_replace_is_refused_while_one_is_pending() -> None:
    office = Office()
    office.replacing(office.working())
    for orig in ("p1", "r1"):
        reject = refused(office, amend(f"r-{orig}", orig))
        assert reject.cxl_rej_reason is CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS


def test_a_replace_is_refused_while_a_cancel_is_pending() -> None:
    office = Office()
    office.canceling(office.working())
    reject = refused(office, amend())

    assert reject.cxl_rej_reason is CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS


def test_a_replace_that_risk_refuses_keeps_the_decision_and_the_order() -> None:
    office = Office()
    office.working()
    office.gate.refuses = REFUSAL
    reject = refused(office, amend())

    assert reject.cxl_rej_reason is CxlRejReason.INVALID_PRICE_INCREMENT
    assert office.books.new_decisions[-1] == (ACCOUNT, "r1", REFUSAL)


def test_a_replace_never_makes_an_order_leave_that_waits_to_be_sent_again() -> None:
    office = Office()
    order = office.place()
    office.take(Returned(order.wire_id, "rate limit", 5))
    handled = office.handle(amend(order_qty=D(150)))

    assert handled.dispatches == ()
    assert office.state(order.wire_id) is CommandState.QUEUED


# --- mass cancel ---------------------------------------------------------------------------------


def crowd() -> Office:
    office = Office(books(account(), account("b")))
    office.working("buy")
    office.working("sell", side=Side.SELL)
    office.working("future", symbol="ESZ6")
    office.place("sent")
    office.place("queued", epoch=None)
    filled = office.working("filled")
    office.take(trade("t", 100, wire_id=filled.wire_id))
    office.canceling(office.working("canceling"))
    office.place("theirs", account_id=OTHER)
    return office


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({}, {"buy", "sell", "future", "sent", "queued"}),
        ({"side": Side.SELL}, {"sell"}),
        ({"symbol": "AAPL"}, {"buy", "sell", "sent", "queued"}),
        ({"symbol": AAPL, "side": Side.BUY}, {"buy", "sent", "queued"}),
        ({"symbol": ES}, {"future"}),
        ({"symbol": "NOPE"}, set()),
    ],
)
def test_a_mass_cancel_takes_the_open_orders_that_it_describes(
    fields: dict[str, Any], chosen: set[str]
) -> None:
    office = crowd()
    handled = office.handle(cancel_all(**fields))

    assert isinstance(handled.decided, OrderMassCancelReport)
    assert {each.cl_ord_id for each in handled.decided.orders} == chosen
    assert len(handled.dispatches) == len(chosen - {"sent", "queued"})
    for each in handled.decided.orders:
        expected = OrdStatus.CANCELED if each.cl_ord_id == "queued" else OrdStatus.PENDING_CANCEL
        assert each.ord_status is expected
