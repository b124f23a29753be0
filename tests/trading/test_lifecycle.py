"""The order lifecycle: one table, and facts that apply in every status."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.trading.builders import D, bust, correct, fill, new, order, report, trade
from trading.execution import BreakKind, BrokerReport, ExecType, Fill
from trading.ids import ExecID, SecondaryOrderID
from trading.lifecycle import (
    TRANSITIONS,
    Applied,
    Ignored,
    Quarantined,
    apply,
    effective_fill,
)
from trading.order import TERMINAL, Order, OrdStatus, Replacement
from trading.quantity import ZERO
from trading.reject import OrdRejReason, RejectedBy

HINTS = [each for each in ExecType if not each.is_fill]
KEPT = [each for each in OrdStatus if not each.name.startswith("PENDING_")]


def applied(outcome: object) -> Applied:
    assert isinstance(outcome, Applied)
    return outcome


def traded(status: OrdStatus, cum_qty: int = 40, **fields: object) -> Order:
    return order(status=status, cum_qty=D(cum_qty), cum_value=D(cum_qty * 100), **fields)


@pytest.mark.parametrize(("pair", "after"), TRANSITIONS.items(), ids=str)
def test_a_legal_claim_changes_the_status_as_the_table_says(
    pair: tuple[OrdStatus, ExecType], after: OrdStatus
) -> None:
    before, exec_type = pair
    outcome = applied(apply(order(status=before), report(exec_type)))

    assert outcome.order.status is after
    assert outcome.fill is None
    assert not outcome.breaks


@pytest.mark.parametrize("before", [*KEPT, OrdStatus.PENDING_NEW])
@pytest.mark.parametrize("exec_type", HINTS)
def test_a_claim_outside_the_table_never_changes_the_status(
    before: OrdStatus, exec_type: ExecType
) -> None:
    outcome = apply(order(status=before), report(exec_type))

    if (before, exec_type) not in TRANSITIONS:
        assert isinstance(outcome, Ignored | Quarantined)


@pytest.mark.parametrize("before", sorted(TERMINAL))
@pytest.mark.parametrize("exec_type", HINTS)
def test_no_hint_reopens_a_finished_order(before: OrdStatus, exec_type: ExecType) -> None:
    assert (before, exec_type) not in TRANSITIONS


def test_an_acknowledgement_that_comes_late_still_tells_the_address() -> None:
    outcome = applied(apply(traded(OrdStatus.PARTIALLY_FILLED), new()))

    assert outcome.order.status is OrdStatus.PARTIALLY_FILLED
    assert outcome.order.secondary_order_id == "B-wire"


def test_an_acknowledgement_told_twice_is_ignored() -> None:
    known = order(secondary_order_id=SecondaryOrderID("B-wire"))

    assert isinstance(apply(known, new()), Ignored)


def test_a_rejection_keeps_the_brokers_reason() -> None:
    claim = report(ExecType.REJECTED, text="no", ord_rej_reason=OrdRejReason.EXCHANGE_CLOSED)
    after = applied(apply(order(status=OrdStatus.PENDING_NEW), claim)).order

    assert after.rejected_by is RejectedBy.BROKER
    assert after.ord_rej_reason is OrdRejReason.EXCHANGE_CLOSED
    assert after.text == "no"


@pytest.mark.parametrize("status", [OrdStatus.NEW, OrdStatus.SUSPENDED, OrdStatus.PENDING_NEW])
def test_what_has_traded_cannot_be_rejected(status: OrdStatus) -> None:
    outcome = apply(traded(status), report(ExecType.REJECTED))

    assert isinstance(outcome, Quarantined)
    assert outcome.kind is BreakKind.ILLEGAL_TRANSITION


def test_a_resumed_order_that_has_traded_is_partially_filled() -> None:
    after = applied(apply(traded(OrdStatus.SUSPENDED), report(ExecType.NEW))).order

    assert after.status is OrdStatus.PARTIALLY_FILLED


def test_a_replaced_order_has_the_terms_that_were_asked_for() -> None:
    asked = Replacement(order_qty=D(70), price=D(101), stop_px=None, reserve_px=D(101))
    pending = traded(OrdStatus.PARTIALLY_FILLED, replacement=asked)
    after = applied(apply(pending, report(ExecType.REPLACED))).order

    assert (after.order_qty, after.price, after.reserve_px) == (D(70), D(101), D(101))
    assert after.replacement is None
    assert after.ord_status is OrdStatus.PARTIALLY_FILLED


def test_the_brokers_own_terms_overrule_those_asked_for() -> None:
    asked = Replacement(order_qty=D(70), price=D(101), stop_px=None, reserve_px=D(101))
    claim = report(ExecType.REPLACED, order_qty=D(60), price=D(105))
    after = applied(apply(order(replacement=asked), claim)).order

    assert (after.order_qty, after.price) == (D(60), D(105))
    assert after.reserve_px == 105, "the reservation may not fall below what the order may cost"


def test_a_replace_to_what_has_traded_fills_the_order() -> None:
    claim = report(ExecType.REPLACED, order_qty=D(40))
    after = applied(apply(traded(OrdStatus.PARTIALLY_FILLED), claim)).order

    assert after.status is OrdStatus.FILLED
    assert after.leaves_qty == 0


def test_a_replace_to_less_than_has_traded_is_an_overfill() -> None:
    claim = report(ExecType.REPLACED, order_qty=D(39))
    outcome = applied(apply(traded(OrdStatus.PARTIALLY_FILLED), claim))

    assert outcome.order.status is OrdStatus.FILLED
    assert outcome.breaks == (BreakKind.OVERFILL,)


@pytest.mark.parametrize("status", [*KEPT, OrdStatus.PENDING_NEW])
def test_a_trade_applies_in_every_status(status: OrdStatus) -> None:
    outcome = applied(apply(order(status=status), trade("x", 40)))

    assert outcome.order.cum_qty == 40
    assert outcome.order.cum_value == 4000
    assert outcome.fill is not None
    assert (BreakKind.LATE_FILL in outcome.breaks) is (status in TERMINAL)


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (OrdStatus.PENDING_NEW, OrdStatus.PARTIALLY_FILLED),
        (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED),
        (OrdStatus.SUSPENDED, OrdStatus.SUSPENDED),
        (OrdStatus.DONE_FOR_DAY, OrdStatus.DONE_FOR_DAY),
        (OrdStatus.CANCELED, OrdStatus.CANCELED),
        (OrdStatus.EXPIRED, OrdStatus.EXPIRED),
        (OrdStatus.REJECTED, OrdStatus.CANCELED),
    ],
)
def test_a_partial_trade_opens_nothing_that_was_finished(
    status: OrdStatus, after: OrdStatus
) -> None:
    assert applied(apply(order(status=status), trade("x", 40))).order.status is after


@pytest.mark.parametrize("status", [*KEPT, OrdStatus.PENDING_NEW])
def test_a_trade_of_all_fills_the_order(status: OrdStatus) -> None:
    after = applied(apply(order(status=status), trade("x", 100))).order

    assert after.status is OrdStatus.FILLED
    assert after.leaves_qty == 0


def test_an_overfill_is_applied_and_raises_a_break() -> None:
    outcome = applied(apply(traded(OrdStatus.PARTIALLY_FILLED, 90), trade("x", 20)))

    assert outcome.order.cum_qty == 110
    assert outcome.order.leaves_qty == 0
    assert outcome.breaks == (BreakKind.OVERFILL,)


def test_a_fill_told_twice_is_taken_in_once() -> None:
    before = traded(OrdStatus.PARTIALLY_FILLED)

    assert isinstance(apply(before, trade("x", 40), [fill("x", 40)]), Ignored)


@pytest.mark.parametrize(
    "claim", [trade("x", 0), trade("x", -1), replace(trade("x", 1), exec_id=None)]
)
def test_a_trade_that_cannot_be_read_is_a_break(claim: BrokerReport) -> None:
    outcome = apply(order(), claim)

    assert isinstance(outcome, Quarantined)
    assert outcome.kind is BreakKind.UNREADABLE


@pytest.mark.parametrize("claim", [bust("y", "none"), correct("y", "none", 1, 1)])
def test_a_revision_of_an_unknown_fill_is_a_break(claim: BrokerReport) -> None:
    outcome = apply(traded(OrdStatus.PARTIALLY_FILLED), claim, [fill("x", 40)])

    assert isinstance(outcome, Quarantined)
    assert outcome.kind is BreakKind.UNKNOWN_EXEC_REF_ID


@pytest.mark.parametrize(
    ("status", "reopened", "after"),
    [
        (OrdStatus.PARTIALLY_FILLED, False, OrdStatus.NEW),
        (OrdStatus.FILLED, False, OrdStatus.CANCELED),
        (OrdStatus.FILLED, True, OrdStatus.NEW),
        (OrdStatus.CANCELED, False, OrdStatus.CANCELED),
        (OrdStatus.CANCELED, True, OrdStatus.NEW),
        (OrdStatus.EXPIRED, False, OrdStatus.EXPIRED),
        (OrdStatus.EXPIRED, True, OrdStatus.NEW),
        (OrdStatus.SUSPENDED, True, OrdStatus.SUSPENDED),
    ],
)
def test_a_bust_reopens_a_finished_order_only_if_the_broker_says_so(
    status: OrdStatus, *, reopened: bool, after: OrdStatus
) -> None:
    claim = bust("y", "x", reopened=reopened)
    outcome = applied(apply(traded(status), claim, [fill("x", 40)]))

    assert outcome.order.status is after
    assert outcome.order.cum_qty == 0
    assert outcome.fill is not None
    assert (outcome.fill.last_qty, outcome.fill.last_px) == (D(40), D(100)), "the record says what"


def test_a_correction_may_name_the_original_or_any_correction_of_it() -> None:
    first = fill("x", 40)
    second = fill("y", 30, exec_type=ExecType.TRADE_CORRECT, exec_ref_id=ExecID("x"))
    for named in ("x", "y"):
        outcome = applied(
            apply(traded(OrdStatus.PARTIALLY_FILLED, 30), bust("z", named), [first, second])
        )
        assert outcome.order.cum_qty == 0
        assert outcome.fill is not None
        assert outcome.fill.exec_ref_id == "y", "the revision names what it undoes"


def test_what_was_busted_does_not_stand_any_more() -> None:
    gone = fill("y", 40, exec_type=ExecType.TRADE_CANCEL, exec_ref_id=ExecID("x"))

    assert effective_fill([fill("x", 40), gone], ExecID("x")) is None
    assert effective_fill([fill("x", 40), gone], ExecID("y")) is None


def standing(fills: Sequence[Fill]) -> list[Fill]:
    revised = {each.exec_ref_id for each in fills}
    kept = (each for each in fills if each.exec_id not in revised)
    return [each for each in kept if each.exec_type is not ExecType.TRADE_CANCEL]


class Lifecycle(RuleBasedStateMachine):
    """A broker that claims anything at any time, some of it twice."""

    def __init__(self) -> None:
        super().__init__()
        self.order = order(status=OrdStatus.PENDING_NEW)
        self.fills: list[Fill] = []
        self.claims: list[BrokerReport] = []
        self.overfilled = False

    def claim(self, claim: BrokerReport) -> None:
        before, self.claims = self.order, [*self.claims, claim]
        outcome = apply(before, claim, self.fills)
        if not isinstance(outcome, Applied):
            return
        self.order = outcome.order
        self.fills += [outcome.fill] if outcome.fill else []
        self.overfilled |= BreakKind.OVERFILL in outcome.breaks
        if not claim.exec_type.is_fill and outcome.order.status is not before.status:
            filled = outcome.order.status is OrdStatus.FILLED
            after = TRANSITIONS[before.status, claim.exec_type]
            partly = after is OrdStatus.NEW and before.cum_qty > ZERO
            expected = OrdStatus.PARTIALLY_FILLED if partly else after
            assert outcome.order.status is expected or filled
        if before.status in TERMINAL and outcome.order.is_open:
            assert claim.reopened, "only the broker reopens"

    @rule(exec_type=st.sampled_from(HINTS), order_qty=st.integers(1, 200) | st.none())
    def hint(self, exec_type: ExecType, order_qty: int | None) -> None:
        replaced = exec_type is ExecType.REPLACED
        qty = D(order_qty) if replaced and order_qty else None
        self.claim(report(exec_type, order_qty=qty))

    @rule(qty=st.integers(0, 60), px=st.integers(-5, 200))
    def trades(self, qty: int, px: int) -> None:
        self.claim(trade(f"t{len(self.claims)}", qty, px))

    @precondition(lambda self: self.fills)
    @rule(data=st.data(), reopened=st.booleans())
    def busts(self, data: st.DataObject, *, reopened: bool) -> None:
        named = data.draw(st.sampled_from([each.exec_id for each in self.fills] + ["none"]))
        self.claim(bust(f"b{len(self.claims)}", named, reopened=reopened))

    @precondition(lambda self: self.fills)
    @rule(data=st.data(), qty=st.integers(0, 60), px=st.integers(-5, 200), reopened=st.booleans())
    def corrects(self, data: st.DataObject, qty: int, px: int, *, reopened: bool) -> None:
        named = data.draw(st.sampled_from([each.exec_id for each in self.fills]))
        self.claim(correct(f"c{len(self.claims)}", named, qty, px, reopened=reopened))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def repeats(self, data: st.DataObject) -> None:
        fills = len(self.fills)
        claim = data.draw(st.sampled_from(self.claims))
        known = any(each.exec_id == claim.exec_id for each in self.fills)
        self.claim(claim)
        if known:
            assert len(self.fills) == fills

    @invariant()
    def what_traded_is_what_stands(self) -> None:
        kept = standing(self.fills)
        assert self.order.cum_qty == sum((each.last_qty for each in kept), ZERO)
        assert self.order.cum_value == sum((each.last_qty * each.last_px for each in kept), ZERO)

    @invariant()
    def what_is_left_is_exact(self) -> None:
        order = self.order
        left: Decimal = order.order_qty - order.cum_qty if order.is_open else ZERO
        assert order.leaves_qty == left >= 0
        assert self.overfilled or order.cum_qty <= order.order_qty


TestLifecycle = Lifecycle.TestCase
