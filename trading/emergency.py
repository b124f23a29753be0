"""Emergency cancels: a cancel that leaves while the store is down, and is recorded afterwards.

It is the one thing that may reach a broker without a committed record: it can only lower risk, and
the line in a local journal, durable before the first byte, is read in when the store is back.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from trading.amendment import Refusal, cancelable
from trading.books import Books, Wants
from trading.command import CancelOrder, Claim, Command, CommandKind, CommandState, body_hash
from trading.execution import ExecType
from trading.ids import AccountID, ClOrdID, OrderID, WireID, base62
from trading.order import Order, OrdStatus
from trading.ports import Broker, BrokerError, Clock
from trading.reject import CxlRejResponseTo, RejectedBy
from trading.store import Store

logger = logging.getLogger(__name__)

_KNOWN_MAX = 50_000
_TEXT = "emergency cancel, while the store was down"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyCancel:
    """One line of the journal: which order, by which client's command, under which wire id."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    body_hash: str
    order_id: OrderID
    order_wire_id: WireID
    orig_cl_ord_id: ClOrdID | None
    wire_id: WireID
    asked_at: int


class EmergencyJournal(Protocol):
    """A local file of emergency cancels, which outlives this process."""

    async def append(self, entry: EmergencyCancel) -> None:
        """Write a line, durable when this returns. Raises OSError."""

    async def entries(self) -> Sequence[EmergencyCancel]:
        """Return the lines of this process, and of those before it that have ended."""

    async def forget(self, entries: Collection[EmergencyCancel]) -> None:
        """Strike out lines that the store has now."""


class KnownOrders:
    """The open orders that this process has seen, for the time when it can look none up."""

    def __init__(self) -> None:
        """Know none."""
        self._orders: dict[OrderID, Order] = {}

    def remember(self, orders: Iterable[Order]) -> None:
        """Take in orders as they were committed; those that have ended are forgotten."""
        for order in orders:
            room = order.id in self._orders or len(self._orders) < _KNOWN_MAX
            if order.is_open and room:
                self._orders[order.id] = order
            else:
                self._orders.pop(order.id, None)

    def find(self, command: CancelOrder) -> Order | None:
        """Find the order that a cancel is about, if this process has seen it."""
        target = command.target
        if target.order_id is not None:
            order = self._orders.get(target.order_id)
            return order if order and order.account_id == command.account_id else None
        of_account = (o for o in self._orders.values() if o.account_id == command.account_id)
        return next((o for o in of_account if o.cl_ord_id == target.orig_cl_ord_id), None)


class EmergencyDesk:
    """Sends cancels while the store is down, over a connection of its own.

    The session's may be closed, because an owner that cannot renew its lease fences itself.
    """

    def __init__(
        self,
        *,
        journal: EmergencyJournal,
        known: KnownOrders,
        open_broker: Callable[[], Broker],
        clock: Clock,
    ) -> None:
        """Take the journal, and how to reach the broker anew."""
        self._journal = journal
        self._known = known
        self._open_broker = open_broker
        self._clock = clock

    async def cancel(self, command: CancelOrder) -> Order | None:
        """Cancel at the broker; None if the order is not known here, or nothing could be sent."""
        order = self._known.find(command)
        if order is None:
            return None
        entry = EmergencyCancel(
            account_id=command.account_id,
            cl_ord_id=command.cl_ord_id,
            body_hash=body_hash(command),
            order_id=order.id,
            order_wire_id=order.wire_id,
            orig_cl_ord_id=order.cl_ord_id,
            wire_id=_wire_id(command),
            asked_at=self._clock.now(),
        )
        await self._journal.append(entry)
        if not await self._send(order, entry):
            return None
        logger.warning("emergency cancel of %s, as the store is down", order.id)
        return replace(order, pending_cancel=True, text="emergency cancel: the store is down")

    async def _send(self, order: Order, entry: EmergencyCancel) -> bool:
        broker = self._open_broker()
        try:
            await broker.connect(None)
            await broker.cancel(order, entry.wire_id)
        except BrokerError as error:
            logger.warning("an emergency cancel of %s failed: %s", order.id, error)
            return error.may_have_applied
        finally:
            with suppress(BrokerError):
                await broker.close()
        return True


def _wire_id(command: CancelOrder) -> WireID:
    """Derive the id from the command's own, so that asking again is the same cancel."""
    digest = hashlib.sha256(f"{command.account_id}\n{command.cl_ord_id}".encode()).digest()
    return WireID(base62(int.from_bytes(digest[:16])))


async def read_in(store: Store, journal: EmergencyJournal, clock: Clock) -> int:
    """Record the emergency cancels that the store has not heard of; return how many there were.

    Each becomes a CANCEL that was SENT: whoever owns the session then asks what came of it.
    Raises StoreUnavailable.
    """
    entries = await journal.entries()
    for entry in entries:
        async with store.transaction() as transaction:
            await transaction.lock([entry.account_id])
            key = (entry.account_id, entry.cl_ord_id)
            wants = Wants(
                accounts=frozenset({entry.account_id}),
                cl_ord_ids=frozenset({key}),
                order_ids=frozenset({entry.order_id}),
            )
            books = await transaction.load(wants)
            if key not in books.claims and entry.order_id in books.orders:
                _record(books, entry, clock.now())
            await transaction.save(books)
    await journal.forget(entries)
    return len(entries)


def _record(books: Books, entry: EmergencyCancel, at: int) -> None:
    order = books.orders[entry.order_id]
    books.put_claim(
        Claim(
            account_id=entry.account_id,
            cl_ord_id=entry.cl_ord_id,
            kind=CancelOrder.__name__,
            body_hash=entry.body_hash,
            order_id=order.id,
            reject_seq=None,
            claimed_at=at,
        )
    )
    if (refusal := cancelable(order)) is not None:
        _answer(books, order, entry, refusal, at)
        return
    books.put_command(
        Command(
            wire_id=entry.wire_id,
            account_id=entry.account_id,
            order_id=order.id,
            cl_ord_id=entry.cl_ord_id,
            orig_cl_ord_id=entry.orig_cl_ord_id,
            kind=CommandKind.CANCEL,
            state=CommandState.SENT,
            created_at=entry.asked_at,
            attempt=1,
            sent_at=entry.asked_at,
            evidence=_TEXT,
        )
    )
    ids = (entry.cl_ord_id, entry.orig_cl_ord_id)
    pending = replace(order, pending_cancel=True)
    books.record(pending, ExecType.PENDING_CANCEL, at, ids=ids, text=_TEXT)


def _answer(books: Books, order: Order, entry: EmergencyCancel, refusal: Refusal, at: int) -> None:
    """Report what came of a cancel whose order the broker's own word has changed before it."""
    if order.status is OrdStatus.CANCELED:
        # The broker's report could not name the ClOrdID, which nobody had recorded yet.
        ids = (entry.cl_ord_id, entry.orig_cl_ord_id)
        books.record(order, ExecType.RESTATED, at, ids=ids, text=_TEXT)
        return
    books.record_cancel_reject(
        (entry.account_id, entry.cl_ord_id, entry.orig_cl_ord_id),
        order,
        CxlRejResponseTo.ORDER_CANCEL_REQUEST,
        refusal.reason,
        RejectedBy.GATEWAY,
        f"{_TEXT}: {refusal.text}",
        at,
    )
