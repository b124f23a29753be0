"""The recorder: turns what brokers claim and how sendings ended into records."""

from __future__ import annotations

from dataclasses import dataclass

from trading import ledger, lifecycle, reconciliation
from trading.books import Books
from trading.command import Command, CommandKind, CommandState
from trading.execution import (
    Break,
    BreakKind,
    BrokerCancelReject,
    BrokerEvent,
    BrokerReport,
    BrokerUnknown,
    ExecType,
)
from trading.ids import ClOrdID, WireID
from trading.ledger import Dispatch
from trading.lifecycle import Applied, Ignored, Quarantined
from trading.order import Order, OrdStatus
from trading.ports import BrokerOrder, Gate, Withheld
from trading.record import replace
from trading.reject import CxlRejReason, OrdRejReason, RejectedBy


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered that it will not do it."""

    wire_id: WireID
    text: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A command certainly took no effect: it goes back to the queue, to be sent when due."""

    wire_id: WireID
    why: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Due:
    """It is time to look at a queued command again."""

    wire_id: WireID


@dataclass(frozen=True, slots=True)
class Doubted:
    """Whether a command took effect is not known."""

    wire_id: WireID
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the broker shows of an order whose command was in doubt; None if it never had it."""

    wire_id: WireID
    theirs: BrokerOrder | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A claim found by comparing our order, as of a sequence number, with the broker's."""

    wire_id: WireID
    theirs: BrokerOrder
    as_of_seq: int


type Answer = Refused | Returned | Due | Doubted | Found | Compared
type News = BrokerEvent | Answer


