"""Chains: which order a cancel or replace is about."""

import pytest

from tests.trading.builders import (
    OTHER,
    D,
    account,
    amend,
    books,
    cancel,
    report,
    trade,
)
from tests.trading.office import Office, refused
from trading.command import (
    OrderTarget,
)
from trading.execution import ExecType
from trading.ids import ClOrdID, OrderID
from trading.order import Order, OrdStatus
from trading.reject import CxlRejReason


def replaced(office: Office) -> Order:
    order = office.working()
    office.replacing(order)
    office.take(report(ExecType.REPLACED, order.wire_id, order_qty=D(150)))
    return office.order(order.id)


def test_a_replaced_order_is_known_by_its_newest_id() -> None:
    office = Office()
    order = replaced(office)

    assert order.cl_ord_id == "r1"
    assert isinstance(office.handle(cancel(of="r1")).decided, Order)


def test_a_superseded_id_is_unknown_to_new_requests() -> None:
    office = Office()
    replaced(office)
    reject = refused(office, cancel(of="p1"))

    assert reject.cxl_rej_reason is CxlRejReason.UNKNOWN_ORDER
    assert reject.text == "the order of clOrdId p1 is now known as r1"


def test_the_id_of_a_pending_replace_finds_the_order_already() -> None:
    office = Office()
    office.replacing(office.working())

    assert isinstance(office.handle(cancel(of="r1")).decided, Order)


def test_the_id_of_a_refused_replace_finds_nothing() -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 60, wire_id=order.wire_id))
    refused(office, amend("r1", order_qty=D(50)))

    assert refused(office, cancel(of="r1")).cxl_rej_reason is CxlRejReason.UNKNOWN_ORDER


def test_an_order_id_finds_the_order_whatever_it_is_called_now() -> None:
    office = Office()
    order = replaced(office)
    command = cancel(target=OrderTarget(order_id=order.id))

    assert isinstance(office.handle(command).decided, Order)


@pytest.mark.parametrize(
    "target",
    [OrderTarget(order_id=OrderID("none")), OrderTarget(orig_cl_ord_id=ClOrdID("none"))],
)
def test_an_unknown_order_cannot_be_canceled(target: OrderTarget) -> None:
    reject = refused(Office(), cancel(target=target))

    assert reject.cxl_rej_reason is CxlRejReason.UNKNOWN_ORDER
    assert reject.ord_status is OrdStatus.REJECTED
    assert reject.order_id is None
    assert reject.seq == 1


def test_the_order_of_another_account_is_unknown() -> None:
    office = Office(books(account(), account("b")))
    theirs = office.place(account_id=OTHER)
    reject = refused(office, cancel(target=OrderTarget(order_id=theirs.id)))

    assert reject.cxl_rej_reason is CxlRejReason.UNKNOWN_ORDER
