"""What an operator does to a store that no gateway has open: migrate it, add accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from brokers.quotes.simulated import SimulatedQuotes
from gateway.assembly import BROKER
from gateway.config import ConfigError, Settings
from gateway.embedded import seeded_store
from gateway.shared import shared_store
from gateway.system import SystemClock
from persistence.migration import head
from persistence.store import SqlStore
from trading.account import Account
from trading.ids import AccountID, TenantID
from trading.instrument import Catalogue


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


async def migrate(settings: Settings) -> str:
    """Bring a store up to date, making and seeding it if fresh. Raises StoreRefused."""
    async with opened_store(settings):
        where = "the PostgreSQL database" if settings.is_shared else settings.data
        return f"the store in {where} is at revision {head()}"


async def add_account(settings: Settings, new: NewAccount) -> None:
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
            broker=BROKER,
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
        await store.accounts.add(account, limits, entitled)


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
