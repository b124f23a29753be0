"""The system of record in SQL: where transactions begin, and what sessions look up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.account import Accounts
from persistence.database import Database
from persistence.directory import Directory
from persistence.lock import DirectoryLock
from persistence.mapping import APPROVAL_REQUESTS, COMMANDS, ORDERS
from persistence.outbox import Outbox
from persistence.prices import SqlReferencePrices
from persistence.reads import SqlReads
from persistence.transaction import SqlTransaction
from persistence.within import within
from trading.command import Command
from trading.control import ApprovalRequest
from trading.ids import AccountID, TenantID, WireID
from trading.instrument import Catalogue
from trading.order import Order
from trading.ports import Clock


class SqlStore:
    """The store of one gateway, with its parts: what is read, priced, published and administered.

    `catalogue` names the instruments of all orders, those of earlier runs too.
    """

    def __init__(
        self, database: Database, catalogue: Catalogue, clock: Clock, lock: DirectoryLock
    ) -> None:
        """Take a database that is open and of the right schema."""
        self.catalogue = catalogue
        self.reads = SqlReads(database, catalogue)
        self.prices = SqlReferencePrices(database)
        self.outbox = Outbox(database)
        self.directory = Directory(database)
        self.accounts = Accounts(database)
        self._database = database
        self._clock = clock
        self._lock = lock

    async def close(self) -> None:
        """Close all connections, and let go of the directory."""
        await self._database.close()
        self._lock.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Begin a transaction. Raises StoreUnavailable."""
        async with self._database.write() as connection:
            yield SqlTransaction(connection, self.catalogue)

    async def accounts_of(self, wire_ids: Collection[WireID]) -> Mapping[WireID, AccountID]:
        """Return the accounts whose orders these ids address; an id never changes its account."""
        found = [
            sa.select(table.c.wire_id, table.c.account_id).where(within(table.c.wire_id, wire_ids))
            for table in (tables.orders, tables.commands)
        ]
        rows = await self._rows(sa.union(*found))
        return {row.wire_id: row.account_id for row in rows}

    async def accounts_at(self, broker: str) -> Sequence[AccountID]:
        """Return the accounts that a broker serves."""
        return await self._account_ids(tables.accounts.c.broker == broker)

    async def account_ids(self, tenant_id: TenantID) -> Sequence[AccountID]:
        """Return the accounts of a tenant."""
        return await self._account_ids(tables.accounts.c.tenant_id == tenant_id)

    async def open_orders(self, accounts: Collection[AccountID]) -> Sequence[Order]:
        """Return the orders that are open or have an open command, oldest first."""
        orders, commands = tables.orders, tables.commands
        working = sa.select(orders.c.id).where(
            within(orders.c.account_id, accounts), tables.OPEN_ORDER
        )
        asked = sa.select(commands.c.order_id).where(
            within(commands.c.account_id, accounts), tables.OPEN_COMMAND
        )
        statement = (
            ORDERS.select()
            .where(orders.c.id.in_(working.union(asked)))
            .order_by(orders.c.created_at, orders.c.id)
        )
        return [ORDERS.item(row) for row in await self._rows(statement)]

    async def open_commands(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        """Return the ledger's open commands, oldest first."""
        table = tables.commands
        statement = (
            COMMANDS.select()
            .where(within(table.c.account_id, accounts), tables.OPEN_COMMAND)
            .order_by(table.c.created_at, table.c.wire_id)
        )
        return [COMMANDS.item(row) for row in await self._rows(statement)]

    async def cursor(self, broker: str) -> str | None:
        """Return the place in a broker's stream up to which everything is recorded."""
        table = tables.stream_cursors
        rows = await self._rows(sa.select(table.c.position).where(table.c.broker == broker))
        return rows[0].position if rows else None

    async def approval_request(self, request_id: str) -> ApprovalRequest | None:
        """Return a request to loosen a trading state that is neither approved nor expired."""
        table = tables.approval_requests
        statement = APPROVAL_REQUESTS.select().where(
            table.c.id == request_id,
            table.c.approved_by.is_(None),
            table.c.expires_at > self._clock.now(),
        )
        rows = await self._rows(statement)
        return APPROVAL_REQUESTS.item(rows[0]) if rows else None

    async def _account_ids(self, condition: sa.ColumnElement[bool]) -> list[AccountID]:
        table = tables.accounts
        statement = sa.select(table.c.id).where(condition).order_by(table.c.id)
        return [row.id for row in await self._rows(statement)]

    async def _rows(self, statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> Sequence[Any]:
        async with self._database.read() as connection:
            return await connection.rows(statement)
