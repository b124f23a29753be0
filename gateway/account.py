"""What an operator does to a store that no gateway has open: migrate it, add accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from brokers.quotes.simulated import SimulatedQuotes
from gateway.acts import local_act
from gateway.config import ConfigError, Settings
from gateway.embedded import seeded_store
from gateway.shared import shared_store
from gateway.system import SystemClock
from persistence.grants import grant
from persistence.migration import head
from persistence.store import SqlStore
from trading.account import Account
from trading.audit import ActKind
from trading.ids import AccountID, TenantID
from trading.instrument import Catalogue
from trading.quantity import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to add: its limits and entitlements are those of the account `like`."""

    id: str
    name: str
    tenant: str
    currency: str
    cash: Decimal
    like: str
    owner: str | None = None


async def migrate(settings: Settings, grant_to: str | None = None) -> str:
    """Bring a store up to date, making and seeding it if fresh; let a role use it, if asked to.

    Raises StoreRefused, and ConfigError for a role where there is no PostgreSQL.
    """
    if grant_to is not None and settings.database_url is None:
        raise ConfigError("--grant-to: SQLite has no roles; set DRAWBRIDGE_DATABASE_URL")
    async with opened_store(settings):
        where = "the PostgreSQL database" if settings.is_shared else settings.data
        told = f"the store in {where} is at revision {head()}"
    if grant_to is not None and settings.database_url is not None:
        await grant(settings.database_url, grant_to)
        told += f"; {grant_to} may use it, and change nothing that is append-only"
    return told


async def add_account(settings: Settings, new: NewAccount, by: str | None) -> None:
    """Add an account. Raises StoreRefused, and ConfigError where `like` is no account."""
    async with opened_store(settings) as store:
        like = AccountID(new.like)
        if not await store.reads.accounts([like]):
            raise ConfigError(f"--like {new.like}: there is no such account to take limits from")
        account = Account(
            id=AccountID(new.id),
            tenant_id=TenantID(new.tenant),
            name=new.name,
            currency=new.currency,
            broker=settings.broker,
            cash=new.cash,
            owner=new.owner,
        )
        entitled = {
            user.id: user.accounts[like]
            for user in await store.directory.users()
            if like in user.accounts
        }
        known = await store.limits.now()
        limits = [
            replace(limit, scope=replace(limit.scope, account_id=account.id))
            for limit in known.in_force(SystemClock().now())
            if limit.scope.account_id == like
        ]
        detail = f"like {new.like}, {plain(new.cash)} {new.currency}, entitled: {len(entitled)}"
        said = local_act(ActKind.ADD_ACCOUNT, by, subject=f"account:{new.id}", detail=detail)
        await store.accounts.add(account, limits, entitled, said)


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[SqlStore]:
    """Open a store for a command, and close it. Raises StoreRefused, if another has it open too."""
    clock = SystemClock()
    catalogue = Catalogue(SimulatedQuotes(clock, settings.seed).instruments)
    if settings.database_url is not None:
        store = await shared_store(settings, settings.database_url, catalogue, clock)
    else:
        store = await seeded_store(settings, catalogue, clock)
    try:
        yield store
    finally:
        await store.close()
