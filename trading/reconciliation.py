"""Reconciliation: the differences between our order and the broker's, as claims to be applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trading.execution import BrokerReport, ExecType, Fill, Origin
from trading.ids import ExecID
from trading.order import TERMINAL, Order, OrdStatus
from trading.ports import BrokerOrder
from trading.quantity import ZERO, Qty, average

_ENDINGS = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
    OrdStatus.DONE_FOR_DAY: ExecType.DONE_FOR_DAY,
    OrdStatus.SUSPENDED: ExecType.SUSPENDED,
}


def differences(
    order: Order, theirs: BrokerOrder, at: int, *, replaced: bool = False
) -> list[BrokerReport]:
    """Return what would have to be reported for our order to become the broker's. Pure.

    First that it was taken, then its terms, then what traded, then how it ended. Keys are made of
    what they claim, so that the same difference found twice is applied once. `replaced` says that
    the broker has taken a replace, whose terms may be those that the order has already.
    """
    claims = []
    if order.status is OrdStatus.PENDING_NEW and theirs.status is not OrdStatus.REJECTED:
        claims.append(_claim(order, theirs, ExecType.NEW, at))
    if replaced or _terms_differ(order, theirs):
        claims.append(_claim(order, theirs, ExecType.REPLACED, at))
    if theirs.cum_qty > order.cum_qty:
        claims.append(_missing_fill(order, theirs, at))
    ending = _ENDINGS.get(theirs.status)
    if ending is not None and order.status is not theirs.status and order.status not in TERMINAL:
        claims.append(_claim(order, theirs, ending, at))
    return claims


def misses_a_fill(order: Order, news: object) -> bool:
    """Tell whether a report claims that an order has traded more than is recorded of it."""
    claimed = news.cum_qty if isinstance(news, BrokerReport) else None
    return claimed is not None and claimed > order.cum_qty


def retirements(order: Order, fills: Sequence[Fill], report: BrokerReport) -> list[BrokerReport]:
    """Return the claims that make room for a broker's own fill: deduced ones that it accounts for.

    They are canceled, oldest first, up to its quantity; what the last of them was more than that
    is deduced anew, since the broker has yet to tell of it. An order that they had filled is open
    in between; one that was canceled stays so.
    """
    if report.exec_type is not ExecType.TRADE or report.origin is not Origin.BROKER:
        return []
    if any(fill.exec_id == report.exec_id for fill in fills):
        return []
    reopened = order.status is OrdStatus.FILLED
    undone = {fill.exec_ref_id for fill in fills}
    claims, covered = [], ZERO
    for fill in fills:
        standing = fill.exec_type is ExecType.TRADE and fill.exec_id not in undone
        if fill.origin is not Origin.RECONCILIATION or not standing or covered >= report.last_qty:
            continue
        covered += fill.last_qty
        cancel = _retirement(report, fill, ExecType.TRADE_CANCEL, fill.last_qty)
        claims.append(replace(cancel, reopened=reopened))
        if covered > report.last_qty:
            rest = covered - report.last_qty
            claims.append(_retirement(report, fill, ExecType.TRADE, rest))
    return claims


def _retirement(report: BrokerReport, fill: Fill, exec_type: ExecType, qty: Qty) -> BrokerReport:
    canceled = exec_type is ExecType.TRADE_CANCEL
    return BrokerReport(
        key=f"{report.key}:{exec_type}:{fill.exec_id}",
        cursor=None,
        wire_id=report.wire_id,
        received_at=report.received_at,
        exec_type=exec_type,
        transact_time=report.transact_time,
        exec_id=ExecID(f"{fill.exec_id}-{'out' if canceled else 'rest'}"),
        exec_ref_id=fill.exec_id if canceled else None,
        last_qty=qty,
        last_px=fill.last_px,
        origin=Origin.RECONCILIATION,
        text="retired by the broker's own fill" if canceled else "found by reconciliation",
    )


def _terms_differ(order: Order, theirs: BrokerOrder) -> bool:
    ours = (order.order_qty, order.price, order.stop_px)
    return ours != (theirs.order_qty, theirs.price, theirs.stop_px)


def _claim(order: Order, theirs: BrokerOrder, exec_type: ExecType, at: int) -> BrokerReport:
    return BrokerReport(
        key=f"reconciliation:{order.wire_id}:{exec_type}:{order.last_seq}",
        cursor=None,
        wire_id=order.wire_id,
        received_at=at,
        exec_type=exec_type,
        transact_time=at,
        secondary_order_id=theirs.secondary_order_id,
        order_qty=theirs.order_qty,
        price=theirs.price,
        stop_px=theirs.stop_px,
        text="found by reconciliation",
    )


def _missing_fill(order: Order, theirs: BrokerOrder, at: int) -> BrokerReport:
    """Deduce the fill that closes the gap in quantity, at the price that closes it in value."""
    qty = theirs.cum_qty - order.cum_qty
    value = theirs.cum_qty * (theirs.avg_px or ZERO) - order.cum_value
    return BrokerReport(
        key=f"reconciliation:{order.wire_id}:TRADE:{theirs.cum_qty}",
        cursor=None,
        wire_id=order.wire_id,
        received_at=at,
        exec_type=ExecType.TRADE,
        transact_time=at,
        secondary_order_id=theirs.secondary_order_id,
        exec_id=ExecID(f"R{order.wire_id}-{theirs.cum_qty}"),
        last_qty=qty,
        last_px=average(value, qty) or ZERO,
        origin=Origin.RECONCILIATION,
        text="found by reconciliation",
    )