class Recorder:
    """Applies news to the books. Pure; what is to be sent next is returned."""

    def __init__(self, gate: Gate, *, resends: bool) -> None:
        """Take the gate, for readmission; `resends` if the broker dedupes a repeated wire id."""
        self._gate = gate
        self._resends = resends

    def take(self, books: Books, news: News, epoch: int, at: int) -> list[Dispatch]:
        """Record one piece of news, and promote what its order may send next."""
        match news:
            case BrokerEvent():
                return self._event(books, news, epoch, at)
            case Compared():
                return self._compared(books, news, epoch, at)
            case _:
                command = books.commands.get(news.wire_id)
                if command is None or not command.state.is_open:
                    return []
                self._answer(books, command, news, at)
                if isinstance(news, Returned) and books.commands[news.wire_id].state.is_open:
                    return []  # It waits until it is Due.
                return self._promote(books, books.orders[command.order_id], epoch, at)

    # --- claims ----------------------------------------------------------------------------------

    def _event(self, books: Books, event: BrokerEvent, epoch: int, at: int) -> list[Dispatch]:
        if event.key in books.seen_keys:
            return []
        books.seen_keys.add(event.key)
        books.new_broker_keys.append(event.key)
        order = books.order_of(event.wire_id)
        if order is None:
            text = f"{event.key} is about {event.wire_id}, which is no order of ours"
            books.new_breaks.append(
                Break(
                    kind=BreakKind.UNKNOWN_ORDER,
                    account_id=None,
                    order_id=None,
                    detail=text,
                    raised_at=at,
                )
            )
            return []
        match event:
            case BrokerReport():
                fills = books.fills.get(order.id, [])
                for claim in reconciliation.retirements(order, fills, event):
                    self._apply(books, books.orders[order.id], claim, at)
                self._apply(books, books.orders[order.id], event, at)
            case BrokerCancelReject():
                self._cancel_reject(books, event, at)
            case BrokerUnknown():
                books.raise_breaks([BreakKind.UNREADABLE], order, event.text, at)
            case _:
                raise TypeError(f"no broker event: {type(event).__name__}")
        return self._promote(books, books.orders[order.id], epoch, at)

    def _apply(self, books: Books, order: Order, claim: BrokerReport, at: int) -> None:
        # A replace that has not left cannot be what the broker tells of: it goes on waiting.
        waits = any(
            c.kind is CommandKind.REPLACE and c.attempt == 0 for c in books.commands_of(order.id)
        )
        waiting = order.replacement if waits else None
        known = replace(order, replacement=None) if waits else order
        match lifecycle.apply(known, claim, books.fills.get(order.id, [])):
            case Quarantined(kind, why):
                books.raise_breaks([kind], order, f"{claim.key}: {why}", at)
            case Ignored():
                self._overtaken(books, order, claim, at)
            case Applied(order=after, fill=fill, breaks=breaks):
                books.raise_breaks(breaks, after, f"{claim.key}: {claim.exec_type}", at)
                after = replace(after, replacement=waiting) if waits else after
                ids = self._settle_by(books, after, claim)
                if claim.exec_type is ExecType.REPLACED and ids is not None:
                    after = replace(after, cl_ord_id=ids[0])
                books.record(after, claim.exec_type, at, fill=fill, claim=claim, ids=ids)
                ledger.leave_doubt(books, books.orders[order.id], f"evidence: {claim.key}", at)

    def _settle_by(
        self, books: Books, order: Order, claim: BrokerReport
    ) -> tuple[ClOrdID | None, ClOrdID | None] | None:
        """Settle the command that a claim shows to be done; return the ClOrdIDs of that command."""
        evidence, ids = f"evidence: {claim.key}", None
        for command in books.commands_of(order.id):
            if command.kind is CommandKind.NEW:
                # Whatever a broker says of an order, it says that the order reached it.
                rejected = claim.exec_type is ExecType.REJECTED
                state = CommandState.REJECTED if rejected else CommandState.ACKED
                books.settle(command, state, evidence)
            elif command.kind is _ANSWERED.get(claim.exec_type) and command.attempt > 0:
                books.settle(command, CommandState.ACKED, evidence)
                ids = (command.cl_ord_id, command.orig_cl_ord_id)
        return ids

    def _overtaken(self, books: Books, order: Order, claim: BrokerReport, at: int) -> None:
        """Settle what a claim shows that says nothing new of the order, such as a late cancel."""
        for command in books.commands_of(order.id):
            if command.kind is CommandKind.NEW:
                books.settle(command, CommandState.ACKED, f"evidence: {claim.key}")
            elif command.kind is _ANSWERED.get(claim.exec_type) and command.attempt > 0:
                self._too_late(books, command, at)
        ledger.leave_doubt(books, books.orders[order.id], f"evidence: {claim.key}", at)

    def _too_late(self, books: Books, command: Command, at: int) -> None:
        text = f"the order is {books.orders[command.order_id].status}"
        refusal = (CxlRejReason.TOO_LATE_TO_CANCEL, RejectedBy.BROKER, text)
        ledger.refuse_amendment(books, command, CommandState.REJECTED, refusal, at)

    def _cancel_reject(self, books: Books, event: BrokerCancelReject, at: int) -> None:
        command = books.commands.get(event.request_wire_id)
        if command is None or not command.state.is_in_flight:
            return
        text = event.text or str(event.cxl_rej_reason)
        refusal = (event.cxl_rej_reason, RejectedBy.BROKER, text)
        ledger.refuse_amendment(books, command, CommandState.REJECTED, refusal, at)

    def _compared(self, books: Books, news: Compared, epoch: int, at: int) -> list[Dispatch]:
        order = books.order_of(news.wire_id)
        if order is None or order.last_seq != news.as_of_seq:
            return []  # The order has moved since the broker was asked: the answer is too old.
        for claim in reconciliation.differences(order, news.theirs, at):
            self._apply(books, books.orders[order.id], claim, at)
        return self._promote(books, books.orders[order.id], epoch, at)

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, books: Books, command: Command, news: Answer, at: int) -> None:
        match news:
            case Refused(text=text):
                self._refused(books, command, text, RejectedBy.BROKER, at)
            case Returned(why=why):
                self._returned(books, command, why, at)
            case Doubted(why=why):
                self._doubt(books, command, why, at)
            case Found(theirs=theirs):
                self._found(books, command, theirs, at)
            case Due() | Compared():
                pass

    def _refused(self, books: Books, command: Command, text: str, by: RejectedBy, at: int) -> None:
        state = CommandState.REJECTED if by is RejectedBy.BROKER else CommandState.WITHHELD
        if command.kind is not CommandKind.NEW:
            theirs = by is RejectedBy.BROKER
            refusal = (CxlRejReason.BROKER_OPTION if theirs else CxlRejReason.OTHER, by, text)
            ledger.refuse_amendment(books, command, state, refusal, at)
            return
        books.settle(command, state, text)
        ledger.leave_doubt(books, books.orders[command.order_id], text, at)
        order = books.orders[command.order_id]
        if order.status is not OrdStatus.PENDING_NEW:
            return
        reason = OrdRejReason.BROKER_OPTION if by is RejectedBy.BROKER else OrdRejReason.STALE_ORDER
        refused = replace(
            order,
            status=OrdStatus.REJECTED,
            rejected_by=by,
            ord_rej_reason=reason,
            text=text,
        )
        books.record(refused, ExecType.REJECTED, at)

    def _returned(self, books: Books, command: Command, why: str, at: int) -> None:
        """Put a command back into the queue, unless its order is to be canceled: then end it."""
        books.settle(command, CommandState.QUEUED, why)
        ledger.leave_doubt(books, books.orders[command.order_id], why, at)
        order = books.orders[command.order_id]
        waiting = (c for c in books.commands_of(order.id) if c.kind is CommandKind.CANCEL)
        if (cancel := next(waiting, None)) is None or not ledger.withdraw_unsent(books, order, at):
            return
        books.settle(cancel, CommandState.ACKED, "the order was never sent")
        canceled = replace(books.orders[order.id], status=OrdStatus.CANCELED, pending_cancel=False)
        ids = (cancel.cl_ord_id, cancel.orig_cl_ord_id)
        books.record(canceled, ExecType.CANCELED, at, ids=ids)

    def _doubt(self, books: Books, command: Command, why: str, at: int) -> None:
        if command.state is CommandState.IN_DOUBT:
            return
        books.settle(command, CommandState.IN_DOUBT, why)
        doubted = replace(books.orders[command.order_id], in_doubt=True)
        text = f"in doubt whether the {command.kind} took effect: {why}"
        books.record(doubted, ExecType.RESTATED, at, text=text)

    def _found(self, books: Books, command: Command, theirs: BrokerOrder | None, at: int) -> None:
        """Settle a doubt by what the broker shows. What it never had is sent again, or refused."""
        order, is_new = books.orders[command.order_id], command.kind is CommandKind.NEW
        taken = theirs is not None and (is_new or theirs.last_request_wire_id == command.wire_id)
        if theirs is not None:
            replaced = taken and command.kind is CommandKind.REPLACE
            for claim in reconciliation.differences(order, theirs, at, replaced=replaced):
                self._apply(books, books.orders[order.id], claim, at)
        if books.commands[command.wire_id].state is not CommandState.IN_DOUBT:
            return
        if not is_new and not books.orders[order.id].is_open:
            self._too_late(books, command, at)
        elif taken:
            # The stream is still to tell what came of a cancel or replace.
            evidence = "evidence: the broker shows it"
            books.settle(command, CommandState.ACKED if is_new else CommandState.SENT, evidence)
            ledger.leave_doubt(books, books.orders[order.id], evidence, at)
        elif is_new and not self._resends:
            self._refused(books, command, "the broker never had the order", RejectedBy.GATEWAY, at)
        else:
            self._returned(books, command, "evidence: the broker never had it", at)

    # --- what next -------------------------------------------------------------------------------

    def _promote(self, books: Books, order: Order, epoch: int, at: int) -> list[Dispatch]:
        """Mark the order's next command as sent, if it may leave; withhold what no longer may."""
        if not order.is_open:
            ledger.refuse_queued(books, order, at)
            return []
        command = ledger.next_to_send(books, order)
        if command is None:
            return []
        if command.kind is CommandKind.CANCEL:
            return [ledger.dispatch(books, command, None, epoch, at)]
        approved = self._gate.readmit(order, command, books, at)
        if isinstance(approved, Withheld):
            self._refused(books, command, approved.why, RejectedBy.GATEWAY, at)
            return self._promote(books, books.orders[order.id], epoch, at)
        return [ledger.dispatch(books, command, approved, epoch, at)]


_ANSWERED = {ExecType.CANCELED: CommandKind.CANCEL, ExecType.REPLACED: CommandKind.REPLACE}
