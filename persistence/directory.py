"""The directory: users, their roles, and the accounts they are entitled to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from persistence import tables
from persistence.database import Database
from trading.ids import AccountID, TenantID, UserID
from trading.permission import Entitlement


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as the store knows one; what a role permits is decided elsewhere."""

    id: UserID
    tenant_id: TenantID
    name: str
    role: str
    accounts: Mapping[AccountID, Entitlement]


class Directory:
    """Looks users up."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def user(self, user_id: UserID) -> User | None:
        """Return a user, or None."""
        users = await self._users(tables.users.c.id == user_id)
        return users[0] if users else None

    async def users(self) -> Sequence[User]:
        """Return all users, in the order of their ids."""
        return await self._users(sa.true())

    async def _users(self, condition: sa.ColumnElement[bool]) -> list[User]:
        users, entitled = tables.users, tables.entitlements
        theirs = users.outerjoin(entitled, entitled.c.user_id == users.c.id)
        statement = (
            sa.select(users, entitled.c.account_id, entitled.c.entitlement)
            .select_from(theirs)
            .where(condition)
            .order_by(users.c.id, entitled.c.account_id)
        )
        async with self._database.read() as connection:
            rows = await connection.rows(statement)
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
            )
            for user_id, entitlements in accounts.items()
        ]
