"""A store in memory that locks, loads, saves and rolls back, and fails on demand."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import pytest

from tests.trading.builders import FUTURE, STOCK, assert_gapless
from trading.account import Account, Position, TradingState
from trading.audit import Act
from trading.books import Books, ClaimKey, Wants
from trading.command import Claim, Command, CommandState
from trading.control import (
    ApprovalRequest,
    Confirmation,
    MassAction,
    ScopeState,
    TradingStateChange,
    TradingStates,
)
from trading.decision import RiskDecision
from trading.execution import Break, ExecutionReport, Fill, OrderCancelReject, Report
from trading.ids import AccountID, ClOrdID, InstrumentID, OrderID, TenantID, UserID, WireID
from trading.instrument import Catalogue
from trading.limits import Limits
from trading.order import Order, Resting
from trading.quote import Quote
from trading.scope import Scope, ScopeKind
from trading.store import OrderFilter, Page, StoreBusy, StoreOverloaded, StoreUnavailable

_TURN = AccountID("the turn to change a state")


class Failure(Enum):
    """When the next transaction fails: its commit may or may not have taken effect."""

    AT_BEGIN = auto()
    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


@dataclass
class State:
    """The tables. The constraints of the real ones are asserted when a transaction commits."""

    accounts: dict[AccountID, Account] = field(default_factory=dict)
    orders: dict[OrderID, Order] = field(default_factory=dict)
    commands: dict[WireID, Command] = field(default_factory=dict)
    claims: dict[ClaimKey, Claim] = field(default_factory=dict)
    positions: dict[tuple[AccountID, InstrumentID], Position] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    limits: dict[AccountID, Limits] = field(default_factory=dict)
    references: dict[InstrumentID, Quote] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    breaks: list[Break] = field(default_factory=list)
    decisions: dict[ClaimKey, RiskDecision] = field(default_factory=dict)
    changes: list[TradingStateChange] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    scope_states: dict[int, ScopeState] = field(default_factory=dict)

    def copy(self) -> "State":
        return State(**{name: copy(value) for name, value in vars(self).items()})

    def apply(self, books: Books) -> None:
        """Write what the books changed. Raises ValueError where a constraint is broken."""
        self.accounts |= {each: books.accounts[each] for each in books.changed_accounts}
        self.orders |= {each: books.orders[each] for each in books.changed_orders}
        self.commands |= {each: books.commands[each] for each in books.changed_commands}
        self.positions |= {each: books.positions[each] for each in books.changed_positions}
        for claim in books.new_claims:
            key = claim.account_id, claim.cl_ord_id
            if key in self.claims:
                raise ValueError(f"the ClOrdID {key} is taken")
            self.claims[key] = claim
        if self.keys & set(books.new_broker_keys):
            raise ValueError("a broker's event is recorded already")
        known = {(each.account_id, each.exec_id) for each in self.fills}
        if known & {(each.account_id, each.exec_id) for each in books.new_fills}:
            raise ValueError("a fill is recorded already")
        self.keys |= set(books.new_broker_keys)
        self.fills += books.new_fills
        self.reports += books.new_reports
        self.breaks += books.new_breaks
        self.changes += books.new_state_changes
        self.acts += books.new_acts
        self.decisions |= {(a, c): decision for a, c, decision in books.new_decisions}
        self.requests |= {each.id: each for each in books.new_approval_requests}
        self.scope_states |= {each.epoch: each for each in books.new_scope_states}
        if books.cursor:
            self.cursors |= dict([books.cursor])
        for each in self.accounts.values():
            assert_gapless(self.reports, each.id)


def see_that_held_is_so(state: State, wants: Wants) -> None:
    """Fail, as no handler of errors would hide, where a caller knows an unchanged order wrongly."""
    for wire_id, held in wants.held.items():
        order = state.orders[held.order.id]
        if order.last_seq != held.order.last_seq:
            continue
        commands = [each for each in state.commands.values() if each.order_id == order.id]
        fills = [each for each in state.fills if each.order_id == order.id]
        is_open = {each.wire_id: each for each in commands if each.state.is_open}
        known = {each.wire_id: each for each in held.commands if each.state.is_open}
        if (order, is_open, fills) != (held.order, known, list(held.fills)):
            pytest.fail(f"{held} is held, and is {order} {commands} {fills}")
        if wire_id not in {order.wire_id, *(each.wire_id for each in commands)}:
            pytest.fail(f"{wire_id} does not address {order.id}")


class MemoryTransaction:
    """One transaction: sees what it locked, and is seen when it commits."""

    def __init__(self, store: "MemoryStore", stack: AsyncExitStack) -> None:
        self._store, self._stack = store, stack
        self._locked: frozenset[AccountID] | None = None
        self.saved: Books | None = None

    async def lock(self, accounts: Collection[AccountID]) -> None:
        if self._locked is not None:
            raise AssertionError("a transaction locks once, and first")
        self._locked = frozenset(accounts)
        for each in sorted(accounts):
            if each in self._store.blocked:
                await self._store.patience.wait()
                raise StoreBusy("a lock timeout")
            lock = self._store.locks.setdefault(each, asyncio.Lock())
            await self._stack.enter_async_context(lock)

    async def load(self, wants: Wants) -> Books:
        if self._locked is None or wants.accounts - self._locked:
            raise AssertionError("lock accounts before loading them")
        await asyncio.sleep(0)
        self._store.fail(Failure.AT_BEGIN)
        state, books = self._store.state, Books(catalogue=self._store.catalogue)
        see_that_held_is_so(state, wants)
        books.accounts = {k: v for k, v in state.accounts.items() if k in wants.accounts}
        books.claims = {k: v for k, v in state.claims.items() if k in wants.cl_ord_ids}
        books.cancel_rejects = {
            (each.account_id, each.seq): each
            for each in state.reports
            if isinstance(each, OrderCancelReject)
        }
        wires = wants.wire_ids | wants.fills_of
        books.commands = {k: v for k, v in state.commands.items() if k in wires}
        ids = wants.order_ids | {each.order_id for each in books.commands.values()}
        ids |= {each.order_id for each in books.claims.values() if each.order_id}
        books.orders = {
            k: v
            for k, v in state.orders.items()
            if v.account_id in self._locked
            and (
                k in ids
                or v.wire_id in wires
                or (v.is_open and v.account_id in wants.open_orders_of)
            )
        }
        books.commands |= {
            k: v
            for k, v in state.commands.items()
            if v.order_id in books.orders and v.state.is_open
        }
        for each in state.fills:
            books.fills.setdefault(each.order_id, []).append(each)
        books.positions = {k: v for k, v in state.positions.items() if k[0] in self._locked}
        books.limits = {k: v for k, v in state.limits.items() if k in self._locked}
        books.references = dict(state.references)
        books.earlier = {k: v.mid for k, v in state.references.items() if v.mid is not None}
        books.owners = {k: v.owner for k, v in books.accounts.items() if v.owner is not None}
        for order in (each for each in state.orders.values() if each.is_open):
            here = books.resting.setdefault((order.account_id, order.symbol), {})
            here[order.id] = Resting.of(order)
        books.seen_keys = set(wants.broker_keys & state.keys)
        if wants.states:
            turn = self._store.locks.setdefault(_TURN, asyncio.Lock())
            await self._stack.enter_async_context(turn)
            books.states = TradingStates.of_rows(self._store.state.scope_states.values())
        return books

    async def save(self, books: Books) -> None:
        await asyncio.sleep(0)
        poisoned = {claim.cl_ord_id for claim in books.new_claims} & self._store.poison
        if poisoned or self._store.poison & set(books.new_broker_keys):
            raise ValueError("poisoned")
        self.saved = books


class MemoryScopes:
    """Trading states by scope, and the owners' confirmations."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self.owners: dict[str, Confirmation] = {}

    async def trading_states(self) -> TradingStates:
        if self._store.is_down:
            raise StoreUnavailable("down")
        return TradingStates.of_rows(self._store.state.scope_states.values())

    async def accounts_in(self, scope: Scope) -> Sequence[AccountID]:
        return sorted(each.id for each in self._store.state.accounts.values() if _in(scope, each))

    async def has_scope(self, scope: Scope, tenant_id: TenantID) -> bool:
        del tenant_id
        return scope.id != "nowhere"

    async def clean(self, epoch: int, at: int) -> None:
        rows = self._store.state.scope_states
        rows[epoch] = replace(rows[epoch], clean_at=at)

    async def confirmations(self) -> Sequence[Confirmation]:
        return list(self.owners.values())

    async def own(self, confirmation: Confirmation) -> None:
        self.owners[confirmation.broker] = confirmation

    async def confirm(self, confirmation: Confirmation) -> None:
        if self.owners[confirmation.broker].epoch == confirmation.epoch:
            self.owners[confirmation.broker] = confirmation

    async def disown(self, confirmation: Confirmation) -> None:
        if self.owners[confirmation.broker].epoch == confirmation.epoch:
            del self.owners[confirmation.broker]


