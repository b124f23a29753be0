"""Accounts before they trade: adding tenants, users, and accounts with their limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from persistence import tables
from persistence.audit import record_acts
from persistence.connection import Connection
from persistence.database import Database
from persistence.directory import User, user_values
from persistence.errors import StoreRefused
from persistence.limits import next_version, record
from persistence.mapping import ACCOUNTS
from persistence.rows import Rows
from trading.account import Account
from trading.audit import Act
from trading.ids import AccountID, TenantID, UserID
from trading.limitrequest import LimitVersion
from trading.limits import Limit
from trading.permission import Entitlement
from trading.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Whose accounts and users these are."""

    id: TenantID
    name: str


_TENANTS = Rows(Tenant, tables.tenants)
_OURSELVES = UserID("drawbridge")
"""Who sets the limits that a new account comes with: whoever may add accounts to the store."""

_ALL_TENANTS = _TENANTS.select().order_by(tables.tenants.c.id)


class Accounts:
    """Adds what must be there before the first order; orders never come through here."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database."""
        self._database = database
        self._clock = clock

    async def tenants(self) -> Sequence[Tenant]:
        """Return the tenants; a fresh store has none."""
        return await self._database.read(Connection.items, _TENANTS, _ALL_TENANTS)

    async def add_tenant(
        self,
        tenant: Tenant,
        accounts: Collection[Account],
        limits: Sequence[Limit],
        users: Collection[User],
    ) -> None:
        """Add a tenant with its accounts and users, all or nothing.

        Raises StoreRefused where one of them exists.
        """
        with _refusing(f"the tenant {tenant.id}, or one of its accounts or users, exists already"):
            await self._database.write(
                _add_tenant, tenant, accounts, self._version(f"tenant {tenant.id}", limits), users
            )

    async def add(
        self,
        account: Account,
        limits: Sequence[Limit],
        entitled: Mapping[UserID, Entitlement],
        act: Act | None = None,
    ) -> None:
        """Add an account with its cash and limits, and say who may do what with it, by an act.

        Raises StoreRefused where the account exists, or its tenant or a user does not.
        """
        users = ", ".join(sorted(entitled)) or "nobody"
        with _refusing(
            f"the account {account.id} exists already, or its tenant {account.tenant_id} or one of"
            f" its users ({users}) does not: choose another id, or add those first"
        ):
            grants = {user: {account.id: each} for user, each in entitled.items()}
            version = self._version(f"account {account.id}", limits)
            await self._database.write(_add_accounts, [account], version, grants, act)

    def _version(self, of: str, limits: Sequence[Limit]) -> LimitVersion:
        """Make a version that has no number yet."""
        at = self._clock.now()
        return LimitVersion(
            version=0,
            id=f"{of} at {at}",
            requested_by=_OURSELVES,
            approved_by=None,
            changed_at=at,
            limits=tuple(limits),
        )


@contextmanager
def _refusing(why: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise StoreRefused(why) from error


def _add_tenant(
    connection: Connection,
    tenant: Tenant,
    accounts: Collection[Account],
    version: LimitVersion,
    users: Collection[User],
) -> None:
    connection.insert(tables.tenants, [_TENANTS.values(tenant)])
    connection.insert(tables.users, [user_values(user) for user in users])
    _add_accounts(connection, accounts, version, {user.id: user.accounts for user in users})


def _add_accounts(
    connection: Connection,
    accounts: Collection[Account],
    version: LimitVersion,
    entitled: Mapping[UserID, Mapping[AccountID, Entitlement]],
    act: Act | None = None,
) -> None:
    connection.insert(tables.accounts, [ACCOUNTS.values(account) for account in accounts])
    if version.limits:
        record(connection, replace(version, version=next_version(connection)))
    grants = [
        {"user_id": user_id, "account_id": account_id, "entitlement": entitlement}
        for user_id, theirs in entitled.items()
        for account_id, entitlement in theirs.items()
    ]
    connection.insert(tables.entitlements, grants)
    record_acts(connection, [act] if act is not None else [])
