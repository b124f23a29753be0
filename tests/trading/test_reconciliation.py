"""Reconciliation: what the broker shows and never told, and its own word when that comes."""

from dataclasses import replace

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    D,
    amend,
    at_broker,
    bust,
    cancel,
    report,
    trade,
)
from tests.trading.office import Office
from trading.command import CommandKind, CommandState
from trading.execution import ExecType
from trading.ids import SecondaryOrderID
from trading.order import Order, OrdStatus
from trading.recorder import Compared


def deduced(office: Office, order: Order, qty: int, px: int = 100) -> Order:
    """Have a comparison with the broker find that so much has traded."""
    order = office.order(order.id)
    shown = at_broker(order, cum_qty=D(qty), avg_px=D(px))
    office.take(Compared(order.wire_id, shown, order.last_seq))
    return office.order(order.id)


def test_a_comparison_of_an_order_that_has_moved_since_says_nothing() -> None:
    office = Office()
    order = office.working()
    stale = Compared(order.wire_id, at_broker(order), order.last_seq)
    office.take(report(ExecType.REPLACED, order.wire_id, order_qty=D(80)), stale)

    assert office.order(order.id).order_qty == 80


def test_equal_orders_have_no_differences() -> None:
    office = Office()
    order = deduced(office, office.working(), 0)

    assert office.told == ["PENDING_NEW", "NEW"]
    assert order.ord_status is OrdStatus.NEW


def test_a_missing_fill_closes_the_gap_in_quantity_and_in_value() -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 10, 100, wire_id=order.wire_id))
    after = deduced(office, order, 40, 103)

    assert (after.cum_qty, after.avg_px) == (D(40), D(103))
    assert office.books.position(ACCOUNT, AAPL).cost == 40 * 103


def test_the_brokers_own_fill_retires_the_deduced_one() -> None:
    office = Office()
    order = office.working()
    deduced(office, order, 40, 100)
    office.take(trade("t", 40, 101, wire_id=order.wire_id))

    after = office.order(order.id)
    assert (after.cum_qty, after.avg_px) == (D(40), D(101))
    assert office.books.position(ACCOUNT, AAPL).cost == 40 * 101
    assert office.books.position(ACCOUNT, AAPL).realized_pnl == 0
    assert not office.breaks


def test_the_brokers_own_fills_retire_the_deduced_one_in_parts() -> None:
    office = Office()
    order = office.working()
    deduced(office, order, 100)
    assert office.order(order.id).ord_status is OrdStatus.FILLED
    for name, qty in (("t1", 30), ("t2", 30), ("t3", 40)):
        office.take(trade(name, qty, wire_id=order.wire_id))
        assert office.order(order.id).cum_qty == 100
        assert office.order(order.id).ord_status is OrdStatus.FILLED

    fills = office.books.fills[order.id]
    undone = {each.exec_ref_id for each in fills}
    kept = [f for f in fills if f.exec_id not in undone and f.exec_type is ExecType.TRADE]
    assert {each.exec_id for each in kept} == {"t1", "t2", "t3"}
    assert not office.breaks


def test_only_so_much_is_retired_as_the_brokers_own_fill_accounts_for() -> None:
    office = Office()
    order = office.working()
    deduced(office, order, 30)
    deduced(office, order, 60)
    office.take(trade("t", 30, wire_id=order.wire_id))

    undone = {each.exec_ref_id for each in office.books.fills[order.id]}
    first, second, *_ = office.books.fills[order.id]
    assert first.exec_id in undone
    assert second.exec_id not in undone
    assert office.order(order.id).cum_qty == 60


def test_a_canceled_order_stays_so_when_a_deduced_fill_is_retired() -> None:
    office = Office()
    order = office.working()
    deduced(office, order, 40)
    office.take(report(ExecType.CANCELED, order.wire_id), trade("t", 40, wire_id=order.wire_id))

    after = office.order(order.id)
    assert (after.ord_status, after.cum_qty) == (OrdStatus.CANCELED, D(40))


def test_a_known_fill_told_again_retires_nothing() -> None:
    office = Office()
    order = office.working()
    office.take(trade("t", 30, wire_id=order.wire_id))
    deduced(office, order, 50)
    office.take(replace(trade("t", 30, wire_id=order.wire_id), key="again"))

    assert office.order(order.id).cum_qty == 50


def test_a_comparison_finds_new_terms_and_the_ending() -> None:
    office = Office()
    order = office.working()
    shown = at_broker(order, order_qty=D(80), status=OrdStatus.EXPIRED)
    office.take(Compared(order.wire_id, shown, order.last_seq))

    after = office.order(order.id)
    assert (after.ord_status, after.order_qty) == (OrdStatus.EXPIRED, D(80))


def test_a_bust_takes_back_position_and_cash() -> None:
    office = Office()
    order = office.working()
    before = office.books.accounts[ACCOUNT].cash
    office.take(trade("t", 40, wire_id=order.wire_id), bust("b", "t", order.wire_id))

    assert office.books.accounts[ACCOUNT].cash == before
    position = office.books.position(ACCOUNT, AAPL)
    assert (position.net_qty, position.cost, position.realized_pnl) == (D(0), D(0), D(0))
    assert office.order(order.id).ord_status is OrdStatus.NEW
    assert position.open_buy_qty == 100


def test_an_address_that_comes_with_a_fill_lets_the_cancel_leave() -> None:
    office = Office()
    order = office.place()
    office.handle(cancel())
    claim = trade("t", 10, wire_id=order.wire_id, secondary_order_id=SecondaryOrderID("B"))
    [dispatch] = office.take(claim)

    assert dispatch.command.kind is CommandKind.CANCEL


def test_a_replace_is_not_refused_by_what_the_order_has_done_since() -> None:
    office = Office()
    order = office.working()
    replacing = office.replacing(order, order_qty=D(150))
    office.take(trade("t", 20, wire_id=order.wire_id))

    assert office.state(replacing) is CommandState.SENT
    assert office.order(order.id).ord_status is OrdStatus.PENDING_REPLACE
    assert office.handle(amend("r2", "r1")).dispatches == ()
