"""Between the words of the core and those of the exchange: requests one way, claims the other."""

from __future__ import annotations

from functools import cache

from brokers.paper.ledger import PaperOrder
from brokers.paper.messages import Cancel, CancelReject, Event, NewOrder, Replace, Report
from trading.execution import BrokerCancelReject, BrokerEvent, BrokerReport, BrokerUnknown
from trading.ids import WireID
from trading.order import ApprovedOrder, ApprovedReplace, Order, OrdType, TimeInForce
from trading.ports import BrokerOrder, Capabilities, Environment, ReplaceModel, Unavailable
from trading.quantity import average


@cache
def capabilities(environment: Environment) -> Capabilities:
    """Say what the paper exchange can do."""
    return Capabilities(
        broker="paper",
        environment=environment,
        ord_types=frozenset(OrdType),
        times_in_force=frozenset(TimeInForce),
        replace=ReplaceModel.SAME_ID,
        dedupes_wire_id=True,
        proves_absence=True,
        trade_cancels=True,
    )


# --- requests ---


def new_order(approved: ApprovedOrder) -> NewOrder:
    """Ask for a new order."""
    order = approved.order
    return NewOrder(
        wire_id=order.wire_id,
        account_id=order.account_id,
        symbol=order.symbol,
        side=order.side,
        ord_type=order.ord_type,
        time_in_force=order.time_in_force,
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        expire_time=order.expire_time,
    )


def replacement(approved: ApprovedReplace) -> Replace:
    """Ask for other terms."""
    terms = approved.terms
    return Replace(
        wire_id=approved.wire_id,
        orig_wire_id=approved.order.wire_id,
        order_qty=terms.order_qty,
        price=terms.price,
        stop_px=terms.stop_px,
    )


def cancellation(order: Order, wire_id: WireID) -> Cancel:
    """Ask for the end of an order."""
    return Cancel(wire_id=wire_id, orig_wire_id=order.wire_id)


# --- claims ---


def cursor_of(exchange: str, number: int) -> str:
    """Write a cursor: the journal that it belongs to, and the event up to which all was heard."""
    return f"{exchange}:{number}"


def read_cursor(cursor: str | None) -> tuple[str | None, int]:
    """Read a cursor; None is before the first event of any exchange. Raises Unavailable."""
    if cursor is None:
        return None, 0
    exchange, _, number = cursor.rpartition(":")
    if not (exchange and number.isascii() and number.isdecimal() and str(int(number)) == number):
        raise Unavailable(f"{cursor} is not a cursor of the paper exchange, such as 17de1c:42")
    return exchange, int(number)


def claim_of(event: Event, *, cursor: str, raw: bytes, received_at: int) -> BrokerEvent:
    """Put an event of the exchange in the words of the core."""
    match event:
        case CancelReject():
            return BrokerCancelReject(
                key=_key(event.number),
                cursor=cursor,
                wire_id=event.wire_id,
                received_at=received_at,
                raw=raw,
                request_wire_id=event.request_wire_id,
                cxl_rej_reason=event.cxl_rej_reason,
                transact_time=event.transact_time,
                text=event.text,
            )
        case Report():
            return BrokerReport(
                key=_key(event.number),
                cursor=cursor,
                wire_id=event.wire_id,
                received_at=received_at,
                raw=raw,
                exec_type=event.exec_type,
                transact_time=event.transact_time,
                secondary_order_id=event.order_id,
                exec_id=event.exec_id,
                exec_ref_id=event.exec_ref_id,
                last_qty=event.last_qty,
                last_px=event.last_px,
                order_qty=event.order_qty,
                price=event.price,
                stop_px=event.stop_px,
                ord_rej_reason=event.ord_rej_reason,
                text=event.text,
            )


def unreadable(
    number: int, wire_id: WireID, *, cursor: str, raw: bytes, received_at: int
) -> BrokerUnknown:
    """Pass on that something was said of an order which cannot be read."""
    return BrokerUnknown(
        key=_key(number),
        cursor=cursor,
        wire_id=wire_id,
        received_at=received_at,
        raw=raw,
        text="the status is not one that is known",
    )


def broker_order(order: PaperOrder) -> BrokerOrder:
    """Show an order of the exchange."""
    if order.order_id is None:
        raise ValueError("an order gets its id with its first event, in the same turn")
    return BrokerOrder(
        wire_id=order.wire_id,
        secondary_order_id=order.order_id,
        status=order.status,
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        cum_qty=order.cum_qty,
        avg_px=average(order.cum_value, order.cum_qty),
        symbol=order.symbol,
        side=order.side,
        last_request_wire_id=order.last_request,
    )


def _key(number: int) -> str:
    return f"paper:{number}"
