"""The exchange's state: a fold over its entries, the same when it trades and when it restores."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.paper.messages import CancelReject, Entry, Event, NewOrder, Report, Request
from trading.execution import ExecType
from trading.ids import AccountID, ExecID, InstrumentID, SecondaryOrderID, WireID
from trading.order import TERMINAL, OrdStatus, Side
from trading.quantity import ZERO, Money, Px, Qty


@dataclass(slots=True)
class PaperOrder:
    """An order at the exchange.

    `entered` is the number of its NEW, and `rank` that of the event that gave it its place in time.
    `expire_time` is when the exchange ends it, in UTC nanoseconds of the market. `last_request` is
    the newest replace or cancel that took effect.
    """

    request: NewOrder
    order_qty: Qty
    price: Px | None
    stop_px: Px | None
    status: OrdStatus = OrdStatus.PENDING_NEW
    order_id: SecondaryOrderID | None = None
    entered: int = 0
    rank: int = 0
    cum_qty: Qty = ZERO
    cum_value: Money = ZERO
    triggered: bool = False
    expire_time: int | None = None
    last_request: WireID | None = None

    @property
    def wire_id(self) -> WireID:
        """The wire id of its NEW, by which all its reports name it."""
        return self.request.wire_id

    @property
    def symbol(self) -> InstrumentID:
        """Its instrument."""
        return self.request.symbol

    @property
    def side(self) -> Side:
        """Its side."""
        return self.request.side

    @property
    def is_open(self) -> bool:
        """Whether it can still trade."""
        return self.status not in TERMINAL

    @property
    def leaves_qty(self) -> Qty:
        """What may still trade."""
        return self.order_qty - self.cum_qty if self.is_open else ZERO

    @property
    def awaits_stop(self) -> bool:
        """Whether it is a stop that has not been triggered."""
        return self.request.ord_type.has_stop_px and not self.triggered

    def keeps_place(self, order_qty: Qty, price: Px | None, stop_px: Px | None) -> bool:
        """Tell whether new terms leave it its place: no other price, and no larger quantity."""
        same_prices = price == self.price and stop_px == self.stop_px
        return same_prices and order_qty <= self.order_qty


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A trade of one order as it stands after its corrections."""

    exec_id: ExecID
    wire_id: WireID
    last_qty: Qty
    last_px: Px
    contra_exec_id: ExecID | None


class Ledger:
    """All orders, requests, standing trades and positions, and the number of the last event."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.number = 0
        self.orders: dict[WireID, PaperOrder] = {}
        self.requests: dict[WireID, Request] = {}
        self.refusals: dict[WireID, CancelReject] = {}
        self._about: dict[WireID, PaperOrder] = {}
        self.executions: dict[ExecID, Execution] = {}
        self.positions: dict[tuple[AccountID, InstrumentID], Qty] = {}

    def order_of(self, wire_id: WireID) -> PaperOrder | None:
        """Find an order by the wire id of any request that was about it."""
        return self._about.get(wire_id)

    def restore(self, entry: Entry) -> None:
        """Take in an entry of the journal. Raises ValueError for one that does not fit."""
        if not entry.events:
            raise ValueError("an entry without an event")
        if entry.request is not None:
            self.begin(entry.request)
        for event in entry.events:
            self.apply(event)

    def begin(self, request: Request) -> None:
        """Take in a request, which its events then answer. Raises ValueError for a repeated one."""
        if request.wire_id in self.requests:
            raise ValueError(f"the wire id {request.wire_id} was used before")
        self.requests[request.wire_id] = request
        if isinstance(request, NewOrder):
            order = PaperOrder(request, request.order_qty, request.price, request.stop_px)
            self.orders[request.wire_id] = self._about[request.wire_id] = order
        elif (known := self._about.get(request.orig_wire_id)) is not None:
            self._about[request.wire_id] = known

    def apply(self, event: Event) -> None:
        """Take in the next event. Raises ValueError for one that does not fit."""
        if event.number != self.number + 1:
            raise ValueError(f"event {event.number} follows {self.number}")
        self.number = event.number
        if isinstance(event, CancelReject):
            self.refusals[event.request_wire_id] = event
            return
        order = self.orders.get(event.wire_id)
        if order is None:
            raise ValueError(f"event {event.number} is of an order that was never placed")
        order.order_id = event.order_id
        if event.exec_type.is_fill:
            self._apply_fill(order, event)
        else:
            _apply_status(order, event)

    def _apply_fill(self, order: PaperOrder, report: Report) -> None:
        if report.exec_id is None:
            raise ValueError(f"event {report.number} is a fill without an exec_id")
        if report.exec_type is not ExecType.TRADE:
            undone = self.executions.pop(report.exec_ref_id or ExecID(""), None)
            if undone is None:
                raise ValueError(
                    f"event {report.number} revises {report.exec_ref_id}: no such fill"
                )
            self._move(order, -undone.last_qty, undone.last_px)
        if report.exec_type is not ExecType.TRADE_CANCEL:
            self.executions[report.exec_id] = Execution(
                exec_id=report.exec_id,
                wire_id=order.wire_id,
                last_qty=report.last_qty,
                last_px=report.last_px,
                contra_exec_id=report.contra_exec_id,
            )
            self._move(order, report.last_qty, report.last_px)
        order.status = _traded(order)

    def _move(self, order: PaperOrder, qty: Qty, px: Px) -> None:
        order.cum_qty += qty
        order.cum_value += qty * px
        key = order.request.account_id, order.symbol
        self.positions[key] = self.positions.get(key, ZERO) + order.side.sign * qty


def _traded(order: PaperOrder) -> OrdStatus:
    if order.cum_qty >= order.order_qty:
        return OrdStatus.FILLED
    if order.status is OrdStatus.FILLED:
        # A bust never reopens a finished order: what it takes back is canceled.
        return OrdStatus.CANCELED
    if not order.is_open:
        return order.status
    return OrdStatus.PARTIALLY_FILLED if order.cum_qty else OrdStatus.NEW


def _apply_status(order: PaperOrder, report: Report) -> None:
    order.last_request = report.request_wire_id or order.last_request
    match report.exec_type:
        case ExecType.NEW:
            order.status = OrdStatus.NEW
            order.entered = order.rank = report.number
            order.expire_time = report.expire_time
        case ExecType.REPLACED:
            _apply_terms(order, report)
        case ExecType.TRIGGERED_OR_ACTIVATED_BY_SYSTEM:
            order.triggered = True
            order.rank = report.number
        case ExecType.CANCELED | ExecType.EXPIRED | ExecType.REJECTED:
            order.status = OrdStatus(report.exec_type)
        case _:
            raise ValueError(f"the exchange never reports {report.exec_type}")


def _apply_terms(order: PaperOrder, report: Report) -> None:
    order_qty = report.order_qty or order.order_qty
    if not order.keeps_place(order_qty, report.price, report.stop_px):
        order.rank = report.number
    order.order_qty, order.price, order.stop_px = order_qty, report.price, report.stop_px
