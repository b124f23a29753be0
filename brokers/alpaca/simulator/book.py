"""The simulator's books: the paper exchange's events as Alpaca's orders, fills and updates.

They are folded from the exchange's journal, so that a simulator that starts again is the same one.
All of a run is kept in memory, for a simulator's day is short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from brokers.alpaca.messages import ORD_TYPES, SIDES, TIMES_IN_FORCE
from brokers.alpaca.simulator.ulid import event_id
from brokers.instants import format_instant
from brokers.paper.ledger import PaperOrder
from brokers.paper.messages import Event, NewOrder, Report
from trading.execution import ExecType
from trading.ids import ExecID, InstrumentID, WireID
from trading.instrument import Catalogue, SecurityType
from trading.order import TimeInForce
from trading.quantity import ZERO, Money, Px, Qty, average, plain

_SPACE = UUID("5f1c8a3e-0f0b-5d3c-9a54-1b7f2c6d8e90")
_OPEN = frozenset({"new", "partially_filled", "accepted", "pending_new"})
_ENDED_AT = {"canceled": "canceled_at", "expired": "expired_at", "rejected": "failed_at"}
_STATUS = {
    ExecType.CANCELED: "canceled",
    ExecType.EXPIRED: "expired",
    ExecType.REJECTED: "rejected",
}
_TIMES = {**TIMES_IN_FORCE, TimeInForce.GOOD_TILL_DATE: "gtc"}

type Document = dict[str, Any]


def asset_id(symbol: InstrumentID) -> str:
    """Return Alpaca's kind of id of an instrument."""
    return str(uuid5(_SPACE, f"asset {symbol}"))


@dataclass(slots=True, kw_only=True)
class SimulatedOrder:
    """One of Alpaca's orders; `root` is the wire id of the paper order that its chain is."""

    id: str
    client_order_id: str
    root: WireID
    request: NewOrder
    symbol: str
    asset_class: str
    qty: Qty
    limit_px: Px | None
    stop_px: Px | None
    created_at: int
    updated_at: int
    status: str = "new"
    filled_qty: Qty = ZERO
    filled_value: Money = ZERO
    replaces: str | None = None
    replaced_by: str | None = None
    ended_at: dict[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status in _OPEN

    def document(self) -> Document:
        """Write it as Alpaca does."""
        at = {name: format_instant(instant) for name, instant in self.ended_at.items()}
        px = average(self.filled_value, self.filled_qty)
        created = format_instant(self.created_at)
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": created,
            "updated_at": format_instant(self.updated_at),
            "submitted_at": created,
            **{name: at.get(name) for name in _INSTANTS},
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": asset_id(self.request.symbol),
            "symbol": self.symbol,
            "asset_class": self.asset_class,
            "notional": None,
            "qty": plain(self.qty),
            "filled_qty": plain(self.filled_qty),
            "filled_avg_price": None if px is None else plain(px),
            "order_class": "simple",
            "order_type": ORD_TYPES[self.request.ord_type],
            "type": ORD_TYPES[self.request.ord_type],
            "side": SIDES[self.request.side],
            "time_in_force": _TIMES[self.request.time_in_force],
            "limit_price": _px(self.limit_px),
            "stop_price": _px(self.stop_px),
            "status": self.status,
            "extended_hours": False,
            "legs": None,
        }


_INSTANTS = ("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at")


def _px(px: Px | None) -> str | None:
    return None if px is None else plain(px)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFill:
    """A fill as the account's activities list it."""

    execution_id: str
    order: SimulatedOrder
    qty: Qty
    px: Px
    cum_qty: Qty
    leaves_qty: Qty
    at: int

    @property
    def id(self) -> str:
        """The id of the activity, which begins with its time."""
        digits = "".join(each for each in format_instant(self.at) if each.isdigit())
        return f"{digits[:17]}::{self.execution_id}"

    def document(self) -> Document:
        """Write it as Alpaca does."""
        return {
            "activity_type": "FILL",
            "id": self.id,
            "cum_qty": plain(self.cum_qty),
            "leaves_qty": plain(self.leaves_qty),
            "price": plain(self.px),
            "qty": plain(self.qty),
            "side": SIDES[self.order.request.side],
            "symbol": self.order.symbol,
            "transaction_time": format_instant(self.at),
            "order_id": self.order.id,
            "type": "fill" if self.leaves_qty == ZERO else "partial_fill",
            "order_status": "filled" if self.leaves_qty == ZERO else "partially_filled",
        }


