"""The clerk: decides a client's command against the books of its locked account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trading import amendment, ledger
from trading.amendment import Refusal
from trading.books import Books
from trading.command import (
    CancelAllOrders,
    CancelOrder,
    Claim,
    Command,
    CommandKind,
    CommandState,
    OrderCommand,
    PlaceOrder,
    ReplaceOrder,
    body_hash,
)
from trading.decision import Check, RiskDecision
from trading.execution import ExecType, OrderCancelReject
from trading.ids import InstrumentID, OrderID, UserID, WireID, base62
from trading.instrument import Instrument, UnknownSymbol
from trading.ledger import Dispatch
from trading.order import ApprovedReplace, Order, OrdStatus, Replacement
from trading.outcome import ClOrdIdConflict, OrderMassCancelReport
from trading.ports import Cleared, Gate, IdSource
from trading.record import replace
from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy

RISK = UserID("risk")
"""Who changes a trading state when a limit that latches is passed."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A mass cancel that was asked before: its orders are found by its ClOrdID."""

    claim: Claim


type Decided = Order | OrderCancelReject | OrderMassCancelReport | ClOrdIdConflict | Repeated


@dataclass(frozen=True, slots=True)
class Handled:
    """The clerk's answer, the command that a client may wait for, and what to send after commit."""

    decided: Decided
    wire_id: WireID | None = None
    dispatches: tuple[Dispatch, ...] = ()


type _By = tuple[int | None, UserID | None]
"""The lease under which this process sends, and the user who commands."""


