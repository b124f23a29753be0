"""The clerk and the recorder over one set of books, as if no transaction ever ended."""

from dataclasses import replace
from typing import Any

from tests.trading import builders
from tests.trading.builders import NOW, NS, D, assert_gapless, books, cancel, new, place
from tests.trading.fakes import OpenGate, Sequential
from trading.books import Books
from trading.clerk import Clerk, Handled
from trading.command import Command, CommandKind, CommandState, OrderCommand
from trading.execution import BreakKind, ExecType, ExecutionReport, OrderCancelReject
from trading.ids import OrderID, WireID
from trading.ledger import Dispatch
from trading.order import Order
from trading.ports import BrokerOrder
from trading.recorder import Doubted, Found, News, Recorder
from trading.reject import RejectedBy


class Office:
    """Hands commands to the clerk and news to the recorder, and checks the sequence after each."""

    def __init__(self, of: Books | None = None, *, resends: bool = True) -> None:
        self.gate = OpenGate()
        self.books = of or books()
        self.clerk = Clerk(self.gate, Sequential())
        self.recorder = Recorder(self.gate, resends=resends)
        self.at = NOW

    def handle(self, command: OrderCommand, epoch: int | None = 1) -> Handled:
        self.at += NS
        handled = self.clerk.handle(self.books, command, epoch, self.at)
        assert_gapless(self.books.new_reports)
        return handled

    def take(self, *news: News) -> list[Dispatch]:
        self.at += NS
        found = [d for each in news for d in self.recorder.take(self.books, each, 1, self.at)]
        assert_gapless(self.books.new_reports)
        return found

    def place(self, cl_ord_id: str = "p1", epoch: int | None = 1, **fields: Any) -> Order:
        decided = self.handle(place(cl_ord_id, **fields), epoch).decided
        assert isinstance(decided, Order)
        return decided

    def working(self, cl_ord_id: str = "p1", **fields: Any) -> Order:
        """Place an order and have the broker take it."""
        placed = self.place(cl_ord_id, **fields)
        self.take(new(placed.wire_id))
        return self.order(placed.id)

    def canceling(self, of: Order) -> WireID:
        """Ask for the cancel of an order; return the wire id of the cancel."""
        wire_id = self.handle(cancel("c1", of.cl_ord_id)).wire_id
        assert wire_id is not None
        return wire_id

    def replacing(self, of: Order, **fields: Any) -> WireID:
        terms = fields or {"order_qty": D(150)}
        wire_id = self.handle(builders.amend("r1", of.cl_ord_id, **terms)).wire_id
        assert wire_id is not None
        return wire_id

    def found(self, wire_id: WireID, theirs: BrokerOrder | None) -> list[Dispatch]:
        return self.take(Found(wire_id, theirs))

    def order(self, order_id: OrderID) -> Order:
        return self.books.orders[order_id]

    def state(self, wire_id: WireID) -> CommandState:
        return self.books.commands[wire_id].state

    def commands(self, kind: CommandKind) -> list[Command]:
        return [each for each in self.books.commands.values() if each.kind is kind]

    @property
    def told(self) -> list[str]:
        """What was reported so far: ExecTypes, and `CancelReject`."""
        return [
            each.exec_type.value if isinstance(each, ExecutionReport) else "CancelReject"
            for each in self.books.new_reports
        ]

    @property
    def breaks(self) -> list[BreakKind]:
        return [each.kind for each in self.books.new_breaks]

    def last(self) -> ExecutionReport:
        report = self.books.new_reports[-1]
        assert isinstance(report, ExecutionReport)
        return report

    def doubts(self) -> list[bool]:
        """What the RESTATED reports said of doubt."""
        reports = [each for each in self.books.new_reports if isinstance(each, ExecutionReport)]
        return [each.in_doubt for each in reports if each.exec_type is ExecType.RESTATED]


def doubted(office: Office, wire_id: WireID) -> None:
    assert office.take(Doubted(wire_id, "timeout")) == []
    assert office.state(wire_id) is CommandState.IN_DOUBT


def reject_of(office: Office) -> OrderCancelReject:
    [reject] = [each for each in office.books.new_reports if isinstance(each, OrderCancelReject)]
    return reject


def refused(office: Office, command: OrderCommand) -> OrderCancelReject:
    """Have a cancel or replace refused, and assert that its order and its commands live on."""
    before, commands = dict(office.books.orders), dict(office.books.commands)
    decided = office.handle(command).decided
    assert isinstance(decided, OrderCancelReject)
    assert decided.rejected_by is RejectedBy.GATEWAY
    assert office.books.commands == commands
    for each in before.values():
        after = office.order(each.id)
        assert after == replace(each, last_seq=after.last_seq, transact_time=after.transact_time)
    return decided
