"""Doubt: told on entering and on leaving, and never left without evidence."""

from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    D,
    at_broker,
    cancel,
    cancel_reject,
    new,
    report,
    trade,
)
from tests.trading.office import Office, doubted, reject_of
from trading.command import CommandKind, CommandState
from trading.execution import ExecType, Origin
from trading.ids import WireID
from trading.order import Order, OrdStatus
from trading.ports import BrokerOrder
from trading.recorder import Refused
from trading.reject import CxlRejReason, RejectedBy


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (new(), OrdStatus.NEW),
        (trade("t", 30), OrdStatus.PARTIALLY_FILLED),
        (report(ExecType.REJECTED), OrdStatus.REJECTED),
        (report(ExecType.CANCELED), OrdStatus.CANCELED),
    ],
    ids=["new", "trade", "rejected", "canceled"],
)
def test_doubt_is_told_on_entering_and_on_leaving_by_evidence(
    evidence: Any, status: OrdStatus
) -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    assert office.order(order.id).in_doubt
    office.take(replace(evidence, wire_id=order.wire_id))

    after = office.order(order.id)
    assert (after.in_doubt, after.ord_status) == (False, status)
    assert office.doubts() == [True, False]
    assert office.books.commands[order.wire_id].evidence is not None


def test_doubting_twice_is_told_once() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    doubted(office, order.wire_id)

    assert office.doubts() == [True]


def test_an_order_in_doubt_keeps_its_reservation() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)

    assert office.books.position(ACCOUNT, AAPL).open_buy_qty == 100


def test_what_the_broker_shows_is_evidence() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    shown = at_broker(order, status=OrdStatus.PARTIALLY_FILLED, cum_qty=D(30), avg_px=D(99))
    office.found(order.wire_id, shown)

    after = office.order(order.id)
    assert (after.ord_status, after.cum_qty, after.avg_px) == (
        OrdStatus.PARTIALLY_FILLED,
        D(30),
        D(99),
    )
    assert after.secondary_order_id is not None
    assert office.doubts() == [True, False]
    [fill] = office.books.new_fills
    assert fill.origin is Origin.RECONCILIATION


def test_an_order_found_rejected_was_never_new() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    office.found(order.wire_id, at_broker(order, status=OrdStatus.REJECTED))

    assert "NEW" not in office.told
    assert office.order(order.id).ord_status is OrdStatus.REJECTED


def test_an_order_proven_absent_is_sent_again_where_the_broker_dedupes() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    [dispatch] = office.found(order.wire_id, None)

    assert (dispatch.command.wire_id, dispatch.command.attempt) == (order.wire_id, 2)
    assert office.doubts() == [True, False]


def test_an_order_proven_absent_is_rejected_where_sending_again_is_not_safe() -> None:
    office = Office(resends=False)
    order = office.place()
    doubted(office, order.wire_id)

    assert office.found(order.wire_id, None) == []
    after = office.order(order.id)
    assert (after.ord_status, after.rejected_by) == (OrdStatus.REJECTED, RejectedBy.GATEWAY)
    assert office.doubts() == [True, False]


def test_an_absent_order_that_its_client_has_canceled_meanwhile_is_not_sent_again() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    office.handle(cancel())

    assert office.found(order.wire_id, None) == []
    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert not office.order(order.id).in_doubt


def test_an_absent_order_is_withheld_where_the_gate_has_closed() -> None:
    office = Office()
    order = office.place()
    doubted(office, order.wire_id)
    office.gate.withholds = "TRADING_HALTED"

    assert office.found(order.wire_id, None) == []
    assert office.state(order.wire_id) is CommandState.WITHHELD


def amended(office: Office, kind: CommandKind) -> tuple[Order, WireID]:
    order = office.working()
    wire = office.canceling(order) if kind is CommandKind.CANCEL else office.replacing(order)
    doubted(office, wire)
    return office.order(order.id), wire


@pytest.mark.parametrize("kind", [CommandKind.CANCEL, CommandKind.REPLACE])
def test_an_amendment_that_the_broker_never_had_is_sent_again(kind: CommandKind) -> None:
    office = Office()
    order, wire = amended(office, kind)
    [dispatch] = office.found(wire, at_broker(order))

    assert (dispatch.command.wire_id, dispatch.command.attempt) == (wire, 2)
    assert office.doubts() == [True, False]


@pytest.mark.parametrize("taken", [True, False])
def test_a_cancel_of_what_has_ended_is_not_sent_again(*, taken: bool) -> None:
    office = Office()
    order, wire = amended(office, CommandKind.CANCEL)
    shown = at_broker(order, status=OrdStatus.FILLED, cum_qty=D(100), avg_px=D(100))
    shown = replace(shown, last_request_wire_id=wire if taken else None)

    assert office.found(wire, shown) == []
    assert office.order(order.id).ord_status is OrdStatus.FILLED
    assert reject_of(office).cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL
    assert office.state(wire) is CommandState.REJECTED
    assert office.doubts() == [True, False]


def test_a_replace_of_what_has_ended_is_not_sent_again() -> None:
    office = Office()
    order, wire = amended(office, CommandKind.REPLACE)
    shown = at_broker(order, status=OrdStatus.CANCELED)

    assert office.found(wire, shown) == []
    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert reject_of(office).cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL


def test_a_cancel_in_doubt_is_done_where_the_broker_shows_it_canceled() -> None:
    office = Office()
    order, wire = amended(office, CommandKind.CANCEL)
    office.found(wire, at_broker(order, status=OrdStatus.CANCELED))

    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert office.state(wire) is CommandState.ACKED


def test_a_cancel_that_the_broker_is_working_on_can_still_be_refused() -> None:
    office = Office()
    order, wire = amended(office, CommandKind.CANCEL)
    office.found(wire, at_broker(order, last_request_wire_id=wire))
    assert office.doubts() == [True, False]
    office.take(cancel_reject(wire, order.wire_id))

    assert office.order(order.id).ord_status is OrdStatus.NEW
    assert isinstance(office.handle(cancel("c2")).decided, Order)


@pytest.mark.parametrize("qty", [100, 150])
def test_a_replace_in_doubt_is_done_where_the_broker_shows_it(qty: int) -> None:
    office = Office()
    order = office.working()
    wire = office.replacing(order, order_qty=D(qty))
    doubted(office, wire)
    shown: BrokerOrder = at_broker(order, order_qty=D(qty), last_request_wire_id=wire)
    office.found(wire, shown)

    after = office.order(order.id)
    assert (after.ord_status, after.order_qty, after.cl_ord_id) == (OrdStatus.NEW, D(qty), "r1")
    assert office.state(wire) is CommandState.ACKED
    assert office.doubts() == [True, False]


@pytest.mark.parametrize("by_event", [True, False])
def test_a_refusal_ends_the_doubt_and_says_so(*, by_event: bool) -> None:
    office = Office()
    order, wire = amended(office, CommandKind.CANCEL)
    office.take(cancel_reject(wire, order.wire_id) if by_event else Refused(wire, "late"))

    assert not office.order(order.id).in_doubt
    assert office.doubts() == [True, False]
