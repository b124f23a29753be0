"""The natural batch: what is queued now, up to 64 commands, goes into one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trading.books import Books, Wants
from trading.clerk import Clerk, Decided, Handled
from trading.command import CancelAllOrders, CancelOrder, OrderCommand, PlaceOrder, ReplaceOrder
from trading.emergency import KnownOrders
from trading.ids import AccountID, InstrumentID, UserID, WireID
from trading.instrument import Catalogue, UnknownSymbol
from trading.ledger import Dispatch
from trading.order import Order
from trading.outcome import BrokerUnavailable, OutcomeUnknown, Overloaded
from trading.permit import Permits
from trading.ports import Clock, Doorbell, Quotes
from trading.probe import NO_PROBE, Leg, Probe, Span
from trading.store import Store, StoreBusy, StoreOverloaded, StoreUnavailable

logger = logging.getLogger(__name__)

BATCH_MAX = 64
_QUEUE_MAX = 4096


class Session(Protocol):
    """A broker's session, in this process or another, as far as accepting commands needs it."""

    @property
    def epoch(self) -> int | None:
        """The lease under which this process sends; None where another does."""

    @property
    def is_open(self) -> bool:
        """Whether commands are taken."""

    def dispatch(self, dispatches: Sequence[Dispatch]) -> None:
        """Send commands that are committed as SENT."""

    def take_back(self, dispatches: Sequence[Dispatch]) -> None:
        """Queue again what a commit of unknown outcome may have marked as sent: it never left."""

    def expect(self, wire_id: WireID) -> asyncio.Future[None]:
        """Return a future that is done when the broker's first word on a command is recorded."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was decided and committed, and the broker's first word on it, if that is to come."""

    decided: Decided
    first_word: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    command: OrderCommand
    broker: str
    awaits_broker: bool
    user_id: UserID | None
    span: Span
    done: asyncio.Future[Settled]