def _in(scope: Scope, account: Account) -> bool:
    tenant = scope.id if scope.kind is ScopeKind.TENANT else scope.tenant_id
    if tenant is not None and tenant != account.tenant_id:
        return False
    match scope.kind:
        case ScopeKind.ACCOUNT:
            return scope.id == account.id
        case ScopeKind.BROKER:
            return scope.id == account.broker
        case _:
            return True


def _states_of(accounts: Sequence[Account]) -> dict[int, ScopeState]:
    """Set by themselves the accounts that begin stricter, as they came to be so."""
    stricter = [each for each in accounts if each.trading_state is not TradingState.ACTIVE]
    return {
        epoch: ScopeState(
            epoch=epoch,
            scope=Scope(ScopeKind.ACCOUNT, each.id),
            state=each.trading_state,
            action=MassAction.NONE,
            reason="before",
            changed_by=UserID("somebody"),
            approved_by=None,
            changed_at=0,
        )
        for epoch, each in enumerate(stricter, 1)
    }


class MemoryActs:
    """Where refused acts are recorded."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store

    async def record(self, act: Act) -> None:
        self._store.state.acts.append(act)


class MemoryStore:
    """The store and its query side, over one State. `failures` strike the next transactions."""

    def __init__(self, *accounts: Account) -> None:
        self.state = State(
            accounts={each.id: each for each in accounts}, scope_states=_states_of(accounts)
        )
        self.scopes = MemoryScopes(self)
        self.audit = MemoryActs(self)
        self.catalogue = Catalogue([STOCK, FUTURE])
        self.locks: dict[AccountID, asyncio.Lock] = {}
        self.failures: list[Failure] = []
        self.poison: set[str] = set()
        self.blocked: set[AccountID] = set()
        self.patience = asyncio.Event()
        self.patience.set()
        self.is_down = False
        self.is_full = False
        self._speaks = asyncio.Event()
        self._speaks.set()
        self.urgent: list[bool] = []
        self.brief: list[bool] = []
        self.commits = 0

    def fail(self, at: Failure) -> None:
        if self.is_down:
            raise StoreUnavailable("down")
        if self.failures and self.failures[0] is at:
            self.failures.pop(0)
            raise StoreUnavailable(at.name)

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """Answer nothing any more once the failures have struck, until the exit."""
        self._speaks.clear()
        try:
            yield
        finally:
            self._speaks.set()

    @asynccontextmanager
    async def transaction(
        self, *, urgent: bool = False, brief: bool = False
    ) -> AsyncIterator[MemoryTransaction]:
        self.urgent.append(urgent)
        self.brief.append(brief)
        if self.is_full and not urgent:
            raise StoreOverloaded("no connection is free")
        if not self.failures:
            await self._speaks.wait()
        async with AsyncExitStack() as stack:
            transaction = MemoryTransaction(self, stack)
            yield transaction
            self.fail(Failure.BEFORE_COMMIT)
            if transaction.saved is not None:
                after = self.state.copy()
                after.apply(transaction.saved)
                self.state = after
                self.commits += 1
            self.fail(Failure.AFTER_COMMIT)

    # --- the store's look-ups --------------------------------------------------------------------

    async def accounts_of(self, wire_ids: Collection[WireID]) -> Mapping[WireID, AccountID]:
        self.fail(Failure.AT_BEGIN)
        orders = {each.wire_id: each.account_id for each in self.state.orders.values()}
        known = orders | {k: v.account_id for k, v in self.state.commands.items()}
        return {each: known[each] for each in wire_ids if each in known}

    async def accounts_at(self, broker: str) -> Sequence[AccountID]:
        return [each.id for each in self.state.accounts.values() if each.broker == broker]

    async def account_ids(self, tenant_id: TenantID) -> Sequence[AccountID]:
        return [each.id for each in self.state.accounts.values() if each.tenant_id == tenant_id]

    async def open_orders(self, accounts: Collection[AccountID]) -> Sequence[Order]:
        asked = {c.order_id for c in self.state.commands.values() if c.state.is_open}
        mine = (each for each in self.state.orders.values() if each.account_id in accounts)
        return [each for each in mine if each.is_open or each.id in asked]

    async def open_commands(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        mine = (each for each in self.state.commands.values() if each.account_id in accounts)
        return [each for each in mine if each.state.is_open]

    async def queued(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        waiting = await self.open_commands(accounts)
        return [each for each in waiting if each.state is CommandState.QUEUED]

    async def command_states(self, wire_ids: Collection[WireID]) -> Mapping[WireID, CommandState]:
        found = self.state.commands
        return {each: found[each].state for each in wire_ids if each in found}

    async def fence(self, accounts: Collection[AccountID], epoch: int) -> None:
        for each in accounts:
            account = self.state.accounts[each]
            self.state.accounts[each] = replace(account, fence=max(account.fence, epoch))

    async def cursor(self, broker: str) -> str | None:
        return self.state.cursors.get(broker)

    async def approval_request(self, request_id: str) -> ApprovalRequest | None:
        request = self.state.requests.get(request_id)
        if request is None or request.approved_by:
            return None
        since = [c for c in self.state.changes if c.changed_at > request.requested_at]
        overtaken = any(
            c.account_id == request.account_id
            or (request.account_id is None and c.tenant_id == request.tenant_id)
            for c in since
        )
        return None if overtaken else request

    # --- the query side --------------------------------------------------------------------------

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        return [self.state.accounts[each] for each in sorted(ids)]

    async def order(self, order_id: OrderID) -> Order | None:
        return self.state.orders.get(order_id)

    async def orders_by_id(self, ids: Collection[OrderID]) -> Mapping[OrderID, Order]:
        return {k: v for k, v in self.state.orders.items() if k in ids}

    async def order_by_cl_ord_id(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Order | None:
        claim = self.state.claims.get((account_id, cl_ord_id))
        return self.state.orders.get(claim.order_id) if claim and claim.order_id else None

    async def orders_commanded(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Sequence[Order]:
        asked = (account_id, cl_ord_id)
        commands = self.state.commands.values()
        ids = {c.order_id for c in commands if (c.account_id, c.cl_ord_id) == asked}
        return [self.state.orders[each] for each in sorted(ids)]

    async def cancel_reject(
        self, account_id: AccountID, cl_ord_id: ClOrdID
    ) -> OrderCancelReject | None:
        rejects = [each for each in self.state.reports if isinstance(each, OrderCancelReject)]
        asked = (account_id, cl_ord_id)
        return next((r for r in rejects if (r.account_id, r.cl_ord_id) == asked), None)

    async def orders(
        self, account_id: AccountID, which: OrderFilter, first: int, after: OrderID | None
    ) -> Page[Order]:
        del account_id, which, first, after
        return Page(tuple(self.state.orders.values()), has_next=False)

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        mine = [each for each in self.state.reports if each.account_id == account_id]
        later = [each for each in mine if each.seq > after_seq]
        return Page(later[:first], has_next=len(later) > first)

    async def reports_at(self, keys: Collection[tuple[AccountID, int]]) -> Sequence[Report]:
        return [each for each in self.state.reports if (each.account_id, each.seq) in keys]

    async def fills_of(
        self, order_ids: Collection[OrderID]
    ) -> Mapping[OrderID, Sequence[ExecutionReport]]:
        found: dict[OrderID, list[ExecutionReport]] = {}
        for each in self.state.reports:
            if isinstance(each, ExecutionReport) and each.exec_type.is_fill:
                found.setdefault(each.order_id, []).append(each)
        return {k: v for k, v in found.items() if k in order_ids}

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        return [v for (account_id, _), v in self.state.positions.items() if account_id in accounts]

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        return {each: self.state.accounts[each].last_seq for each in accounts}

    async def limits(self, account_id: AccountID) -> Limits | None:
        return self.state.limits.get(account_id)

    async def decision(self, account_id: AccountID, cl_ord_id: ClOrdID) -> RiskDecision | None:
        return self.state.decisions.get((account_id, cl_ord_id))

    async def decisions_of(self, order_ids: Collection[OrderID]) -> Mapping[OrderID, RiskDecision]:
        asked = {
            (each.account_id, each.cl_ord_id): each.id
            for each in map(self.state.orders.get, order_ids)
            if each
        }
        return {asked[key]: each for key, each in self.state.decisions.items() if key in asked}

    async def breaks(self, account_id: AccountID, first: int) -> Sequence[Break]:
        return [b for b in self.state.breaks if b.account_id == account_id][-first:]

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        return self.state.changes[after_id:]
