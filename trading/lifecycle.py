"""The order lifecycle: one table of legal transitions, and `apply`, which is pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from trading.execution import BreakKind, BrokerReport, ExecType, Fill
from trading.ids import ExecID
from trading.order import TERMINAL, Order, OrdStatus
from trading.quantity import ZERO, Money, Qty
from trading.record import replace
from trading.reject import OrdRejReason, RejectedBy

_S, _E = OrdStatus, ExecType

_LIVE_HINTS = {
    _E.SUSPENDED: _S.SUSPENDED,
    _E.DONE_FOR_DAY: _S.DONE_FOR_DAY,
    _E.CANCELED: _S.CANCELED,
    _E.EXPIRED: _S.EXPIRED,
}

# What a status claimed by the broker does to an order. A pair that is absent is not legal: the
# claim is stale where a later one has overtaken it (`_STALE`), and a break everywhere else. Fills
# are not in the table, because they are facts: they apply in every status (see `_status_after`).
TRANSITIONS: Mapping[tuple[OrdStatus, ExecType], OrdStatus] = MappingProxyType(
    {
        (before, exec_type): after
        for before, row in {
            _S.PENDING_NEW: {
                _E.NEW: _S.NEW,
                _E.TRIGGERED_OR_ACTIVATED_BY_SYSTEM: _S.NEW,
                _E.REPLACED: _S.NEW,
                _E.REJECTED: _S.REJECTED,
                **_LIVE_HINTS,
            },
            _S.NEW: {
                _E.TRIGGERED_OR_ACTIVATED_BY_SYSTEM: _S.NEW,
                _E.REPLACED: _S.NEW,
                _E.REJECTED: _S.REJECTED,
                **_LIVE_HINTS,
            },
            _S.PARTIALLY_FILLED: {
                _E.TRIGGERED_OR_ACTIVATED_BY_SYSTEM: _S.PARTIALLY_FILLED,
                _E.REPLACED: _S.PARTIALLY_FILLED,
                **_LIVE_HINTS,
            },
            _S.SUSPENDED: {
                _E.NEW: _S.NEW,
                _E.REPLACED: _S.SUSPENDED,
                _E.REJECTED: _S.REJECTED,
                **_LIVE_HINTS,
            },
            _S.DONE_FOR_DAY: {
                _E.NEW: _S.NEW,
                _E.REPLACED: _S.DONE_FOR_DAY,
                **_LIVE_HINTS,
            },
        }.items()
        for exec_type, after in row.items()
    }
)

# Claims that an order may hear late, because a broker's streams and answers overtake one another.
_STALE = frozenset(
    {
        (status, _E.NEW)
        for status in (_S.NEW, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED)
    }
    | {
        (_S.FILLED, _E.TRIGGERED_OR_ACTIVATED_BY_SYSTEM),
        (_S.CANCELED, _E.TRIGGERED_OR_ACTIVATED_BY_SYSTEM),
        (_S.CANCELED, _E.CANCELED),
        (_S.CANCELED, _E.EXPIRED),
        (_S.EXPIRED, _E.CANCELED),
        (_S.EXPIRED, _E.EXPIRED),
        (_S.EXPIRED, _E.DONE_FOR_DAY),
        (_S.FILLED, _E.CANCELED),
        (_S.FILLED, _E.EXPIRED),
        (_S.FILLED, _E.DONE_FOR_DAY),
        (_S.REJECTED, _E.REJECTED),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The claim was taken in: the order after it, the fill it brought, and what does not fit."""

    order: Order
    fill: Fill | None = None
    breaks: tuple[BreakKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The claim says nothing new: it was delivered before, or a later one has overtaken it."""

    why: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The claim cannot be true of this order as we know it: kept as a break, never guessed at."""

    kind: BreakKind
    why: str


type Outcome = Applied | Ignored | Quarantined


def apply(order: Order, report: BrokerReport, fills: Sequence[Fill] = ()) -> Outcome:
    """Take in a broker's claim about an order, with the order's fills so far.

    Pure. `fills` are needed for TRADE_CANCEL and TRADE_CORRECT, and to know a fill told twice.
    """
    if report.exec_type.is_fill:
        return _apply_fill(order, report, fills)
    after = TRANSITIONS.get((order.status, report.exec_type))
    if after is None:
        if (order.status, report.exec_type) in _STALE:
            return _learn_address(order, report)
        return Quarantined(
            BreakKind.ILLEGAL_TRANSITION, f"{report.exec_type} of an order that is {order.status}"
        )
    if after is OrdStatus.REJECTED and order.cum_qty > ZERO:
        return Quarantined(BreakKind.ILLEGAL_TRANSITION, "REJECTED of an order that has traded")
    changed = _with_status(order, report, after)
    exceeded = report.exec_type is ExecType.REPLACED and changed.cum_qty > changed.order_qty
    return Applied(order=changed, breaks=(BreakKind.OVERFILL,) if exceeded else ())


def effective_fill(fills: Sequence[Fill], exec_id: ExecID | None) -> Fill | None:
    """Return the fill that stands for an ExecID after its corrections, or None once it is canceled.

    A revision may name the original or any correction of it, so the family is walked to its end.
    """
    current = next((f for f in fills if f.exec_id == exec_id), None)
    while current is not None:
        revision = next((f for f in fills if f.exec_ref_id == current.exec_id), None)
        if revision is None:
            return None if current.exec_type is ExecType.TRADE_CANCEL else current
        current = revision
    return None


def _learn_address(order: Order, report: BrokerReport) -> Outcome:
    # A late acknowledgement still tells the broker's id, without which nothing can be canceled.
    if order.secondary_order_id is None and report.secondary_order_id is not None:
        return Applied(order=replace(order, secondary_order_id=report.secondary_order_id))
    return Ignored(f"{report.exec_type} of an order that is already {order.status}")


def _with_status(order: Order, report: BrokerReport, after: OrdStatus) -> Order:
    # The FIX state matrices end a pending replace with the order: nothing is left to be replaced.
    changed = replace(
        order,
        status=_working(order.cum_qty, after),
        secondary_order_id=report.secondary_order_id or order.secondary_order_id,
        text=report.text or order.text,
    )
    match report.exec_type:
        case ExecType.REPLACED:
            return _with_terms(changed, report)
        case ExecType.CANCELED:
            return replace(changed, pending_cancel=False)
        case ExecType.REJECTED:
            return replace(
                changed,
                rejected_by=RejectedBy.BROKER,
                ord_rej_reason=report.ord_rej_reason or OrdRejReason.BROKER_OPTION,
            )
        case _:
            return changed


def _with_terms(order: Order, report: BrokerReport) -> Order:
    terms = order.replacement
    order_qty = report.order_qty or (terms.order_qty if terms else order.order_qty)
    finished = order.is_open and ZERO < order_qty <= order.cum_qty
    return replace(
        order,
        order_qty=order_qty,
        price=report.price if report.price is not None else (terms or order).price,
        stop_px=report.stop_px if report.stop_px is not None else (terms or order).stop_px,
        # What the broker made of the price may cost more than what risk had reserved.
        reserve_px=max((terms or order).reserve_px, abs(report.price or ZERO)),
        replacement=None,
        status=OrdStatus.FILLED if finished else order.status,
    )


def _working(cum_qty: Qty, status: OrdStatus) -> OrdStatus:
    if status is OrdStatus.NEW and cum_qty > ZERO:
        return OrdStatus.PARTIALLY_FILLED
    return status


def _apply_fill(order: Order, report: BrokerReport, fills: Sequence[Fill]) -> Outcome:
    is_trade = report.exec_type is ExecType.TRADE
    if report.exec_id is None or report.last_qty < ZERO or (is_trade and report.last_qty == ZERO):
        return Quarantined(BreakKind.UNREADABLE, "a fill without ExecID, or without a quantity")
    if any(fill.exec_id == report.exec_id for fill in fills):
        return Ignored(f"the fill {report.exec_id} is known")
    if is_trade:
        return _applied(order, report, report.last_qty, report.last_qty * report.last_px)
    undone = effective_fill(fills, report.exec_ref_id)
    if undone is None:
        return Quarantined(
            BreakKind.UNKNOWN_EXEC_REF_ID,
            f"{report.exec_type} of the fill {report.exec_ref_id}, which does not stand",
        )
    qty, value = -undone.last_qty, -undone.last_qty * undone.last_px
    revised = replace(report, exec_ref_id=undone.exec_id)
    if report.exec_type is ExecType.TRADE_CANCEL:
        # The report may leave out what it cancels; the record always says it.
        revised = replace(revised, last_qty=undone.last_qty, last_px=undone.last_px)
        return _applied(order, revised, qty, value)
    corrected = report.last_qty * report.last_px
    return _applied(order, revised, qty + report.last_qty, value + corrected)


def _applied(order: Order, report: BrokerReport, qty: Qty, value: Money) -> Applied:
    cum_qty = order.cum_qty + qty
    after = replace(
        order,
        cum_qty=cum_qty,
        cum_value=order.cum_value + value,
        status=_status_after(order, report, cum_qty),
        secondary_order_id=report.secondary_order_id or order.secondary_order_id,
    )
    breaks = []
    if report.exec_type is ExecType.TRADE and order.status in TERMINAL:
        breaks.append(BreakKind.LATE_FILL)
    if cum_qty > order.order_qty and qty > ZERO:
        breaks.append(BreakKind.OVERFILL)
    return Applied(order=after, fill=fill_of(order, report), breaks=tuple(breaks))


def _status_after(order: Order, report: BrokerReport, cum_qty: Qty) -> OrdStatus:
    """Say which status a fill leaves: quantity decides, except that only the broker reopens."""
    if cum_qty >= order.order_qty:
        return OrdStatus.FILLED
    match order.status:
        case OrdStatus.SUSPENDED | OrdStatus.DONE_FOR_DAY | OrdStatus.CANCELED | OrdStatus.EXPIRED:
            reopened = order.status in TERMINAL and report.reopened
            return _traded(cum_qty) if reopened else order.status
        case OrdStatus.FILLED:
            return _traded(cum_qty) if report.reopened else OrdStatus.CANCELED
        case OrdStatus.REJECTED:
            # What traded was not rejected; but nothing says that the rest is still working.
            return OrdStatus.CANCELED
        case _:
            return _traded(cum_qty)


def _traded(cum_qty: Qty) -> OrdStatus:
    return OrdStatus.PARTIALLY_FILLED if cum_qty > ZERO else OrdStatus.NEW


def fill_of(order: Order, report: BrokerReport) -> Fill:
    """Make the fill that a report of an order brings. Raises ValueError for one without ExecID."""
    if report.exec_id is None:
        raise ValueError("a fill has an ExecID")
    return Fill(
        account_id=order.account_id,
        exec_id=report.exec_id,
        exec_type=report.exec_type,
        exec_ref_id=report.exec_ref_id,
        origin=report.origin,
        order_id=order.id,
        symbol=order.symbol,
        side=order.side,
        last_qty=report.last_qty,
        last_px=report.last_px,
        transact_time=report.transact_time,
    )