class CommandQueue:
    """Commits clients' commands in batches, in a task of its own.

    A client that goes away cancels only its waiting: the transaction belongs to the queue. An
    account whose commands cannot be committed with the others' goes on in a lane of its own, until
    all that it has there can be, so that it holds nobody up.
    """

    def __init__(
        self,
        *,
        store: Store,
        clerk: Clerk,
        catalogue: Catalogue,
        sessions: Mapping[str, Session],
        quotes: Quotes,
        doorbell: Doorbell,
        clock: Clock,
        known: KnownOrders | None = None,
        permits: Permits | None = None,
        probe: Probe = NO_PROBE,
    ) -> None:
        """Take the broker sessions that this process owns, by the broker's name."""
        self._store = store
        self._clerk = clerk
        self._catalogue = catalogue
        self._sessions = sessions
        self._quotes = quotes
        self._doorbell = doorbell
        self._clock = clock
        self._known = known or KnownOrders()
        self._permits = permits or Permits(clock)
        self._probe = probe
        self._queue: deque[_Pending] = deque()
        self._lanes: dict[AccountID, deque[_Pending]] = {}
        self._working_off: dict[AccountID, asyncio.Task[None]] = {}
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._worker = asyncio.create_task(self._work(), name="desk")

    async def stop(self) -> None:
        """Commit what is queued, and end."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await self._idle.wait()
        while self._working_off:
            await asyncio.wait(self._working_off.values())
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker

    async def put(
        self,
        command: OrderCommand,
        broker: str,
        *,
        awaits_broker: bool,
        user_id: UserID | None = None,
    ) -> Settled:
        """Queue a command for an account's broker, and return what was decided once committed.

        Raises BrokerUnavailable, Overloaded, OutcomeUnknown.
        """
        if self._worker is None or not self._is_open(broker):
            raise BrokerUnavailable(
                f"no session with {broker} is open: try again", retry_after_ms=1000
            )
        if len(self._queue) + sum(map(len, self._lanes.values())) >= _QUEUE_MAX:
            raise Overloaded("too many commands are waiting: nothing was done", retry_after_ms=100)
        done: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        with self._probe.begin(Leg.DESK, command.traceparent) as span:
            self._enqueue(_Pending(command, broker, awaits_broker, user_id, span, done))
            settled = await done
            decided = settled.decided
            span.tell(
                outcome=decided.status if isinstance(decided, Order) else type(decided).__name__
            )
            return settled

    def _enqueue(self, pending: _Pending) -> None:
        command = pending.command
        if (lane := self._lanes.get(command.account_id)) is not None:
            lane.append(pending)
            self._work_off(command.account_id)
        else:
            self._queue.append(pending)
            self._idle.clear()
            self._filled.set()

    def _is_open(self, broker: str) -> bool:
        session = self._sessions.get(broker)
        return session is not None and session.is_open

    async def _work(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._settle(_taken(self._queue))
            self._idle.set()

    async def _settle(self, batch: Sequence[_Pending]) -> bool:
        """Commit a batch, or what of it can be; tell whether all of it could."""
        try:
            settled = await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - each client is told of its own failure
            return await self._part(batch, error)
        for pending, each in zip(batch, settled, strict=True):
            if not pending.done.done():
                pending.done.set_result(each)
        return True

    async def _part(self, batch: Sequence[_Pending], error: Exception) -> bool:
        """Try a batch again in its parts: each account by itself, then each of its commands."""
        accounts: dict[AccountID, list[_Pending]] = {}
        for pending in batch:
            accounts.setdefault(pending.command.account_id, []).append(pending)
        is_locked = isinstance(error, StoreBusy) and not isinstance(error, StoreOverloaded)
        if len(accounts) > 1 and not isinstance(error, StoreOverloaded):
            for account_id, theirs in accounts.items():
                self._open_lane(account_id, theirs)
        elif len(batch) > 1 and not isinstance(error, StoreBusy):
            return all([await self._settle([pending]) for pending in batch])
        else:
            # With no connection free, or the account locked, more tries would only hold up others.
            for pending in batch:
                _fail(pending, error)
            if is_locked:
                self._open_lane(batch[0].command.account_id, ())
        return False

    def _open_lane(self, account_id: AccountID, theirs: Sequence[_Pending]) -> None:
        """Let an account go on by itself, with what it has in the queue behind, in its order."""
        lane = self._lanes.setdefault(account_id, deque())
        lane.extend(theirs)
        if later := [each for each in self._queue if each.command.account_id == account_id]:
            lane.extend(later)
            others = [each for each in self._queue if each.command.account_id != account_id]
            self._queue.clear()
            self._queue.extend(others)
        self._work_off(account_id)

    def _work_off(self, account_id: AccountID) -> None:
        """Commit what is in a lane, beside the queue's own worker."""
        if account_id not in self._working_off and self._lanes[account_id]:
            work = self._work_in_lane(account_id)
            task = asyncio.create_task(work, name=f"desk: {account_id}")
            self._working_off[account_id] = task

    async def _work_in_lane(self, account_id: AccountID) -> None:
        lane, is_free = self._lanes[account_id], False
        try:
            while lane:
                is_free = await self._settle(_taken(lane))
        finally:
            del self._working_off[account_id]
        if is_free:
            del self._lanes[account_id]

    async def _commit(self, batch: Sequence[_Pending]) -> list[Settled]:
        accounts = sorted({pending.command.account_id for pending in batch})
        at = self._clock.now()
        handled: list[Handled] = []
        elsewhere: set[str] = set()
        try:
            # Strangers wait but briefly for an account that is locked: it then goes on by itself.
            brief, urgent = len(accounts) > 1, _is_urgent(batch)
            async with self._store.transaction(urgent=urgent, brief=brief) as transaction:
                await transaction.lock(accounts)
                books = await transaction.load(wants([p.command for p in batch], self._catalogue))
                for p in batch:
                    epoch = self._epoch(p, books)
                    handled.append(self._clerk.handle(books, p.command, epoch, at, p.user_id))
                    if epoch is None:
                        elsewhere.add(p.broker)
                if books.latched:
                    # Rare, and then worth another statement: two people must release it.
                    turn = await transaction.load(Wants(accounts=frozenset(), states=True))
                    books.latch(turn.states, at)
                await transaction.save(books)
        except StoreUnavailable:
            for pending, each in zip(batch, handled, strict=False):
                self._sessions[pending.broker].take_back(each.dispatches)
            raise
        # From here on it is durable: now, and not before, may anything leave.
        for pending in batch:
            traceparent, commands = pending.span.traceparent, len(batch)
            self._probe.begin(Leg.TRANSACTION, traceparent, at, commands=commands).end()
        settled = [self._expect(p, h) for p, h in zip(batch, handled, strict=True)]
        for pending, each in zip(batch, handled, strict=True):
            self._sessions[pending.broker].dispatch(each.dispatches)
        self._doorbell.ring(accounts)
        self._announce(books)
        self._known.remember(books.orders.values())
        for broker in elsewhere:
            self._doorbell.ring_session(broker)
        # Buying power rests on the marks of all that is held, so those must stay fresh as well.
        self._quotes.want({symbol for _, symbol in books.positions})
        return settled

    def _announce(self, books: Books) -> None:
        """Say what risk refused, a line for each, and which accounts it has restricted."""
        for account_id, cl_ord_id, decision in books.new_decisions:
            if (check := decision.refusal) is not None:
                words = (account_id, cl_ord_id, check.name, check.text)
                logger.warning("risk refused account=%s clOrdId=%s control=%s %s", *words)
        if books.new_scope_states:
            self._permits.hear(books.states)
        if books.new_state_changes:
            self._doorbell.ring_states(books.new_state_changes)

    def _epoch(self, pending: _Pending, books: Books) -> int | None:
        """Return our lease of the session, unless a later owner has fenced the account."""
        epoch = self._sessions[pending.broker].epoch
        account = books.accounts[pending.command.account_id]
        return epoch if epoch is not None and account.fence <= epoch else None

    def _expect(self, pending: _Pending, handled: Handled) -> Settled:
        if not pending.awaits_broker or handled.wire_id is None:
            return Settled(handled.decided)
        # Asked for before it is sent: the broker may answer before the client gets to wait.
        return Settled(handled.decided, self._sessions[pending.broker].expect(handled.wire_id))


