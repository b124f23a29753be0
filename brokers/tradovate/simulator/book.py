"""The simulator's books: the paper exchange's events as Tradovate's entities and their props.

They are folded from the exchange's journal, so that a simulator that starts again is the same one.
All of a run is kept in memory, for a simulator's day is short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from brokers.paper.ledger import PaperOrder
from brokers.paper.messages import CancelReject, Event, NewOrder, Report
from brokers.tradovate.simulator import terms
from brokers.tradovate.simulator.account import USER_ID, Accounts, account_id
from brokers.tradovate.simulator.contracts import Library
from brokers.tradovate.simulator.entities import Entities
from brokers.tradovate.simulator.holdings import Traded
from brokers.tradovate.simulator.terms import Document
from brokers.tradovate.simulator.wire import at_text, trade_date
from trading.execution import ExecType
from trading.ids import ExecID, WireID
from trading.quantity import ZERO, Money, Px, Qty, average

_LABEL_END = "|"
_ENDS = {
    ExecType.CANCELED: "Canceled",
    ExecType.EXPIRED: "Expired",
    ExecType.REJECTED: "Rejected",
}
OPEN = "Working"


def wire_id(label: str | None, command_type: str, number: int) -> WireID:
    """Make an id that the exchange has not seen from a label, which need not be unique."""
    return WireID(f"{label or ''}{_LABEL_END}{command_type}{number}")


def label(of: WireID) -> str | None:
    """Return the label that a wire id was made from, or that it is."""
    return (of.rpartition(_LABEL_END)[0] if _LABEL_END in of else of) or None


def _command_type(of: WireID) -> str:
    return of.rpartition(_LABEL_END)[2].rstrip("0123456789")


@dataclass(slots=True, kw_only=True)
class SimulatedOrder:
    """An order with all its requests; `command_id` is of the one that it works by."""

    id: int
    request: NewOrder
    command_id: int
    qty: Qty
    price: Px | None
    stop_px: Px | None
    cum_qty: Qty = ZERO
    cum_value: Money = ZERO

    @property
    def wire_id(self) -> WireID:
        """The exchange's id of it."""
        return self.request.wire_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFill:
    """A fill that stands."""

    id: int
    exec_id: ExecID
    order: SimulatedOrder
    qty: Qty
    px: Px


