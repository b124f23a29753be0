"""Amendments: which order a cancel or replace is about, and whether it may still be amended."""

from __future__ import annotations

from dataclasses import dataclass

from trading.books import Books
from trading.command import CancelOrder, CommandKind, OrderTarget, ReplaceOrder
from trading.decision import Check
from trading.ids import ClOrdID
from trading.order import Order, Replacement
from trading.quantity import ZERO, Px, Qty
from trading.reject import CxlRejReason, OrdRejReason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cancel or replace is refused before it reaches a broker."""

    reason: CxlRejReason
    text: str


def target(
    books: Books, command: ReplaceOrder | CancelOrder, target: OrderTarget
) -> Order | Refusal:
    """Find the order that a command is about: by its OrderID, or by the chain's newest ClOrdID."""
    if target.order_id is not None:
        order = books.orders.get(target.order_id)
        if order is None or order.account_id != command.account_id:
            return _unknown(f"no order has the orderId {target.order_id}")
        return order
    orig = target.orig_cl_ord_id
    claim = books.claims.get((command.account_id, orig)) if orig else None
    order = books.orders.get(claim.order_id) if claim and claim.order_id else None
    if order is None or claim is None:
        return _unknown(f"no order has the clOrdId {orig}")
    if orig != order.cl_ord_id and orig not in _pending_ids(books, order):
        return _unknown(f"the order of clOrdId {orig} is now known as {order.cl_ord_id}")
    return order


def _pending_ids(books: Books, order: Order) -> set[ClOrdID | None]:
    return {c.cl_ord_id for c in books.commands_of(order.id) if c.kind is CommandKind.REPLACE}


def _unknown(text: str) -> Refusal:
    return Refusal(CxlRejReason.UNKNOWN_ORDER, text)


def cancelable(order: Order) -> Refusal | None:
    """Say why an order can no longer be canceled, or None if it can."""
    if not order.is_open:
        return Refusal(CxlRejReason.TOO_LATE_TO_CANCEL, f"the order is {order.status}")
    if order.pending_cancel:
        text = "a cancel of the order is already pending"
        return Refusal(CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS, text)
    return None


def replaceable(order: Order) -> Refusal | None:
    """Say why an order cannot be replaced now, or None if it can."""
    if order.is_open and order.replacement is not None:
        text = "a replace of the order is already pending: wait for its outcome"
        return Refusal(CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS, text)
    if order.is_open and order.in_doubt:
        text = "whether the broker has the order is in doubt: wait until that is settled"
        return Refusal(CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS, text)
    return cancelable(order)


def terms(order: Order, command: ReplaceOrder) -> Replacement | Refusal:
    """Return the terms that a replace asks for, what it leaves out as it stands."""
    for field, value, has in (
        ("price", command.price, order.ord_type.has_price),
        ("stopPx", command.stop_px, order.ord_type.has_stop_px),
    ):
        if value is not None and not has:
            return Refusal(
                CxlRejReason.OTHER, f"a {order.ord_type} order has no {field}: leave it out"
            )
    qty: Qty = command.order_qty if command.order_qty is not None else order.order_qty
    if order.is_open and qty <= order.cum_qty:
        text = f"orderQty {qty} is not above cumQty {order.cum_qty}: cancel the order instead"
        return Refusal(CxlRejReason.OTHER, text)
    price: Px | None = command.price if command.price is not None else order.price
    stop_px: Px | None = command.stop_px if command.stop_px is not None else order.stop_px
    return Replacement(order_qty=qty, price=price, stop_px=stop_px, reserve_px=ZERO)


def by_risk(check: Check | None) -> Refusal:
    """Put a refusal by risk in the words of an OrderCancelReject."""
    match check.reason if check else None:
        case OrdRejReason.INVALID_PRICE_INCREMENT:
            reason = CxlRejReason.INVALID_PRICE_INCREMENT
        case OrdRejReason.PRICE_EXCEEDS_CURRENT_PRICE_BAND:
            reason = CxlRejReason.PRICE_EXCEEDS_CURRENT_PRICE_BAND
        case _:
            reason = CxlRejReason.OTHER
    return Refusal(reason, (check.text if check else None) or "refused by risk")
