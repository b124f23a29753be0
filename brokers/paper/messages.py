"""What the exchange is asked, what it says, and the entry of its journal that holds both."""

from __future__ import annotations

from dataclasses import dataclass

from trading.execution import ExecType
from trading.ids import AccountID, ExecID, InstrumentID, SecondaryOrderID, WireID
from trading.order import OrdType, Side, TimeInForce
from trading.quantity import ZERO, Px, Qty
from trading.record import record
from trading.reject import CxlRejReason, OrdRejReason


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """NewOrderSingle(35=D). `expire_time` is in UTC nanoseconds."""

    wire_id: WireID
    account_id: AccountID
    symbol: InstrumentID
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Qty
    price: Px | None = None
    stop_px: Px | None = None
    expire_time: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """OrderCancelReplaceRequest(35=G), with all terms; `order_qty` is the total."""

    wire_id: WireID
    orig_wire_id: WireID
    order_qty: Qty
    price: Px | None = None
    stop_px: Px | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """OrderCancelRequest(35=F)."""

    wire_id: WireID
    orig_wire_id: WireID


type Request = NewOrder | Replace | Cancel


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """ExecutionReport(35=8), numbered in the exchange's one stream; `wire_id` is the order's first.

    `request_wire_id` names the replace or cancel that it answers. `contra_exec_id` is the other
    side of a trade between two orders. `expire_time` of a NEW is when the exchange will end the
    order. Instants are UTC nanoseconds of the market.
    """

    number: int
    wire_id: WireID
    exec_type: ExecType
    transact_time: int
    order_id: SecondaryOrderID
    request_wire_id: WireID | None = None
    exec_id: ExecID | None = None
    exec_ref_id: ExecID | None = None
    contra_exec_id: ExecID | None = None
    last_qty: Qty = ZERO
    last_px: Px = ZERO
    order_qty: Qty | None = None
    price: Px | None = None
    stop_px: Px | None = None
    expire_time: int | None = None
    ord_rej_reason: OrdRejReason | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReject:
    """OrderCancelReject(35=9), numbered in the same stream."""

    number: int
    wire_id: WireID
    request_wire_id: WireID
    cxl_rej_reason: CxlRejReason
    transact_time: int
    text: str


type Event = Report | CancelReject


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One turn of the exchange, kept whole or not at all: a request, if one came, and its events.

    There is always an event, and their numbers go on from those of the entry before.
    """

    request: Request | None
    events: tuple[Event, ...]