class Book:
    """All orders and fills, and for each event of the exchange the props that it makes."""

    def __init__(
        self,
        entities: Entities,
        library: Library,
        accounts: Accounts,
        paper_order: Callable[[WireID], PaperOrder | None],
    ) -> None:
        """Start with nothing."""
        self._entities = entities
        self._library = library
        self._accounts = accounts
        self._paper_order = paper_order
        self.orders: dict[int, SimulatedOrder] = {}
        self.by_wire_id: dict[WireID, SimulatedOrder] = {}
        self.commands: dict[WireID, int] = {}
        self.updates: dict[int, Sequence[Document]] = {}
        self.number = 0
        self._fills: dict[ExecID, SimulatedFill] = {}
        self._moved = asyncio.Event()
        self._tellers: Mapping[ExecType, Callable[[Report], Sequence[Document]]] = {
            ExecType.NEW: self._new,
            ExecType.REPLACED: self._replace,
            ExecType.TRADE: self._trade,
            ExecType.TRADE_CANCEL: self._revise,
            ExecType.TRADE_CORRECT: self._revise,
            ExecType.CANCELED: self._end,
            ExecType.EXPIRED: self._end,
            ExecType.REJECTED: self._reject,
        }

    async def reached(self, number: int) -> None:
        """Wait until an event of the exchange is in the books."""
        while self.number < number:
            await self._moved.wait()

    def take(self, event: Event) -> None:
        """Take in the exchange's next event."""
        told = self._refuse(event) if isinstance(event, CancelReject) else self._report(event)
        self.updates[event.number] = told
        self.number = event.number
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # --- events ---

    def _report(self, report: Report) -> Sequence[Document]:
        tell = self._tellers.get(report.exec_type)
        return () if tell is None else tell(report)

    def _new(self, report: Report) -> Sequence[Document]:
        return [*self._begin(report), *self._accept(report)]

    def _begin(self, report: Report) -> Sequence[Document]:
        paper = self._paper_order(report.wire_id)
        if paper is None:
            raise ValueError(f"the exchange tells of {report.wire_id}, which it does not have")
        request = paper.request
        order = SimulatedOrder(
            id=self._entities.next_id(),
            request=request,
            command_id=self._entities.next_id(),
            qty=request.order_qty,
            price=request.price,
            stop_px=request.stop_px,
        )
        self.orders[order.id] = self.by_wire_id[order.wire_id] = order
        self.commands[order.wire_id] = order.command_id
        at = report.transact_time
        return [
            self._entities.put("order", self._order(order, at)),
            self._entities.put("orderVersion", self._version(order)),
            self._command(order, order.command_id, order.wire_id, "New", at),
        ]

    def _accept(self, report: Report) -> Sequence[Document]:
        order, at = self.by_wire_id[report.wire_id], report.transact_time
        return [
            self._commanded(order.command_id, "RiskPassed", at),
            self._commanded(order.command_id, "AtExecution", at, ordStatus=OPEN),
            self._entities.update("command", order.command_id, commandStatus="AtExecution"),
            self._execution(order, report, "New", OPEN),
            self._status(order, OPEN),
        ]

    def _reject(self, report: Report) -> Sequence[Document]:
        begun = () if report.wire_id in self.by_wire_id else self._begin(report)
        order, at = self.by_wire_id[report.wire_id], report.transact_time
        why = {"rejectReason": terms.reason(report.ord_rej_reason), "text": report.text or ""}
        command = order.command_id
        return [
            *begun,
            self._commanded(command, "ExecutionRejected", at, ordStatus="Rejected", **why),
            self._entities.update("command", command, commandStatus="ExecutionRejected"),
            self._execution(order, report, "Rejected", "Rejected", **why),
            self._status(order, "Rejected"),
        ]

    def _replace(self, report: Report) -> Sequence[Document]:
        order, at = self.by_wire_id[report.wire_id], report.transact_time
        order.qty = report.order_qty or order.qty
        order.price, order.stop_px = report.price, report.stop_px
        order.command_id = self._entities.next_id()
        by = report.request_wire_id or WireID("")
        return [
            self._command(order, order.command_id, by, "Modify", at),
            self._entities.put("orderVersion", self._version(order)),
            self._commanded(order.command_id, "AtExecution", at, ordStatus=OPEN),
            self._entities.update("command", order.command_id, commandStatus="AtExecution"),
            self._execution(order, report, "Replaced", OPEN),
        ]

    def _end(self, report: Report) -> Sequence[Document]:
        order, at = self.by_wire_id[report.wire_id], report.transact_time
        told: list[Document] = []
        if report.request_wire_id is not None:
            order.command_id = self._entities.next_id()
            told = [
                self._command(order, order.command_id, report.request_wire_id, "Cancel", at),
                self._commanded(order.command_id, "AtExecution", at),
                self._entities.update("command", order.command_id, commandStatus="AtExecution"),
            ]
        word = _ENDS[report.exec_type]
        why = {"text": report.text} if report.text else {}
        return [*told, self._execution(order, report, word, word, **why), self._status(order, word)]

    def _refuse(self, event: CancelReject) -> Sequence[Document]:
        order, at = self.by_wire_id.get(event.wire_id), event.transact_time
        if order is None:
            return ()
        command = self._entities.next_id()
        kind = _command_type(event.request_wire_id)
        why = {"rejectReason": terms.reason(event.cxl_rej_reason), "text": event.text}
        return [
            self._command(order, command, event.request_wire_id, kind, at),
            self._commanded(command, "ExecutionRejected", at, **why),
            self._entities.update("command", command, commandStatus="ExecutionRejected"),
        ]

    def _trade(self, report: Report) -> Sequence[Document]:
        order = self.by_wire_id.get(report.wire_id)
        if order is None:
            raise ValueError(f"event {report.number} is a trade of an order that never began")
        told = [self._fill(order, report)]
        word = "Filled" if order.cum_qty >= order.qty else OPEN
        told.append(self._execution(order, report, "Trade", word))
        if word != OPEN:
            told.append(self._status(order, word))
        return [*told, *self._held(order, report.transact_time)]

    def _revise(self, report: Report) -> Sequence[Document]:
        """Undo a fill, and put another in its place where it is corrected."""
        undone = self._fills.pop(report.exec_ref_id or ExecID(""))
        order = undone.order
        order.cum_qty -= undone.qty
        order.cum_value -= undone.qty * undone.px
        told = [self._entities.update("fill", undone.id, active=False)]
        is_bust = report.exec_type is ExecType.TRADE_CANCEL
        if not is_bust:
            told.append(self._fill(order, report))
        was_filled = self._word(order) == "Filled"
        word = "Canceled" if was_filled and order.cum_qty < order.qty else self._word(order)
        kind = "TradeCancel" if is_bust else "TradeCorrect"
        told.append(self._execution(order, report, kind, word, execRefId=str(undone.exec_id)))
        if word != self._word(order):
            told.append(self._status(order, word))
        return [*told, *self._held(order, report.transact_time)]

    def _fill(self, order: SimulatedOrder, report: Report) -> Document:
        order.cum_qty += report.last_qty
        order.cum_value += report.last_qty * report.last_px
        fill = SimulatedFill(
            id=self._entities.next_id(),
            exec_id=report.exec_id or ExecID(""),
            order=order,
            qty=report.last_qty,
            px=report.last_px,
        )
        self._fills[fill.exec_id] = fill
        return self._entities.put("fill", self._fill_entity(fill, report.transact_time))

    def _held(self, order: SimulatedOrder, at: int) -> Sequence[Document]:
        key = order.request.account_id, order.request.symbol
        fills = [
            Traded(fill.order.request.side, fill.qty, fill.px)
            for fill in self._fills.values()
            if (fill.order.request.account_id, fill.order.request.symbol) == key
        ]
        return self._accounts.traded(key, fills, at)

    # --- entities ---

    def _word(self, order: SimulatedOrder) -> str:
        found = self._entities.get("order", order.id) or {}
        return str(found.get("ordStatus"))

    def _status(self, order: SimulatedOrder, word: str) -> Document:
        return self._entities.update("order", order.id, ordStatus=word)

    def _order(self, order: SimulatedOrder, at: int) -> Document:
        return {
            "id": order.id,
            "accountId": account_id(order.request.account_id),
            "contractId": self._library.contract_id(order.request.symbol),
            "timestamp": at_text(at),
            "action": terms.ACTIONS[order.request.side],
            "ordStatus": "PendingNew",
            "executionProviderId": 1,
            "archived": False,
            "external": False,
            "admin": False,
        }

    def _version(self, order: SimulatedOrder) -> Document:
        request = order.request
        told = {
            "price": order.price,
            "stopPrice": order.stop_px,
            "expireTime": None if request.expire_time is None else at_text(request.expire_time),
        }
        return {
            "id": order.command_id,
            "orderId": order.id,
            "orderQty": order.qty,
            "orderType": terms.ORDER_TYPES[request.ord_type],
            "timeInForce": terms.TIMES_IN_FORCE[request.time_in_force],
            **{name: value for name, value in told.items() if value is not None},
        }

    def _command(
        self, order: SimulatedOrder, command: int, by: WireID, kind: str, at: int
    ) -> Document:
        self.commands[by] = command
        named = label(by)
        return self._entities.put(
            "command",
            {
                "id": command,
                "orderId": order.id,
                "timestamp": at_text(at),
                **({} if named is None else {"clOrdId": named}),
                "commandType": kind,
                "commandStatus": "Pending",
                "senderId": USER_ID,
                "isAutomated": True,
            },
        )

    def _commanded(self, command: int, status: str, at: int, **more: object) -> Document:
        return self._entities.put(
            "commandReport",
            {
                "id": self._entities.next_id(),
                "commandId": command,
                "timestamp": at_text(at),
                "commandStatus": status,
                **more,
            },
        )

    def _execution(
        self, order: SimulatedOrder, report: Report, kind: str, word: str, **more: object
    ) -> Document:
        px = average(order.cum_value, order.cum_qty)
        traded = {"lastQty": report.last_qty, "lastPx": report.last_px} if report.exec_id else {}
        return self._entities.put(
            "executionReport",
            {
                "id": self._entities.next_id(),
                "commandId": order.command_id,
                "name": str(report.exec_id or f"N{report.number}"),
                "accountId": account_id(order.request.account_id),
                "contractId": self._library.contract_id(order.request.symbol),
                "timestamp": at_text(report.transact_time),
                "tradeDate": trade_date(report.transact_time),
                "orderId": order.id,
                "execType": kind,
                "ordStatus": word,
                "action": terms.ACTIONS[order.request.side],
                "cumQty": order.cum_qty,
                **({} if px is None else {"avgPx": px}),
                **traded,
                "exchangeOrderId": report.order_id,
                **more,
            },
        )

    def _fill_entity(self, fill: SimulatedFill, at: int) -> Document:
        return {
            "id": fill.id,
            "orderId": fill.order.id,
            "contractId": self._library.contract_id(fill.order.request.symbol),
            "timestamp": at_text(at),
            "tradeDate": trade_date(at),
            "action": terms.ACTIONS[fill.order.request.side],
            "qty": fill.qty,
            "price": fill.px,
            "active": True,
            "finallyPaired": 0,
        }
