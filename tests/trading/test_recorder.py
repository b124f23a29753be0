"""The recorder: what brokers claim and how sendings ended, in records without a gap."""

from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    D,
    cancel,
    cancel_reject,
    new,
    report,
    trade,
)
from tests.trading.office import Office, doubted, reject_of
from trading.command import CommandKind, CommandState
from trading.execution import BreakKind, BrokerUnknown, ExecType
from trading.order import OrdStatus
from trading.recorder import Due, Refused, Returned
from trading.reject import CxlRejReason, OrdRejReason, RejectedBy

# --- new orders ----------------------------------------------------------------------------------


def test_the_brokers_first_word_acknowledges_the_order() -> None:
    office = Office()
    order = office.working()

    assert order.ord_status is OrdStatus.NEW
    assert order.secondary_order_id == f"B-{order.wire_id}"
    assert office.state(order.wire_id) is CommandState.ACKED


def test_a_fill_acknowledges_too_and_a_late_acknowledgement_adds_the_address() -> None:
    office = Office()
    order = office.place()
    office.take(trade("t", 30, wire_id=order.wire_id))
    assert office.state(order.wire_id) is CommandState.ACKED
    office.take(new(order.wire_id))

    assert office.order(order.id).ord_status is OrdStatus.PARTIALLY_FILLED
    assert office.order(order.id).secondary_order_id is not None
    assert not office.breaks


def test_an_acknowledgement_after_the_last_fill_is_no_break() -> None:
    office = Office()
    order = office.place()
    office.take(trade("t", 100, wire_id=order.wire_id), new(order.wire_id))

    assert office.order(order.id).ord_status is OrdStatus.FILLED
    assert not office.breaks


def test_the_brokers_refusal_rejects_the_order() -> None:
    office = Office()
    order = office.place()
    office.take(Refused(order.wire_id, "no funds"))
    after = office.order(order.id)

    assert (after.ord_status, after.rejected_by) == (OrdStatus.REJECTED, RejectedBy.BROKER)
    assert (after.ord_rej_reason, after.text) == (OrdRejReason.BROKER_OPTION, "no funds")
    assert office.state(order.wire_id) is CommandState.REJECTED


def test_a_claim_told_twice_is_recorded_once() -> None:
    office = Office()
    order = office.working()
    once = trade("t", 30, wire_id=order.wire_id)
    office.take(once, once)

    assert office.told == ["PENDING_NEW", "NEW", "TRADE"]
    assert office.books.new_broker_keys.count(once.key) == 1


def test_a_fill_told_under_two_keys_is_recorded_once() -> None:
    office = Office()
    order = office.working()
    once = trade("t", 30, wire_id=order.wire_id)
    office.take(once, replace(once, key="another"))

    assert office.order(order.id).cum_qty == 30
    assert office.told.count("TRADE") == 1


def test_what_is_no_order_of_ours_is_a_break() -> None:
    office = Office()

    assert office.take(new("stranger")) == []
    assert office.breaks == [BreakKind.UNKNOWN_ORDER]
    assert office.told == []


def test_what_cannot_be_read_is_a_break_and_changes_nothing() -> None:
    office = Office()
    order = office.working()
    unknown = BrokerUnknown(
        key="k", cursor=None, wire_id=order.wire_id, received_at=1, text="status 99"
    )
    office.take(unknown)

    assert office.breaks == [BreakKind.UNREADABLE]
    assert office.order(order.id) == order


def test_a_late_fill_is_recorded_with_its_break() -> None:
    office = Office()
    order = office.working()
    office.take(report(ExecType.CANCELED, order.wire_id), trade("t", 30, wire_id=order.wire_id))

    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert office.breaks == [BreakKind.LATE_FILL]
    assert office.books.position(ACCOUNT, AAPL).net_qty == 30


# --- what never left -----------------------------------------------------------------------------


def test_what_the_broker_did_not_take_is_sent_again_when_it_is_due_under_the_same_id() -> None:
    office = Office()
    order = office.place()
    assert office.take(Returned(order.wire_id, "rate limit", 5)) == []
    assert office.state(order.wire_id) is CommandState.QUEUED
    [dispatch] = office.take(Due(order.wire_id))

    assert dispatch.command.wire_id == order.wire_id
    assert dispatch.command.attempt == 2
    assert office.told == ["PENDING_NEW"]


def test_what_may_no_longer_be_sent_is_rejected_by_us() -> None:
    office = Office()
    order = office.place()
    office.take(Returned(order.wire_id, "rate limit", 5))
    office.gate.withholds = "TRADING_HALTED"

    assert office.take(Due(order.wire_id)) == []
    after = office.order(order.id)
    assert (after.ord_status, after.rejected_by) == (OrdStatus.REJECTED, RejectedBy.GATEWAY)
    assert office.state(order.wire_id) is CommandState.WITHHELD


def test_a_replace_that_may_no_longer_be_sent_leaves_its_order_alive() -> None:
    office = Office()
    order = office.working()
    replacing = office.replacing(order)
    office.take(Returned(replacing, "rate limit", 5))
    office.gate.withholds = "STALE_INTENT"
    office.take(Due(replacing))

    assert office.state(replacing) is CommandState.WITHHELD
    assert reject_of(office).rejected_by is RejectedBy.GATEWAY
    assert reject_of(office).cxl_rej_reason is CxlRejReason.OTHER
    assert office.order(order.id).ord_status is OrdStatus.NEW


def test_a_cancel_is_never_withheld() -> None:
    office = Office()
    canceling = office.canceling(office.working())
    office.take(Returned(canceling, "unavailable", 1))
    office.gate.withholds = "TRADING_HALTED"
    [dispatch] = office.take(Due(canceling))

    assert dispatch.command.kind is CommandKind.CANCEL


