"""The command ledger's rules: what may be sent next, and what is refused when an order ends."""

from __future__ import annotations

from dataclasses import dataclass

from trading.account import TradingState
from trading.books import Books
from trading.command import Command, CommandKind, CommandState
from trading.execution import ExecType
from trading.order import ApprovedOrder, ApprovedReplace, Order, OrdStatus
from trading.record import replace
from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A command that is recorded as SENT, for its session to send now that this is committed.

    `approved` is what a NEW or REPLACE needs; a cancel needs nobody's approval. `approved_under` is
    the trading state that the approval was given under.
    """

    command: Command
    order: Order
    approved: ApprovedOrder | ApprovedReplace | None
    approved_under: TradingState


def dispatch(
    books: Books,
    command: Command,
    approved: ApprovedOrder | ApprovedReplace | None,
    epoch: int,
    at: int,
) -> Dispatch:
    """Record that a command is about to be sent: from here on the broker may have it."""
    sent = replace(
        command, state=CommandState.SENT, attempt=command.attempt + 1, epoch=epoch, sent_at=at
    )
    books.put_command(sent)
    order = books.orders[command.order_id]
    return Dispatch(
        command=sent,
        order=order,
        approved=approved,
        approved_under=books.accounts[command.account_id].state_for(order, command.user_id),
    )


def next_to_send(books: Books, order: Order) -> Command | None:
    """Return the order's oldest queued command, if it may leave now.

    One command of an order is in flight at a time, and a cancel or replace waits until the broker
    has said under which id the order can be addressed.
    """
    commands = books.commands_of(order.id)
    if any(command.state.is_in_flight for command in commands):
        return None
    queued = next((c for c in commands if c.state is CommandState.QUEUED), None)
    if queued is None or queued.kind is CommandKind.NEW or order.secondary_order_id is not None:
        return queued
    return None


def refuse_amendment(
    books: Books,
    command: Command,
    state: CommandState,
    refusal: tuple[CxlRejReason, RejectedBy, str],
    at: int,
) -> None:
    """End a cancel or replace with an OrderCancelReject: its order goes on without it."""
    order = books.orders[command.order_id]
    reason, rejected_by, text = refusal
    if command.kind is CommandKind.CANCEL:
        order = replace(order, pending_cancel=False)
        response_to = CxlRejResponseTo.ORDER_CANCEL_REQUEST
    else:
        order = replace(order, replacement=None)
        response_to = CxlRejResponseTo.ORDER_CANCEL_REPLACE_REQUEST
    books.settle(command, state, text)
    if command.cl_ord_id is None:
        raise ValueError("a cancel or replace carries the ClOrdID of its client")
    books.record_cancel_reject(
        (command.account_id, command.cl_ord_id, command.orig_cl_ord_id),
        order,
        response_to,
        reason,
        rejected_by,
        text,
        at,
    )
    leave_doubt(books, books.orders[order.id], text, at)


def refuse_queued(books: Books, order: Order, at: int) -> None:
    """Refuse what still waits to be sent for an order that has ended: it would come too late."""
    for command in books.commands_of(order.id):
        if command.state is CommandState.QUEUED and command.kind is not CommandKind.NEW:
            text = f"the order is {order.status}"
            refusal = (CxlRejReason.TOO_LATE_TO_CANCEL, RejectedBy.GATEWAY, text)
            refuse_amendment(books, command, CommandState.REJECTED, refusal, at)


def withdraw_unsent(books: Books, order: Order, at: int) -> bool:
    """Supersede what a cancel overtakes in the queue; tell whether that was the order itself."""
    withdrawn = False
    for command in books.commands_of(order.id):
        if command.state is not CommandState.QUEUED:
            continue
        if command.kind is CommandKind.REPLACE:
            text = "superseded by a cancel of the order"
            refusal = (CxlRejReason.OTHER, RejectedBy.GATEWAY, text)
            refuse_amendment(books, command, CommandState.SUPERSEDED, refusal, at)
        elif command.kind is CommandKind.NEW:
            books.settle(command, CommandState.SUPERSEDED, "canceled before it was sent")
            withdrawn = True
    return withdrawn


def withhold(books: Books, command: Command, reason: OrdRejReason, text: str, at: int) -> None:
    """End a NEW or REPLACE that is queued and must not be sent: it is refused by us."""
    if command.kind is not CommandKind.NEW:
        refusal = (CxlRejReason.OTHER, RejectedBy.GATEWAY, text)
        refuse_amendment(books, command, CommandState.WITHHELD, refusal, at)
        return
    books.settle(command, CommandState.WITHHELD, text)
    order = books.orders[command.order_id]
    if order.status is OrdStatus.PENDING_NEW:
        refused = replace(
            order,
            status=OrdStatus.REJECTED,
            rejected_by=RejectedBy.GATEWAY,
            ord_rej_reason=reason,
            text=text,
        )
        books.record(refused, ExecType.REJECTED, at)
    refuse_queued(books, books.orders[order.id], at)


def leave_doubt(books: Books, order: Order, evidence: str, at: int) -> None:
    """Record that the order is no longer in doubt, once none of its commands is."""
    doubted = any(c.state is CommandState.IN_DOUBT for c in books.commands_of(order.id))
    if order.in_doubt and not doubted:
        books.record(replace(order, in_doubt=False), ExecType.RESTATED, at, text=evidence)
