"""The directory: users, their roles, and the accounts they are entitled to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.audit import record_acts
from persistence.connection import Connection
from persistence.database import Database
from persistence.errors import StoreRefused
from persistence.rows import Values
from persistence.within import within
from trading.audit import Act
from trading.ids import AccountID, TenantID, UserID
from trading.permission import Entitlement
from trading.revocation import Revocation

_ALL = (
    sa.select(tables.users, tables.entitlements.c.account_id, tables.entitlements.c.entitlement)
    .select_from(tables.users.outerjoin(tables.entitlements))
    .order_by(tables.users.c.id, tables.entitlements.c.account_id)
)
_SOME = _ALL.where(within(tables.users.c.id, "user_ids"))

_MEMBER = sa.select(tables.users.c.id).where(
    tables.users.c.id == sa.bindparam("whose"),
    tables.users.c.tenant_id == sa.bindparam("tenant"),
)
_REVOKE = (
    tables.users.update()
    .where(
        tables.users.c.id == sa.bindparam("whose"),
        tables.users.c.revoked_before < sa.bindparam("before"),
    )
    .values(revoked_before=sa.bindparam("before"))
)
_REVOKED = sa.select(tables.users.c.id, tables.users.c.revoked_before).where(
    tables.users.c.revoked_before > 0
)

_TENANT = sa.select(tables.tenants.c.id).where(tables.tenants.c.id == sa.bindparam("tenant"))
_THEIRS = sa.select(tables.accounts.c.id).where(
    within(tables.accounts.c.id, "account_ids"),
    tables.accounts.c.tenant_id == sa.bindparam("tenant"),
)
_WITHDRAW = tables.entitlements.delete().where(
    tables.entitlements.c.user_id == sa.bindparam("whose"),
    within(tables.entitlements.c.account_id, "account_ids"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as the store knows one; what a role permits is decided elsewhere."""

    id: UserID
    tenant_id: TenantID
    name: str
    role: str
    accounts: Mapping[AccountID, Entitlement]
    revoked_before: int = 0
    """Its tokens that were issued before this instant are revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What is to be otherwise about a user; what is not named stays as it is."""

    user_id: UserID
    role: str | None = None
    name: str | None = None
    granted: Mapping[AccountID, Entitlement] = field(default_factory=dict)
    withdrawn: Collection[AccountID] = ()


class Directory:
    """Looks users up, adds and changes them."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def user(self, user_id: UserID) -> User | None:
        """Return a user, or None."""
        return (await self.users_of([user_id])).get(user_id)

    async def users_of(self, user_ids: Collection[UserID]) -> Mapping[UserID, User]:
        """Return those of these users that are known, in one statement."""
        found = _users(await self._database.ask(_SOME, {"user_ids": user_ids}))
        return {user.id: user for user in found}

    async def add(self, user: User, act: Act) -> None:
        """Add a user with its act.

        Raises StoreRefused where the id is taken, or tenant or accounts are not there.
        """
        await self._database.write(_add, user, act)

    async def change(self, change: UserChange, act: Act) -> User:
        """Change a user with its act, and return it as it is now.

        Raises StoreRefused where there is no such user, or its tenant has no such account.
        """
        return await self._database.write(_change, change, act)

    async def revoke(self, tenant_id: TenantID, revocation: Revocation, act: Act) -> bool:
        """Keep a revocation with its act; tell whether the tenant has such a user."""
        return await self._database.urgent.write(_revoke, tenant_id, revocation, act)

    async def revoked(self) -> Mapping[UserID, int]:
        """Return every user with revoked tokens, and before when."""
        return {row.id: row.revoked_before for row in await self._database.ask(_REVOKED)}

    async def users(self) -> Sequence[User]:
        """Return all users, in the order of their ids."""
        return _users(await self._database.ask(_ALL))


def user_values(user: User) -> Values:
    """Return the columns of a user."""
    return {
        "id": user.id,
        "tenant_id": user.tenant_id,
        "name": user.name,
        "role": user.role,
        "revoked_before": user.revoked_before,
    }


def _add(connection: Connection, user: User, act: Act) -> None:
    if not connection.rows(_TENANT, {"tenant": user.tenant_id}):
        raise StoreRefused(f"there is no tenant {user.tenant_id}")
    if connection.rows(_SOME, {"user_ids": [user.id]}):
        raise StoreRefused(f"the user {user.id} exists already: choose another id, or change it")
    connection.insert(tables.users, [user_values(user)])
    _grant(connection, user, user.accounts)
    record_acts(connection, [act])


def _change(connection: Connection, change: UserChange, act: Act) -> User:
    found = _users(connection.rows(_SOME, {"user_ids": [change.user_id]}))
    if not found:
        raise StoreRefused(f"there is no user {change.user_id}: `user list` shows who there is")
    [user] = found
    changed = replace(user, role=change.role or user.role, name=change.name or user.name)
    connection.put(tables.users, [user_values(changed)])
    _grant(connection, user, change.granted)
    connection.run(_WITHDRAW, {"whose": user.id, "account_ids": change.withdrawn})
    record_acts(connection, [replace(act, tenant_id=user.tenant_id)])
    kept = {id_: each for id_, each in user.accounts.items() if id_ not in change.withdrawn}
    return replace(changed, accounts=kept | dict(change.granted))


def _grant(connection: Connection, user: User, granted: Mapping[AccountID, Entitlement]) -> None:
    where = {"account_ids": list(granted), "tenant": user.tenant_id}
    if missing := granted.keys() - {row.id for row in connection.rows(_THEIRS, where)}:
        words = f"the tenant {user.tenant_id} has no account {', '.join(sorted(missing))}"
        raise StoreRefused(f"{words}: `drawbridge account add` makes one")
    rows = [
        {"user_id": user.id, "account_id": account_id, "entitlement": entitlement}
        for account_id, entitlement in granted.items()
    ]
    connection.put(tables.entitlements, rows)


def _revoke(connection: Connection, tenant_id: TenantID, revocation: Revocation, act: Act) -> bool:
    if not connection.rows(_MEMBER, {"whose": revocation.user_id, "tenant": tenant_id}):
        return False
    connection.run(_REVOKE, {"whose": revocation.user_id, "before": revocation.before})
    record_acts(connection, [act])
    return True


def _users(rows: Sequence[Any]) -> list[User]:
    """Gather the users of rows, of which each has one of its user's accounts."""
    accounts: dict[UserID, dict[AccountID, Entitlement]] = {row.id: {} for row in rows}
    for row in rows:
        if row.account_id is not None:
            accounts[row.id][row.account_id] = row.entitlement
    known = {row.id: row for row in rows}
    return [
        User(
            id=user_id,
            tenant_id=known[user_id].tenant_id,
            name=known[user_id].name,
            role=known[user_id].role,
            accounts=entitlements,
            revoked_before=known[user_id].revoked_before,
        )
        for user_id, entitlements in accounts.items()
    ]
