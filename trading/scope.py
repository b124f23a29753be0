"""Scopes of a trading state: what it holds for, from one strategy to everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique

from trading.ids import AccountID, TenantID, UserID
from trading.record import record


@unique
class ScopeKind(StrEnum):
    """What a trading state can be set for."""

    ALL = "ALL"
    BROKER = "BROKER"
    TENANT = "TENANT"
    USER = "USER"
    ACCOUNT = "ACCOUNT"
    STRATEGY = "STRATEGY"
    INSTRUMENT = "INSTRUMENT"

    @property
    def is_of_accounts(self) -> bool:
        """Whether it takes in all orders of the accounts in it, and so their positions."""
        return self in _OF_ACCOUNTS


_OF_ACCOUNTS = frozenset({ScopeKind.ALL, ScopeKind.BROKER, ScopeKind.TENANT, ScopeKind.ACCOUNT})


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope; `id` is empty for ALL.

    `tenant_id` narrows a broker, user, strategy or instrument to one tenant; None is all of them.
    ALL is never narrowed, which TENANT is for, and an account has one tenant.
    """

    kind: ScopeKind
    id: str = ""
    tenant_id: TenantID | None = None

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        name = self.kind.lower()
        return f"{name}:{self.id}" if self.id else name


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What scopes can name of an order, or, without the last three, of an account."""

    tenant_id: TenantID
    broker: str
    account_id: AccountID
    user_ids: tuple[UserID | None, ...] = ()
    strategy_id: str | None = None
    symbol: str | None = None

    def scopes(self) -> Iterator[Scope]:
        """Go through all scopes that it is in."""
        yield Scope(ScopeKind.ALL)
        yield Scope(ScopeKind.TENANT, self.tenant_id)
        yield Scope(ScopeKind.ACCOUNT, self.account_id)
        named: tuple[tuple[ScopeKind, str | None], ...] = (
            *((ScopeKind.USER, user_id) for user_id in self.user_ids),
            (ScopeKind.BROKER, self.broker),
            (ScopeKind.STRATEGY, self.strategy_id),
            (ScopeKind.INSTRUMENT, self.symbol),
        )
        for kind, name in named:
            if name is not None:
                yield Scope(kind, name)
                yield Scope(kind, name, self.tenant_id)
