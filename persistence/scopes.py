"""Trading states by scope: what is in force, whom it concerns, and which owners know of it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.mapping import CONFIRMATIONS, SCOPE_STATES
from trading.control import Confirmation, TradingStates
from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import Catalogue
from trading.scope import Scope, ScopeKind

_IN_FORCE = SCOPE_STATES.select().where(tables.IN_FORCE)
# The one row that is always there: who changes a scope's state waits here for the one before.
_TURN = sa.select(tables.gateway.c.id).where(tables.gateway.c.id == 1).with_for_update()

_CONFIRMATIONS = CONFIRMATIONS.select().order_by(tables.confirmations.c.broker)
_MINE = sa.and_(
    tables.confirmations.c.broker == sa.bindparam("of_broker"),
    tables.confirmations.c.epoch == sa.bindparam("of_epoch"),
)
_CONFIRM = tables.confirmations.update().where(_MINE).values(scope_epoch=sa.bindparam("taken_in"))
_WITHDRAW = tables.confirmations.delete().where(_MINE)
_CLEAN = (
    tables.scope_states.update()
    .where(tables.scope_states.c.epoch == sa.bindparam("of_epoch"), tables.IN_FORCE)
    .values(clean_at=sa.bindparam("at"))
)

_ACCOUNTS = sa.select(tables.accounts.c.id).order_by(tables.accounts.c.id)
_OF_TENANT = tables.accounts.c.tenant_id == sa.bindparam("tenant_id")
_OF_BROKER = tables.accounts.c.broker == sa.bindparam("broker")
_USER = sa.select(tables.users.c.id).where(
    tables.users.c.id == sa.bindparam("user_id"),
    tables.users.c.tenant_id == sa.bindparam("tenant_id"),
)


def states_in_force(connection: Connection) -> TradingStates:
    """Read the states of all scopes."""
    return TradingStates.of_rows(connection.items(SCOPE_STATES, _IN_FORCE))


def take_turn(connection: Connection) -> TradingStates:
    """Read the states of all scopes, which nobody else changes until this transaction ends."""
    connection.rows(_TURN)
    return states_in_force(connection)


class SqlScopes:
    """Implements `trading.store.Scopes`."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        """Take the database, whose reserve is used, and the instruments."""
        self._database = database.urgent
        self._catalogue = catalogue

    async def trading_states(self) -> TradingStates:
        """Return the states of all scopes as of now."""
        return await self._database.read(states_in_force)

    async def accounts_in(self, scope: Scope) -> Sequence[AccountID]:
        """Return the accounts of which some orders may be in a scope, in order."""
        query, values = _ACCOUNTS, dict[str, object]()
        tenant_id = scope.id if scope.kind is ScopeKind.TENANT else scope.tenant_id
        if scope.kind is ScopeKind.ACCOUNT:
            return [AccountID(scope.id)]
        if scope.kind is ScopeKind.BROKER:
            query, values = query.where(_OF_BROKER), {"broker": scope.id}
        if tenant_id is not None:
            query, values = query.where(_OF_TENANT), values | {"tenant_id": tenant_id}
        return [row.id for row in await self._database.read(Connection.rows, query, values)]

    async def has_scope(self, scope: Scope, tenant_id: TenantID) -> bool:
        """Tell whether there is what a scope names; a user must be the tenant's."""
        match scope.kind:
            case ScopeKind.INSTRUMENT:
                return self._catalogue.get(InstrumentID(scope.id)) is not None
            case ScopeKind.USER:
                values = {"user_id": scope.id, "tenant_id": tenant_id}
                return bool(await self._database.read(Connection.rows, _USER, values))
            case ScopeKind.BROKER:
                return bool(await self.accounts_in(scope))
            case ScopeKind.ALL | ScopeKind.TENANT | ScopeKind.ACCOUNT | ScopeKind.STRATEGY:
                return True

    async def clean(self, epoch: int, at: int) -> None:
        """Note when the broker showed no order any more that a state was to cancel."""
        await self._database.write(Connection.run, _CLEAN, {"of_epoch": epoch, "at": at})

    async def confirmations(self) -> Sequence[Confirmation]:
        """Return how far the owners of all brokers' sessions are."""
        return await self._database.read(Connection.items, CONFIRMATIONS, _CONFIRMATIONS)

    async def own(self, confirmation: Confirmation) -> None:
        """Say that a session has a new owner, and which states it has begun with."""
        await self._database.write(_own, confirmation)

    async def confirm(self, confirmation: Confirmation) -> None:
        """Say that a session's owner has taken states in; a later owner's word stands."""
        values = _of(confirmation) | {"taken_in": confirmation.scope_epoch}
        await self._database.write(Connection.run, _CONFIRM, values)

    async def disown(self, confirmation: Confirmation) -> None:
        """Say that a session has no owner any more: nobody need be waited for."""
        await self._database.write(Connection.run, _WITHDRAW, _of(confirmation))


def _own(connection: Connection, confirmation: Confirmation) -> None:
    held = connection.items(CONFIRMATIONS, _CONFIRMATIONS)
    # A process that was frozen while it took the session over has a successor by now.
    if not any(o.broker == confirmation.broker and o.epoch > confirmation.epoch for o in held):
        connection.put(tables.confirmations, [CONFIRMATIONS.values(confirmation)])


def _of(confirmation: Confirmation) -> dict[str, object]:
    return {"of_broker": confirmation.broker, "of_epoch": confirmation.epoch}