def _taken(queue: deque[_Pending]) -> list[_Pending]:
    """Take the next batch."""
    return [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]


def _is_urgent(batch: Sequence[_Pending]) -> bool:
    """Whether a batch has a cancel, which must get through whatever else there is."""
    return any(isinstance(p.command, CancelOrder | CancelAllOrders) for p in batch)


def wants(commands: Sequence[OrderCommand], catalogue: Catalogue) -> Wants:
    """Say what a transaction must see to decide these commands."""
    keys = {(each.account_id, each.cl_ord_id) for each in commands}
    targets = [
        (each.account_id, each.target)
        for each in commands
        if isinstance(each, ReplaceOrder | CancelOrder)
    ]
    keys |= {(account, t.orig_cl_ord_id) for account, t in targets if t.orig_cl_ord_id}
    return Wants(
        accounts=frozenset(each.account_id for each in commands),
        cl_ord_ids=frozenset(keys),
        order_ids=frozenset(t.order_id for _, t in targets if t.order_id),
        open_orders_of=frozenset(_mass_canceled(commands)),
        symbols=frozenset(_symbols(commands, catalogue)),
        judges=any(isinstance(each, PlaceOrder | ReplaceOrder) for each in commands),
    )


def _mass_canceled(commands: Sequence[OrderCommand]) -> set[AccountID]:
    return {each.account_id for each in commands if isinstance(each, CancelAllOrders)}


def _symbols(commands: Sequence[OrderCommand], catalogue: Catalogue) -> set[InstrumentID]:
    found = set()
    for each in commands:
        if isinstance(each, PlaceOrder):
            with contextlib.suppress(UnknownSymbol):
                found.add(catalogue.resolve(each.symbol).id)
    return found


def _fail(pending: _Pending, error: Exception) -> None:
    if pending.done.done():
        return
    if isinstance(error, StoreBusy):
        text = "the store is too busy: nothing was done, try again"
        pending.done.set_exception(Overloaded(text, retry_after_ms=250))
        return
    if isinstance(error, StoreUnavailable):
        text = "whether the command was recorded is not known: ask again with the same clOrdId"
        pending.done.set_exception(OutcomeUnknown(text, retry_after_ms=250))
        return
    pending.done.set_exception(error)