class Book:
    """All orders, and for each event of the exchange the updates that it makes."""

    def __init__(
        self,
        exchange: str,
        catalogue: Catalogue,
        paper_order: Callable[[WireID], PaperOrder | None],
    ) -> None:
        """Start with nothing, beside the exchange of this id."""
        self._exchange = exchange
        self._catalogue = catalogue
        self._paper_order = paper_order
        self.orders: dict[str, SimulatedOrder] = {}
        self.by_client: dict[str, SimulatedOrder] = {}
        self.fills: list[SimulatedFill] = []
        self.updates: dict[int, Sequence[Document]] = {}
        self._leaves: dict[WireID, SimulatedOrder] = {}
        self._executed: dict[ExecID, SimulatedFill] = {}
        self._number = 0
        self._moved = asyncio.Event()

    async def reached(self, number: int) -> None:
        """Wait until an event of the exchange is in the books."""
        while self._number < number:
            await self._moved.wait()

    def leaf(self, order: SimulatedOrder) -> SimulatedOrder:
        """Return the last of an order's chain."""
        return self._leaves[order.root]

    def filled_before(self, order: SimulatedOrder) -> Qty:
        """Return what the orders of a chain have traded that an order has replaced."""
        filled = ZERO
        while order.replaces is not None:
            order = self.orders[order.replaces]
            filled += order.filled_qty
        return filled

    def take(self, event: Event) -> None:
        """Take in the exchange's next event."""
        self.updates[event.number] = self._updates(event) if isinstance(event, Report) else ()
        self._number = event.number
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _updates(self, report: Report) -> Sequence[Document]:
        match report.exec_type:
            case ExecType.NEW:
                return [self._said(report, "new", self._begin(report))]
            case ExecType.REPLACED:
                return self._replace(report)
            case ExecType.TRADE:
                return [self._fill(report)]
            case ExecType.TRADE_CANCEL | ExecType.TRADE_CORRECT:
                return [self._revise(report)]
            case ExecType.CANCELED | ExecType.EXPIRED | ExecType.REJECTED:
                return [self._end(report, _STATUS[report.exec_type])]
            case _:
                return ()

    def _begin(self, report: Report) -> SimulatedOrder:
        paper = self._paper_order(report.wire_id)
        if paper is None:
            raise ValueError(f"the exchange tells of {report.wire_id}, which it does not have")
        request = paper.request
        instrument = self._catalogue.get(request.symbol)
        is_coin = instrument and instrument.security_type is SecurityType.CRYPTO_SPOT
        order = SimulatedOrder(
            id=self._uuid(request.wire_id),
            client_order_id=request.wire_id,
            root=request.wire_id,
            request=request,
            symbol=alpaca_symbol(self._catalogue, request.symbol),
            asset_class="crypto" if is_coin else "us_equity",
            qty=request.order_qty,
            limit_px=request.price,
            stop_px=request.stop_px,
            created_at=report.transact_time,
            updated_at=report.transact_time,
        )
        return self._keep(order)

    def _keep(self, order: SimulatedOrder) -> SimulatedOrder:
        self.orders[order.id] = self.by_client[order.client_order_id] = order
        self._leaves[order.root] = order
        return order

    def _replace(self, report: Report) -> Sequence[Document]:
        """End the leaf, and begin its successor with what is left of the total."""
        old = self._leaves[report.wire_id]
        client_order_id = report.request_wire_id or WireID("")
        left = (report.order_qty or old.qty) - self.filled_before(old) - old.filled_qty
        new = SimulatedOrder(
            id=self._uuid(client_order_id),
            client_order_id=client_order_id,
            root=old.root,
            request=old.request,
            symbol=old.symbol,
            asset_class=old.asset_class,
            qty=left,
            limit_px=report.price,
            stop_px=report.stop_px,
            created_at=report.transact_time,
            updated_at=report.transact_time,
            replaces=old.id,
        )
        old.status, old.replaced_by, old.updated_at = "replaced", new.id, report.transact_time
        old.ended_at["replaced_at"] = report.transact_time
        said = self._said(report, "replaced", old)
        return [said, self._said(report, "new", self._keep(new), part=1)]

    def _fill(self, report: Report) -> Document:
        order = self._leaves.get(report.wire_id)
        if order is None:
            raise ValueError(f"event {report.number} is a trade of an order that never began")
        order.filled_qty += report.last_qty
        order.filled_value += report.last_qty * report.last_px
        order.updated_at = report.transact_time
        is_done = order.filled_qty >= order.qty
        order.status = "filled" if is_done else "partially_filled"
        if is_done:
            order.ended_at["filled_at"] = report.transact_time
        fill = SimulatedFill(
            execution_id=self._uuid(report.exec_id or ""),
            order=order,
            qty=report.last_qty,
            px=report.last_px,
            cum_qty=order.filled_qty,
            leaves_qty=order.qty - order.filled_qty,
            at=report.transact_time,
        )
        self.fills.append(fill)
        self._executed[report.exec_id or ExecID("")] = fill
        return self._traded(report, "fill" if is_done else "partial_fill", fill)

    def _revise(self, report: Report) -> Document:
        """Undo a fill, and put another in its place where it is corrected."""
        undone = self._executed.pop(report.exec_ref_id or ExecID(""))
        order = undone.order
        order.filled_qty -= undone.qty
        order.filled_value -= undone.qty * undone.px
        self.fills.remove(undone)
        is_bust = report.exec_type is ExecType.TRADE_CANCEL
        fill = SimulatedFill(
            execution_id=self._uuid(report.exec_id or ""),
            order=order,
            qty=report.last_qty,
            px=report.last_px,
            cum_qty=order.filled_qty + (ZERO if is_bust else report.last_qty),
            leaves_qty=ZERO,
            at=report.transact_time,
        )
        if not is_bust:
            order.filled_qty += report.last_qty
            order.filled_value += report.last_qty * report.last_px
            self.fills.append(fill)
            self._executed[report.exec_id or ExecID("")] = fill
        if order.status == "filled" and order.filled_qty < order.qty:
            order.status = "canceled"
        order.updated_at = report.transact_time
        said = self._traded(report, "trade_bust" if is_bust else "trade_correct", fill)
        return said | {"previous_execution_id": undone.execution_id}

    def _end(self, report: Report, status: str) -> Document:
        order = self._leaves.get(report.wire_id) or self._begin(report)
        order.status, order.updated_at = status, report.transact_time
        order.ended_at[_ENDED_AT[status]] = report.transact_time
        return self._said(report, status, order)

    def _traded(self, report: Report, event: str, fill: SimulatedFill) -> Document:
        held = sum(self.net(fill.order.request.symbol), ZERO)
        return self._said(report, event, fill.order) | {
            "execution_id": fill.execution_id,
            "price": plain(fill.px),
            "qty": plain(fill.qty),
            "position_qty": plain(held),
        }

    def _said(self, report: Report, event: str, order: SimulatedOrder, part: int = 0) -> Document:
        at = format_instant(report.transact_time)
        return {
            "event": event,
            "event_id": event_id(report.transact_time, report.number, part),
            "execution_id": self._uuid(f"event {report.number} {part}"),
            "timestamp": at,
            "at": at,
            "order": order.document(),
        }

    def net(self, symbol: InstrumentID) -> Sequence[Decimal]:
        """Return the signed quantities of all fills of an instrument."""
        return [
            fill.order.request.side.sign * fill.qty
            for fill in self.fills
            if fill.order.request.symbol == symbol
        ]

    def _uuid(self, of: str) -> str:
        return str(uuid5(_SPACE, f"{self._exchange} {of}"))


def alpaca_symbol(catalogue: Catalogue, symbol: InstrumentID) -> str:
    """Return Alpaca's name of an instrument."""
    instrument = catalogue.get(symbol)
    bare = symbol.partition("@")[0]
    if instrument is not None and instrument.security_type is SecurityType.CRYPTO_SPOT:
        return f"{bare.removesuffix(instrument.currency)}/{instrument.currency}"
    return bare