class Clerk:
    """Turns commands into records and dispatches. Pure but for the ids it draws."""

    def __init__(self, gate: Gate, ids: IdSource) -> None:
        """Take the risk gate and the source of order and wire ids."""
        self._gate = gate
        self._ids = ids

    def handle(
        self,
        books: Books,
        command: OrderCommand,
        epoch: int | None,
        at: int,
        user_id: UserID | None = None,
    ) -> Handled:
        """Decide one command; `epoch` is this process's lease of the broker session, if any."""
        claim = books.claims.get((command.account_id, command.cl_ord_id))
        if claim is not None:
            return Handled(_repeat(books, claim, command))
        match command:
            case PlaceOrder():
                return self._place(books, command, (epoch, user_id), at)
            case ReplaceOrder():
                return self._replace(books, command, (epoch, user_id), at)
            case CancelOrder():
                return self._cancel(books, command, epoch, at)
            case CancelAllOrders():
                return self._cancel_all(books, command, epoch, at)

    def preview(
        self, books: Books, command: PlaceOrder, at: int, user_id: UserID | None = None
    ) -> RiskDecision:
        """Judge an order as `handle` would, and record nothing. Raises UnknownSymbol."""
        instrument = books.catalogue.resolve(command.symbol)
        order = replace(self._new_order(books, command, at, user_id), symbol=instrument.id)
        return self._gate.clear(order, instrument, books, at).decision

    # --- place -----------------------------------------------------------------------------------

    def _place(self, books: Books, command: PlaceOrder, by: _By, at: int) -> Handled:
        epoch, user_id = by
        order = self._new_order(books, command, at, user_id)
        _claim(books, command, at, order_id=order.id)
        instrument = _resolve(books, command.symbol)
        if isinstance(instrument, UnknownSymbol):
            return Handled(_reject(books, order, OrdRejReason.UNKNOWN_SYMBOL, str(instrument), at))
        order = replace(order, symbol=instrument.id)
        cleared = self._gate.clear(order, instrument, books, at)
        _remember(books, command, cleared, at)
        if cleared.approved is None:
            return Handled(_refused(books, order, cleared.decision.refusal, at))
        books.record(cleared.approved.order, ExecType.PENDING_NEW, at)
        new = Command(
            wire_id=order.wire_id,
            account_id=order.account_id,
            order_id=order.id,
            cl_ord_id=command.cl_ord_id,
            orig_cl_ord_id=None,
            kind=CommandKind.NEW,
            state=CommandState.QUEUED,
            created_at=at,
            user_id=user_id,
            traceparent=command.traceparent,
        )
        books.put_command(new)
        dispatches: tuple[Dispatch, ...] = ()
        if epoch is not None:
            dispatches = (ledger.dispatch(books, new, cleared.approved, epoch, at),)
        return Handled(books.orders[order.id], new.wire_id, dispatches)

    def _new_order(
        self, books: Books, command: PlaceOrder, at: int, user_id: UserID | None
    ) -> Order:
        return Order(
            id=OrderID(base62(self._ids.next())),
            tenant_id=books.accounts[command.account_id].tenant_id,
            account_id=command.account_id,
            cl_ord_id=command.cl_ord_id,
            wire_id=WireID(base62(self._ids.next())),
            symbol=InstrumentID(command.symbol),
            side=command.side,
            ord_type=command.ord_type,
            order_qty=command.order_qty,
            price=command.price,
            stop_px=command.stop_px,
            time_in_force=command.time_in_force,
            expire_time=command.expire_time,
            reduce_only=command.reduce_only,
            strategy_id=command.strategy_id,
            manual_order_indicator=command.manual_order_indicator,
            user_id=user_id,
            status=OrdStatus.PENDING_NEW,
            created_at=at,
            transact_time=at,
        )

    # --- replace ---------------------------------------------------------------------------------

    def _replace(self, books: Books, command: ReplaceOrder, by: _By, at: int) -> Handled:
        epoch, user_id = by
        order = amendment.target(books, command, command.target)
        if isinstance(order, Refusal):
            return _refuse(books, command, None, order, at)
        terms = amendment.terms(order, command)
        refusal = terms if isinstance(terms, Refusal) else amendment.replaceable(order)
        if refusal is not None or isinstance(terms, Refusal):
            return _refuse(books, command, order, refusal, at)
        asked = self._amendment(order, command, CommandKind.REPLACE, at, terms)
        asked = replace(asked, user_id=user_id)
        instrument = _resolve(books, order.symbol)
        if isinstance(instrument, UnknownSymbol):
            return _refuse(books, command, order, Refusal(CxlRejReason.OTHER, str(instrument)), at)
        cleared = self._gate.clear_replace(order, asked, instrument, books, at)
        _remember(books, command, cleared, at)
        if cleared.approved is None:
            return _refuse(books, command, order, amendment.by_risk(cleared.decision.refusal), at)
        _claim(books, command, at, order_id=order.id)
        approved = cleared.approved
        books.put_command(replace(asked, terms=approved.terms))
        pending = replace(order, replacement=approved.terms)
        books.record(
            pending, ExecType.PENDING_REPLACE, at, ids=(command.cl_ord_id, order.cl_ord_id)
        )
        dispatches = _send(books, asked, approved, epoch, at)
        return Handled(books.orders[order.id], asked.wire_id, dispatches)

    # --- cancel ----------------------------------------------------------------------------------

    def _cancel(self, books: Books, command: CancelOrder, epoch: int | None, at: int) -> Handled:
        order = amendment.target(books, command, command.target)
        if isinstance(order, Refusal):
            return _refuse(books, command, None, order, at)
        if (refusal := amendment.cancelable(order)) is not None:
            return _refuse(books, command, order, refusal, at)
        _claim(books, command, at, order_id=order.id)
        return self._cancel_order(books, order, command, epoch, at)

    def _cancel_order(
        self,
        books: Books,
        order: Order,
        command: CancelOrder | CancelAllOrders,
        epoch: int | None,
        at: int,
    ) -> Handled:
        ids = (command.cl_ord_id, order.cl_ord_id)
        if ledger.withdraw_unsent(books, order, at):
            canceled = replace(books.orders[order.id], status=OrdStatus.CANCELED)
            books.record(canceled, ExecType.CANCELED, at, ids=ids)
            return Handled(books.orders[order.id])
        order = books.orders[order.id]
        asked = self._amendment(order, command, CommandKind.CANCEL, at)
        books.put_command(asked)
        conduct = books.accounts[order.account_id].conduct
        books.put_conduct(order.account_id, conduct.sent(at))
        books.record(replace(order, pending_cancel=True), ExecType.PENDING_CANCEL, at, ids=ids)
        dispatches = _send(books, asked, None, epoch, at)
        return Handled(books.orders[order.id], asked.wire_id, dispatches)

    def _cancel_all(
        self, books: Books, command: CancelAllOrders, epoch: int | None, at: int
    ) -> Handled:
        orders = sorted(books.orders.values(), key=lambda order: order.id)
        chosen = [order for order in orders if _chosen(books, order, command)]
        return self.cancel_these(books, command, chosen, epoch, at)

    def cancel_these(
        self,
        books: Books,
        command: CancelAllOrders,
        chosen: Sequence[Order],
        epoch: int | None,
        at: int,
    ) -> Handled:
        """Cancel orders that were chosen, all under the one ClOrdID of a mass cancel."""
        _claim(books, command, at)
        handled = [self._cancel_order(books, order, command, epoch, at) for order in chosen]
        report = OrderMassCancelReport(
            account_id=command.account_id,
            cl_ord_id=command.cl_ord_id,
            orders=tuple(books.orders[order.id] for order in chosen),
        )
        return Handled(report, None, tuple(d for each in handled for d in each.dispatches))

    # --- both ------------------------------------------------------------------------------------

    def _amendment(
        self,
        order: Order,
        command: OrderCommand,
        kind: CommandKind,
        at: int,
        terms: Replacement | None = None,
    ) -> Command:
        return Command(
            wire_id=WireID(base62(self._ids.next())),
            account_id=order.account_id,
            order_id=order.id,
            cl_ord_id=command.cl_ord_id,
            orig_cl_ord_id=order.cl_ord_id,
            kind=kind,
            state=CommandState.QUEUED,
            created_at=at,
            terms=terms,
            traceparent=command.traceparent,
        )