def test_an_order_that_comes_back_unsent_is_not_sent_again_once_its_client_cancels() -> None:
    office = Office()
    order = office.place()
    canceling = office.canceling(order)
    assert office.take(Returned(order.wire_id, "rate limit", 5)) == []

    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert office.state(order.wire_id) is CommandState.SUPERSEDED
    assert office.state(canceling) is CommandState.ACKED
    assert office.last().cl_ord_id == "c1"
    assert office.take(Due(order.wire_id), Due(canceling)) == []


def test_a_replace_that_comes_back_unsent_makes_way_for_the_cancel() -> None:
    office = Office()
    order = office.working()
    replacing = office.replacing(order)
    office.handle(cancel(of="r1"))
    [dispatch] = office.take(Returned(replacing, "rate limit", 5))

    assert dispatch.command.kind is CommandKind.CANCEL
    assert office.state(replacing) is CommandState.SUPERSEDED
    assert office.order(order.id).ord_status is OrdStatus.PENDING_CANCEL


def test_an_order_that_the_broker_tells_of_is_not_sent_again_whatever_the_adapter_said() -> None:
    office = Office()
    order = office.place()
    office.take(Returned(order.wire_id, "unavailable", 1), new(order.wire_id))

    assert office.take(Due(order.wire_id)) == []
    assert office.state(order.wire_id) is CommandState.ACKED


# --- one at a time -------------------------------------------------------------------------------


def test_commands_of_one_order_are_sent_one_at_a_time() -> None:
    office = Office()
    order = office.place()
    replacing = office.replacing(order)
    [first] = office.take(new(order.wire_id))
    assert first.command.wire_id == replacing
    canceling = office.canceling(replace(order, cl_ord_id=first.command.cl_ord_id))
    assert office.state(canceling) is CommandState.QUEUED
    [second] = office.take(report(ExecType.REPLACED, order.wire_id, order_qty=D(150)))

    assert second.command.wire_id == canceling


def test_nothing_is_sent_for_an_order_in_doubt() -> None:
    office = Office()
    order = office.place()
    office.handle(cancel())
    doubted(office, order.wire_id)

    assert all(each.attempt == 0 for each in office.commands(CommandKind.CANCEL))


# --- cancels and replaces ------------------------------------------------------------------------


def test_a_cancel_is_done_when_the_broker_says_canceled() -> None:
    office = Office()
    order = office.working()
    canceling = office.canceling(order)
    office.take(report(ExecType.CANCELED, order.wire_id))

    assert office.order(order.id).ord_status is OrdStatus.CANCELED
    assert office.state(canceling) is CommandState.ACKED
    assert (office.last().cl_ord_id, office.last().orig_cl_ord_id) == ("c1", "p1")


@pytest.mark.parametrize("by_event", [True, False])
def test_a_cancel_that_comes_after_the_fill_is_refused(*, by_event: bool) -> None:
    office = Office()
    order = office.working()
    canceling = office.canceling(order)
    office.take(trade("t", 100, wire_id=order.wire_id))
    assert office.order(order.id).ord_status is OrdStatus.PENDING_CANCEL
    refusal = cancel_reject(canceling, order.wire_id) if by_event else Refused(canceling, "late")
    office.take(refusal)

    assert office.order(order.id).ord_status is OrdStatus.FILLED
    assert reject_of(office).ord_status is OrdStatus.FILLED
    assert reject_of(office).rejected_by is RejectedBy.BROKER
    assert office.state(canceling) is CommandState.REJECTED


@pytest.mark.parametrize("ending", [trade("t", 100), report(ExecType.EXPIRED)])
def test_a_cancel_that_the_broker_confirms_too_late_does_not_stay_pending(ending: Any) -> None:
    office = Office()
    order = office.working()
    canceling = office.canceling(order)
    office.take(replace(ending, wire_id=order.wire_id), report(ExecType.CANCELED, order.wire_id))

    assert office.order(order.id).ord_status.is_terminal
    assert reject_of(office).cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL
    assert office.state(canceling) is CommandState.REJECTED


def test_a_fill_that_overtakes_the_cancel_does_not_reopen() -> None:
    office = Office()
    order = office.working()
    office.canceling(order)
    office.take(trade("t", 40, wire_id=order.wire_id), report(ExecType.CANCELED, order.wire_id))

    after = office.order(order.id)
    assert (after.ord_status, after.cum_qty, after.leaves_qty) == (OrdStatus.CANCELED, D(40), D(0))
    assert not office.breaks


@pytest.mark.parametrize("by_event", [True, False])
def test_a_refused_replace_leaves_the_order_as_it_was(*, by_event: bool) -> None:
    office = Office()
    order = office.working()
    replacing = office.replacing(order)
    refusal = cancel_reject(replacing, order.wire_id) if by_event else Refused(replacing, "no")
    office.take(refusal)

    after = office.order(order.id)
    assert (after.ord_status, after.order_qty, after.cl_ord_id) == (OrdStatus.NEW, D(100), "p1")
    assert after.replacement is None
    assert office.state(replacing) is CommandState.REJECTED


def test_what_waits_is_refused_when_the_order_ends() -> None:
    office = Office()
    order = office.place()
    canceling = office.canceling(order)
    office.take(trade("t", 100, wire_id=order.wire_id))

    assert office.state(canceling) is CommandState.REJECTED
    assert reject_of(office).cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL
    assert office.order(order.id).ord_status is OrdStatus.FILLED


def test_a_refusal_of_something_else_is_not_taken_for_one_of_ours() -> None:
    office = Office()
    order = office.working()
    office.take(cancel_reject("stranger", order.wire_id))

    assert office.order(order.id) == order
