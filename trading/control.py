"""Trading states by scope, their changes, and the requests to loosen that await a second person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from trading.account import Account, ScopedState, TradingState, strictest
from trading.ids import AccountID, TenantID, UserID
from trading.order import Order
from trading.scope import Scope, ScopeKind, Subject


@unique
class MassAction(StrEnum):
    """What is done about the orders and positions of a scope that is not ACTIVE."""

    NONE = "NONE"
    CANCEL_ORDERS = "CANCEL_ORDERS"
    FLATTEN = "FLATTEN"

    @property
    def cancels(self) -> bool:
        """Whether working orders are canceled: before positions are closed, too."""
        return self is not MassAction.NONE

    @property
    def rank(self) -> int:
        """How far it goes: a higher one does more."""
        return list(MassAction).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeState:
    """A trading state that was set for a scope. It holds until one with `ended_epoch` follows it.

    Epochs count all of them in the order of their commits. `clean_at` is when the broker was first
    seen to have no order of the scope any more. Instants are UTC nanoseconds.
    """

    epoch: int
    scope: Scope
    state: TradingState
    action: MassAction
    reason: str
    changed_by: UserID
    approved_by: UserID | None
    changed_at: int
    ended_epoch: int | None = None
    clean_at: int | None = None

    @property
    def scope_kind(self) -> ScopeKind:
        """What kind of scope it is."""
        return self.scope.kind

    @property
    def scope_id(self) -> str:
        """What the scope names; empty for ALL."""
        return self.scope.id


@dataclass(frozen=True, slots=True)
class TradingStates:
    """The states of all scopes as of one moment; a scope without one is ACTIVE."""

    current: Mapping[Scope, ScopeState]

    @classmethod
    def of_rows(cls, rows: Iterable[ScopeState]) -> TradingStates:
        """Gather those that hold."""
        return cls({row.scope: row for row in rows if row.ended_epoch is None})

    @property
    def epoch(self) -> int:
        """The newest change that they include; 0 before the first."""
        return max((row.epoch for row in self.current.values()), default=0)

    def state(self, scope: Scope) -> TradingState:
        """Return the state that was set for exactly this scope."""
        row = self.current.get(scope)
        return row.state if row else TradingState.ACTIVE

    def covering(self, subject: Subject) -> list[ScopeState]:
        """Return what was set for the scopes that an order or account is in, oldest first."""
        found = (self.current.get(scope) for scope in subject.scopes())
        return sorted((row for row in found if row is not None), key=lambda row: row.epoch)

    def over(self, subject: Subject) -> TradingState:
        """Return the strictest state of all scopes that an order or account is in."""
        return strictest(row.state for row in self.covering(subject))

    def within(self, account: Account) -> tuple[ScopedState, ...]:
        """Return what holds for a user, strategy or instrument, and so for some of its orders."""
        theirs = (None, account.tenant_id)
        found: dict[tuple[str, str], TradingState] = {}
        for scope, row in self.current.items():
            if scope.kind.is_of_accounts or row.state is TradingState.ACTIVE:
                continue
            if scope.tenant_id in theirs:
                key = (scope.kind, scope.id)
                found[key] = strictest((row.state, found.get(key, row.state)))
        return tuple((kind, name, state) for (kind, name), state in sorted(found.items()))


NOTHING_SET = TradingStates({})


def subject_of(account: Account) -> Subject:
    """Say which scopes an account is in, with all of its orders."""
    return Subject(tenant_id=account.tenant_id, broker=account.broker, account_id=account.id)


def subject_of_order(order: Order, broker: str, user_id: UserID | None = None) -> Subject:
    """Say which scopes an order is in; `user_id` is who has asked for a replace of it."""
    return Subject(
        tenant_id=order.tenant_id,
        broker=broker,
        account_id=order.account_id,
        user_ids=(order.user_id, user_id),
        strategy_id=order.strategy_id,
        symbol=order.symbol,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStateChange:
    """One change of what one account may trade: who, why, when (UTC nanoseconds).

    `scope_kind` and `scope_id` are what the state was set for. Where that is a user, strategy or
    instrument, the states are those for its orders alone.
    """

    id: int = 0
    tenant_id: TenantID
    account_id: AccountID
    before: TradingState
    state: TradingState
    reason: str
    changed_by: UserID
    approved_by: UserID | None
    changed_at: int
    scope_kind: ScopeKind | None = None
    scope_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A request to loosen a trading state, which another person than the requester must approve."""

    id: str
    tenant_id: TenantID
    account_id: AccountID | None
    state: TradingState
    reason: str
    requested_by: UserID
    requested_at: int
    expires_at: int
    approved_by: UserID | None = None
    scope: Scope | None = None
    action: MassAction = MassAction.NONE

    @property
    def wanted(self) -> Scope:
        """The scope, which older requests name by their account or tenant."""
        if self.scope is not None:
            return self.scope
        if self.account_id is not None:
            return Scope(ScopeKind.ACCOUNT, self.account_id)
        return Scope(ScopeKind.TENANT, self.tenant_id)

    @property
    def scope_kind(self) -> ScopeKind:
        """What kind of scope it is."""
        return self.wanted.kind

    @property
    def scope_id(self) -> str:
        """What the scope names; empty for ALL."""
        return self.wanted.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """That the owner of a broker's session lets nothing leave that a state forbids.

    `epoch` is that of its lease, `scope_epoch` the newest trading state that it has taken in.
    """

    broker: str
    epoch: int
    scope_epoch: int
