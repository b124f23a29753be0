"""The system of record in SQL: where transactions begin, and what sessions look up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.account import Accounts
from persistence.audit import SqlAudit
from persistence.connection import Connection, Query
from persistence.database import Database
from persistence.decisions import DecisionLog
from persistence.directory import Directory
from persistence.document import SqlDocuments
from persistence.evidence import SqlEvidence
from persistence.frozen import end_frozen
from persistence.leases import SqlLeases
from persistence.limits import KnownLimits, SqlLimits
from persistence.link import SqlLinks
from persistence.loading import lock
from persistence.lock import DirectoryLock
from persistence.mapping import APPROVAL_REQUESTS, COMMANDS, ORDERS
from persistence.outbox import Outbox
from persistence.prices import SqlReferencePrices
from persistence.reads import SqlReads
from persistence.recent import RecentReports
from persistence.scopes import SqlScopes
from persistence.transaction import SqlTransaction
from persistence.wanted import SqlWanted
from persistence.within import within
from trading.command import Command, CommandState
from trading.control import ApprovalRequest
from trading.ids import AccountID, TenantID, WireID
from trading.instrument import Catalogue
from trading.order import Order
from trading.ports import Clock

_ADDRESSED = sa.union(
    *(
        sa.select(table.c.wire_id, table.c.account_id).where(within(table.c.wire_id, "wire_ids"))
        for table in (tables.orders, tables.commands)
    )
)
_ACCOUNT_IDS = sa.select(tables.accounts.c.id).order_by(tables.accounts.c.id)
_BROKERS = sa.select(tables.accounts.c.broker).distinct()
_AT_BROKER = _ACCOUNT_IDS.where(tables.accounts.c.broker == sa.bindparam("broker"))
_OF_TENANT = _ACCOUNT_IDS.where(tables.accounts.c.tenant_id == sa.bindparam("tenant_id"))
_OPEN_COMMANDS = (
    COMMANDS.select()
    .where(within(tables.commands.c.account_id, "accounts"), tables.OPEN_COMMAND)
    .order_by(tables.commands.c.created_at, tables.commands.c.wire_id)
)
# The wider condition is the index's own: only so does the planner see that it serves.
_QUEUED = _OPEN_COMMANDS.where(tables.commands.c.state == sa.literal_column("'QUEUED'"))
_STATES = sa.select(tables.commands.c.wire_id, tables.commands.c.state).where(
    within(tables.commands.c.wire_id, "wire_ids")
)
_FENCE = (
    tables.accounts.update()
    .where(
        within(tables.accounts.c.id, "accounts"), tables.accounts.c.fence < sa.bindparam("epoch")
    )
    .values(fence=sa.bindparam("epoch"))
)
_OPEN_ORDERS = (
    ORDERS.select()
    .where(
        tables.orders.c.id.in_(
            sa.union(
                sa.select(tables.orders.c.id).where(
                    within(tables.orders.c.account_id, "accounts"), tables.OPEN_ORDER
                ),
                sa.select(tables.commands.c.order_id).where(
                    within(tables.commands.c.account_id, "accounts"), tables.OPEN_COMMAND
                ),
            )
        )
    )
    .order_by(tables.orders.c.created_at, tables.orders.c.id)
)
_IDENTITY = sa.select(tables.gateway.c.identity)
_CURSOR = sa.select(tables.stream_cursors.c.position).where(
    tables.stream_cursors.c.broker == sa.bindparam("broker")
)
_CHANGED_SINCE = (
    sa.select(tables.trading_state_changes.c.id)
    .where(
        tables.trading_state_changes.c.changed_at > tables.approval_requests.c.requested_at,
        sa.or_(
            tables.trading_state_changes.c.account_id == tables.approval_requests.c.account_id,
            sa.and_(
                tables.approval_requests.c.account_id.is_(None),
                sa.func.coalesce(tables.approval_requests.c.scope_kind, "TENANT") == "TENANT",
                tables.trading_state_changes.c.tenant_id == tables.approval_requests.c.tenant_id,
            ),
        ),
    )
    .exists()
)
_REQUEST = APPROVAL_REQUESTS.select().where(
    tables.approval_requests.c.id == sa.bindparam("id"),
    tables.approval_requests.c.approved_by.is_(None),
    tables.approval_requests.c.expires_at > sa.bindparam("now"),
    sa.not_(_CHANGED_SINCE),
)


class SqlStore:
    """The store of one gateway, with its parts: what is read, priced, published and administered.

    `catalogue` names the instruments of all orders, those of earlier runs too.
    """

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        clock: Clock,
        lock: DirectoryLock | None = None,
    ) -> None:
        """Take a database that is open and of the right schema, and the lock on its directory."""
        self.catalogue = catalogue
        self._known = KnownLimits()
        self.audit = SqlAudit(database)
        self.links = SqlLinks(database)
        self.limits = SqlLimits(database, self._known)
        self._recent = RecentReports()
        self.reads = SqlReads(database, catalogue, self._known, recent=self._recent)
        self.prices = SqlReferencePrices(database)
        self.wanted = SqlWanted(database, clock)
        self.leases = SqlLeases(database, clock)
        self.scopes = SqlScopes(database, catalogue)
        self.evidence = SqlEvidence(database, catalogue, self._known)
        self.outbox = Outbox(database)
        self.directory = Directory(database)
        self.accounts = Accounts(database, clock)
        self.documents = SqlDocuments(database)
        self.decisions = DecisionLog(database)
        self._database = database
        self._of_tenants: dict[TenantID, SqlReads] = {}
        self._clock = clock
        self._lock = lock

    def reads_of(self, tenant_id: TenantID) -> SqlReads:
        """Return what reads for one tenant's clients."""
        reads = self._of_tenants.get(tenant_id)
        if reads is None:
            reads = SqlReads(self._database, self.catalogue, self._known, tenant_id)
            self._of_tenants[tenant_id] = reads
        return reads

    async def close(self) -> None:
        """Close all connections, and let go of the directory."""
        await self._database.close()
        if self._lock is not None:
            self._lock.release()

    @asynccontextmanager
    async def transaction(
        self, *, urgent: bool = False, brief: bool = False
    ) -> AsyncIterator[SqlTransaction]:
        """Begin a transaction; one that is urgent waits for no order's. Raises StoreUnavailable.

        One that is brief gives up early on accounts that are locked.
        """
        database = self._database.urgent if urgent else self._database
        async with database.transaction(brief=brief) as steps:
            transaction = SqlTransaction(steps, self.catalogue, self._known)
            yield transaction
        self._recent.keep(transaction.recorded)

    async def identity(self) -> str:
        """Return the random name of this database, which a copy of it keeps."""
        [row] = await self._database.read(Connection.rows, _IDENTITY)
        name: str = row.identity
        return name

    async def fence(self, accounts: Collection[AccountID], epoch: int) -> None:
        """Lock accounts and raise their fence to an epoch: earlier owners write there no more."""
        await self._database.urgent.write(_fence, accounts, epoch)

    async def end_frozen(self) -> None:
        """Cut off processes that hold locks and have stopped in the middle of a statement."""
        await self._database.urgent.write(end_frozen)

    async def accounts_of(self, wire_ids: Collection[WireID]) -> Mapping[WireID, AccountID]:
        """Return the accounts whose orders these ids address; an id never changes its account."""
        rows = await self._rows(_ADDRESSED, wire_ids=wire_ids)
        return {row.wire_id: row.account_id for row in rows}

    async def accounts_at(self, broker: str) -> Sequence[AccountID]:
        """Return the accounts that a broker serves."""
        return [row.id for row in await self._rows(_AT_BROKER, broker=broker)]

    async def brokers(self) -> Sequence[str]:
        """Return the brokers that serve any account."""
        return [row.broker for row in await self._rows(_BROKERS)]

    async def account_ids(self, tenant_id: TenantID) -> Sequence[AccountID]:
        """Return the accounts of a tenant."""
        values = {"tenant_id": tenant_id}
        rows = await self._database.urgent.ask(_OF_TENANT, values)
        return [row.id for row in rows]

    async def open_orders(self, accounts: Collection[AccountID]) -> Sequence[Order]:
        """Return the orders that are open or have an open command, oldest first."""
        return [ORDERS.item(row) for row in await self._rows(_OPEN_ORDERS, accounts=accounts)]

    async def open_commands(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        """Return the ledger's open commands, oldest first."""
        return [COMMANDS.item(row) for row in await self._rows(_OPEN_COMMANDS, accounts=accounts)]

    async def queued(self, accounts: Collection[AccountID]) -> Sequence[Command]:
        """Return the commands that no session has sent yet, oldest first: cheap enough to poll."""
        return [COMMANDS.item(row) for row in await self._rows(_QUEUED, accounts=accounts)]

    async def command_states(self, wire_ids: Collection[WireID]) -> Mapping[WireID, CommandState]:
        """Return how far commands got; absent if there is no such command."""
        rows = await self._rows(_STATES, wire_ids=wire_ids)
        return {row.wire_id: row.state for row in rows}

    async def cursor(self, broker: str) -> str | None:
        """Return the place in a broker's stream up to which everything is recorded."""
        rows = await self._rows(_CURSOR, broker=broker)
        return rows[0].position if rows else None

    async def approval_request(self, request_id: str) -> ApprovalRequest | None:
        """Return a request to loosen that is not approved, expired or overtaken by a change."""
        values = {"id": request_id, "now": self._clock.now()}
        rows = await self._database.urgent.ask(_REQUEST, values)
        return APPROVAL_REQUESTS.item(rows[0]) if rows else None

    async def _rows(self, query: Query, **values: object) -> Sequence[Any]:
        return await self._database.ask(query, values)


def _fence(connection: Connection, accounts: Collection[AccountID], epoch: int) -> None:
    # A fence that is higher already stays.
    locked = lock(connection, accounts).keys() & set(accounts)
    connection.run(_FENCE, {"accounts": locked, "epoch": epoch})
