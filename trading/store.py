"""The system of record, as the core sees it: transactions, lookups and the query side."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from trading.account import Account, Position
from trading.audit import Act, ActLog
from trading.books import Books, Wants
from trading.command import Command, CommandState
from trading.control import ApprovalRequest, Confirmation, TradingStateChange, TradingStates
from trading.decision import RiskDecision
from trading.execution import Break, BreakKind, ExecutionReport, OrderCancelReject, Report
from trading.exposure import Fold, Ledger, Traded
from trading.ids import AccountID, ClOrdID, InstrumentID, OrderID, TenantID, WireID
from trading.limitrequest import LimitRequest, LimitVersion
from trading.limits import Limit, Limits, LimitSet, Whose
from trading.order import Order, OrdStatus, Side
from trading.quote import Quote
from trading.scope import Scope


class Transaction(Protocol):
    """One transaction of the store: lock, then load, then save; committed on a clean exit."""

    async def lock(self, accounts: Collection[AccountID]) -> None:
        """Lock the account rows in the order of their ids; always first, and nothing else."""

    async def load(self, wants: Wants) -> Books:
        """Read what was asked for, in a number of statements that does not grow with it."""

    async def save(self, books: Books) -> None:
        """Write all changes of the books, and the outbox rows of their reports."""


class Store(Protocol):
    """The system of record."""

    @property
    def scopes(self) -> Scopes:
        """Trading states by scope."""

    @property
    def audit(self) -> ActLog:
        """Where refused acts are recorded."""

    def transaction(
        self, *, urgent: bool = False, brief: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction; an urgent one waits for no order. Raises StoreUnavailable.

        One that is brief raises StoreBusy early where an account is locked.
        """

    async def accounts_of(self, wire_ids: Collection[WireID]) -> Mapping[WireID, AccountID]:
        """Return the accounts whose orders these ids address; an id never changes its account."""

    async def accounts_at(self, broker: str) -> Sequence[AccountID]:
        """Return the accounts that a broker serves."""

    async def account_ids(self, tenant_id: TenantID) -> Sequence[AccountID]:
        """Return the accounts of a tenant."""

    async def open_orders(self, accounts: Collection[AccountID]) -> Sequence[Order]:
        """Return the orders that are open or have an open command, oldest first."""

    async def queued(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        """Return the QUEUED commands, oldest first: asked for four times a second."""

    async def command_states(self, wire_ids: Collection[WireID]) -> Mapping[WireID, CommandState]:
        """Return how far commands got."""

    async def fence(self, accounts: Collection[AccountID], epoch: int) -> None:
        """Lock accounts and raise their fence to an epoch: earlier owners write there no more."""

    async def open_commands(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        """Return the ledger's open commands, oldest first."""

    async def cursor(self, broker: str) -> str | None:
        """Return the place in a broker's stream up to which everything is recorded."""

    async def approval_request(self, request_id: str) -> ApprovalRequest | None:
        """Return a request to loosen that is not approved, expired or overtaken.

        One is overtaken when a trading state that it was about has changed since.
        """


class Scopes(Protocol):
    """Trading states by scope, and what the owners of sessions have taken in of them."""

    async def trading_states(self) -> TradingStates:
        """Return the states of all scopes as of now."""

    async def accounts_in(self, scope: Scope) -> Sequence[AccountID]:
        """Return the accounts of which some orders may be in a scope, in order."""

    async def has_scope(self, scope: Scope, tenant_id: TenantID) -> bool:
        """Tell whether there is what a scope names; a user must be the tenant's."""

    async def clean(self, epoch: int, at: int) -> None:
        """Note when the broker showed no order any more that a state was to cancel."""

    async def confirmations(self) -> Sequence[Confirmation]:
        """Return how far the owners of all brokers' sessions are."""

    async def own(self, confirmation: Confirmation) -> None:
        """Say that a session has a new owner, and which states it has begun with."""

    async def confirm(self, confirmation: Confirmation) -> None:
        """Say that a session's owner has taken states in; a later owner's word stands."""

    async def disown(self, confirmation: Confirmation) -> None:
        """Say that a session has no owner any more: nobody need be waited for."""


class Evidence(Protocol):
    """What monitors read, apart from what the order path keeps, and where they got to."""

    async def books(self, accounts: Collection[AccountID]) -> Books:
        """Return accounts with positions, marks and limits as of one moment: only to look at."""

    async def ledger(self, account_id: AccountID, after_seq: int, first: int) -> Ledger:
        """Return an account's ledger and its first fills after a number, as of one moment."""

    async def ledgers(self, after_seqs: Mapping[AccountID, int]) -> Sequence[Ledger]:
        """Return accounts' ledgers and all fills after a number of each, as of one moment.

        For those of whom little is new: what each has reported since is asked for one by one.
        """

    async def fills(
        self, account_id: AccountID, after_seq: int, until_seq: int, first: int
    ) -> Sequence[Traded]:
        """Return an account's first fills after a sequence number, and up to another one."""

    async def checkpoints(self, accounts: Collection[AccountID]) -> Mapping[AccountID, Fold]:
        """Return where earlier monitors got to with each account; absent if nowhere."""

    async def keep(self, account_id: AccountID, fold: Fold, epoch: int) -> None:
        """Keep a checkpoint, unless a session's later owner has kept one; waits for no lock."""

    async def newest_breaks(
        self, accounts: Collection[AccountID], kinds: Collection[BreakKind]
    ) -> Sequence[Break]:
        """Return the newest break of these kinds of each account that has one."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """The limits as their newest version has them, and the accounts that they are about."""

    known: LimitSet
    accounts: Mapping[AccountID, Whose]


@dataclass(frozen=True, slots=True)
class LimitsSeen:
    """Whose limits are looked at: those for all, a tenant's, and those of some of its accounts."""

    tenant_id: TenantID
    accounts: frozenset[AccountID]

    def sees(self, limit: Limit) -> bool:
        """Tell whether a limit is among them."""
        scope = limit.scope
        mine = scope.account_id is None or scope.account_id in self.accounts
        return mine and scope.tenant_id in {None, self.tenant_id}


class LimitTransaction(Protocol):
    """One change of limits, committed on a clean exit."""

    async def lock(self) -> LimitState:
        """Wait until no other change is under way, then read; always first."""

    async def request(self, request_id: str) -> LimitRequest | None:
        """Return a request, whatever became of it, or None."""

    async def put(self, request: LimitRequest) -> None:
        """Add a request, or write what became of it."""

    async def record(self, version: LimitVersion) -> None:
        """Add the next version, which whoever reads after the commit is judged by."""

    async def act(self, act: Act) -> None:
        """Record who does this."""


class LimitStore(Protocol):
    """Where limits are changed."""

    @property
    def audit(self) -> ActLog:
        """Where refused acts are recorded."""

    def transaction(self) -> AbstractAsyncContextManager[LimitTransaction]:
        """Begin a change, which waits for no order. Raises StoreUnavailable."""

    async def outlast(self, accounts: Collection[AccountID]) -> None:
        """Wait until every transaction is over that has a lock on one of these accounts now.

        A transaction reads the limits after it has locked: what locks later reads what is new.
        """

    async def now(self) -> LimitSet:
        """Return the limits as their newest version has them."""

    async def versions(
        self, seen: LimitsSeen, first: int, before: int | None
    ) -> Sequence[LimitVersion]:
        """Return versions that set some of the limits seen, and those; the newest first."""

    async def requests(self, tenant_id: TenantID, first: int) -> Sequence[LimitRequest]:
        """Return a tenant's newest requests, the newest first."""

    async def at_version(self, version: int) -> LimitSet:
        """Build the limits of a version anew, from the record; what it held at an instant too."""


class ReferencePrices(Protocol):
    """Reference prices as risk reads them, and what is wanted of them."""

    async def put(self, quotes: Sequence[Quote]) -> None:
        """Store the latest quotes, in place of those before."""

    async def ages(self, symbols: Collection[InstrumentID]) -> Mapping[InstrumentID, int]:
        """Return when each symbol's reference was received, in UTC nanoseconds; absent if never."""


class Wanted(Protocol):
    """Which reference prices are needed: any process says so, and the owner of the feed looks."""

    async def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that these are needed, for some minutes; cheap to repeat with every order."""

    async def wanted(self) -> Collection[InstrumentID]:
        """Return the symbols that some process has said it needs, and not too long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders of an account to list; an empty filter lists all."""

    ord_status: frozenset[OrdStatus] = frozenset()
    symbol: str | None = None
    side: Side | None = None
    open_only: bool = False


@dataclass(frozen=True, slots=True)
class Page[T]:
    """A page of a list by keyset, the sequence number it is as of, and whether more follows."""

    items: Sequence[T]
    has_next: bool
    as_of_seq: int = 0


class Reads(Protocol):
    """The query side. It filters by nothing but its arguments: callers check entitlement first."""

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        """Return these accounts, in the order of their ids."""

    async def order(self, order_id: OrderID) -> Order | None:
        """Return an order, or None."""

    async def orders_by_id(self, ids: Collection[OrderID]) -> Mapping[OrderID, Order]:
        """Return those orders that there are."""

    async def order_by_cl_ord_id(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Order | None:
        """Return the order whose chain has this ClOrdID, or None."""

    async def orders_commanded(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Sequence[Order]:
        """Return the orders that one command was about: many, where it was a mass cancel."""

    async def cancel_reject(
        self, account_id: AccountID, cl_ord_id: ClOrdID
    ) -> OrderCancelReject | None:
        """Return the refusal of the cancel or replace with this ClOrdID, or None."""

    async def orders(
        self, account_id: AccountID, which: OrderFilter, first: int, after: OrderID | None
    ) -> Page[Order]:
        """Return orders, newest first, from before the one given."""

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        """Return reports in their sequence, after a sequence number."""

    async def reports_at(self, keys: Collection[tuple[AccountID, int]]) -> Sequence[Report]:
        """Return those reports that there are, by account and sequence number, in that order."""

    async def fills_of(
        self, order_ids: Collection[OrderID]
    ) -> Mapping[OrderID, Sequence[ExecutionReport]]:
        """Return the fills of orders as they were reported, in sequence."""

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        """Return all positions of accounts in order: flat ones, and those only reserved, too."""

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        """Return the last sequence number of each account, in one statement."""

    async def limits(self, account_id: AccountID) -> Limits | None:
        """Return an account's limits as their newest version has them, or None without account."""

    async def decision(self, account_id: AccountID, cl_ord_id: ClOrdID) -> RiskDecision | None:
        """Return the decision on the command with this ClOrdID, or None where none was needed."""

    async def decisions_of(self, order_ids: Collection[OrderID]) -> Mapping[OrderID, RiskDecision]:
        """Return the decisions under which orders were placed, as far as there are any."""

    async def breaks(self, account_id: AccountID, first: int) -> Sequence[Break]:
        """Return the newest breaks of an account."""

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        """Return changes of trading state after an id, in order."""


class Leases(Protocol):
    """Leases by name, each held by one process at a time, whose epoch rises with every holder.

    No wall clock decides: who waits for a lease counts its term on a clock of its own, from when
    the lease was last seen to change.
    """

    async def acquire(self, name: str, holder: str, ttl_s: float) -> int | None:
        """Take a lease that is free or has run out; return its epoch, or None while it is held."""

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        """Begin the term anew; False where the lease has passed to a later epoch."""

    async def release(self, name: str, epoch: int) -> None:
        """Give a lease up before its time; nothing happens where it has passed on already."""


SHARDS = 8
"""How many parts the outbox is relayed in. Rows remember theirs, so that it never changes."""


def shard_of(account_id: AccountID) -> int:
    """Return the part of the outbox that an account belongs to, the same in every process."""
    return zlib.crc32(account_id.encode()) % SHARDS


class StoreUnavailable(Exception):
    """The store did not answer; whether a commit took effect must be asked again by ClOrdID."""


class StoreBusy(StoreUnavailable):
    """The store gave the transaction up, as for a lock that stayed taken: nothing was done."""


class StoreOverloaded(StoreBusy):
    """All connections stayed taken: nothing was done, and trying again at once is no use."""