def _remember[T](
    books: Books, command: PlaceOrder | ReplaceOrder, cleared: Cleared[T], at: int
) -> None:
    """Keep a decision, and what else risk has found of the account."""
    books.new_decisions.append((command.account_id, command.cl_ord_id, cleared.decision))
    if cleared.conduct is not None:
        books.put_conduct(command.account_id, cleared.conduct)
    if cleared.reduces is not None:
        books.reduce(command.account_id, cleared.reduces, RISK, at)


def _send(
    books: Books, asked: Command, approved: ApprovedReplace | None, epoch: int | None, at: int
) -> tuple[Dispatch, ...]:
    """Dispatch the amendment just queued, if it may leave now: else its session will."""
    command = ledger.next_to_send(books, books.orders[asked.order_id])
    if epoch is None or command is None or command.wire_id != asked.wire_id:
        return ()
    return (ledger.dispatch(books, command, approved, epoch, at),)


def _repeat(books: Books, claim: Claim, command: OrderCommand) -> Decided:
    """Give the first decision again, with the order as it is now; or say that the body differs."""
    order = books.orders.get(claim.order_id) if claim.order_id else None
    if claim.body_hash != body_hash(command):
        message = f"clOrdId {command.cl_ord_id} was used before with another body: use a new one"
        return ClOrdIdConflict(message, order)
    if claim.reject_seq is not None:
        return books.cancel_rejects[claim.account_id, claim.reject_seq]
    return Repeated(claim) if order is None else order


def _claim(
    books: Books,
    command: OrderCommand,
    at: int,
    *,
    order_id: OrderID | None = None,
    reject_seq: int | None = None,
) -> None:
    books.put_claim(
        Claim(
            account_id=command.account_id,
            cl_ord_id=command.cl_ord_id,
            kind=type(command).__name__,
            body_hash=body_hash(command),
            order_id=order_id,
            reject_seq=reject_seq,
            claimed_at=at,
        )
    )


def _resolve(books: Books, symbol: str) -> Instrument | UnknownSymbol:
    try:
        return books.catalogue.resolve(symbol)
    except UnknownSymbol as unknown:
        return unknown


def _refused(books: Books, order: Order, check: Check | None, at: int) -> Order:
    reason = check.reason if check and check.reason else OrdRejReason.OTHER
    return _reject(books, order, reason, (check.text if check else None) or str(reason), at)


def _reject(books: Books, order: Order, reason: OrdRejReason, text: str, at: int) -> Order:
    refused = replace(
        order,
        status=OrdStatus.REJECTED,
        rejected_by=RejectedBy.GATEWAY,
        ord_rej_reason=reason,
        text=text,
    )
    books.record(refused, ExecType.REJECTED, at)
    return books.orders[order.id]


def _refuse(
    books: Books,
    command: ReplaceOrder | CancelOrder,
    order: Order | None,
    refusal: Refusal | None,
    at: int,
) -> Handled:
    refusal = refusal or Refusal(CxlRejReason.OTHER, "refused")
    orig = command.target.orig_cl_ord_id or (order.cl_ord_id if order else None)
    response_to = (
        CxlRejResponseTo.ORDER_CANCEL_REQUEST
        if isinstance(command, CancelOrder)
        else CxlRejResponseTo.ORDER_CANCEL_REPLACE_REQUEST
    )
    report = books.record_cancel_reject(
        (command.account_id, command.cl_ord_id, orig),
        order,
        response_to,
        refusal.reason,
        RejectedBy.GATEWAY,
        refusal.text,
        at,
    )
    order_id = order.id if order else None
    _claim(books, command, at, order_id=order_id, reject_seq=report.seq)
    return Handled(report)


def _chosen(books: Books, order: Order, command: CancelAllOrders) -> bool:
    if order.account_id != command.account_id or amendment.cancelable(order) is not None:
        return False
    if command.side is not None and order.side is not command.side:
        return False
    if command.symbol is None:
        return True
    instrument = _resolve(books, command.symbol)
    return isinstance(instrument, Instrument) and order.symbol == instrument.id
