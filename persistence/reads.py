"""The query side: each call sees one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from persistence import tables
from persistence.database import Connection, Database
from persistence.limits import current_limits
from persistence.mapping import (
    ACCOUNTS,
    BREAKS,
    CANCEL_REJECTS,
    DECISIONS,
    EXECUTION_REPORTS,
    ORDERS,
    POSITIONS,
    STATE_CHANGES,
)
from persistence.rows import Rows
from persistence.within import within
from trading.account import Account, Position
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import Break, ExecutionReport, OrderCancelReject, Report
from trading.ids import AccountID, ClOrdID, OrderID
from trading.instrument import Catalogue
from trading.limits import Limits
from trading.order import Order, OrdStatus
from trading.quantity import ZERO
from trading.store import OrderFilter, Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class SqlReads:
    """Implements `trading.store.Reads`."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        """Take the database, and the instruments by which a bare symbol is understood."""
        self._database = database
        self._catalogue = catalogue

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        """Return these accounts, in the order of their ids."""
        condition = within(tables.accounts.c.id, ids)
        return await self._items(ACCOUNTS, condition, order=tables.accounts.c.id)

    async def order(self, order_id: OrderID) -> Order | None:
        """Return an order, or None."""
        return (await self.orders_by_id([order_id])).get(order_id)

    async def orders_by_id(self, ids: Collection[OrderID]) -> Mapping[OrderID, Order]:
        """Return those orders that there are."""
        found = await self._items(ORDERS, within(tables.orders.c.id, ids))
        return {order.id: order for order in found}

    async def order_by_cl_ord_id(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Order | None:
        """Return the order whose chain has this ClOrdID, or None."""
        claims = tables.cl_ord_ids
        claimed = sa.select(claims.c.order_id).where(
            claims.c.account_id == account_id, claims.c.cl_ord_id == cl_ord_id
        )
        found = await self._items(ORDERS, tables.orders.c.id.in_(claimed))
        return found[0] if found else None

    async def orders_commanded(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Sequence[Order]:
        """Return the orders that one command was about: many, where it was a mass cancel."""
        asked = tables.commands
        theirs = sa.select(asked.c.order_id).where(
            asked.c.account_id == account_id, asked.c.cl_ord_id == cl_ord_id
        )
        return await self._items(ORDERS, tables.orders.c.id.in_(theirs), order=tables.orders.c.id)

    async def cancel_reject(
        self, account_id: AccountID, cl_ord_id: ClOrdID
    ) -> OrderCancelReject | None:
        """Return the refusal of the cancel or replace with this ClOrdID, or None."""
        table = tables.reports
        condition = sa.and_(
            table.c.account_id == account_id,
            table.c.cl_ord_id == cl_ord_id,
            table.c.cxl_rej_reason.is_not(None),
        )
        found = await self._items(CANCEL_REJECTS, condition, order=table.c.seq)
        return found[-1] if found else None

    async def orders(
        self, account_id: AccountID, which: OrderFilter, first: int, after: OrderID | None
    ) -> Page[Order]:
        """Return orders, newest first, from before the one given."""
        table = tables.orders
        statement = (
            ORDERS.select()
            .where(table.c.account_id == account_id, *self._conditions(which))
            .order_by(table.c.id.desc())
            .limit(first + 1)
        )
        if after is not None:
            statement = statement.where(table.c.id < after)
        async with self._database.read() as connection:
            rows = await connection.rows(statement)
            head = await _heads(connection, [account_id])
        items = [ORDERS.item(row) for row in rows[:first]]
        return Page(items, len(rows) > first, head.get(account_id, 0))

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        """Return reports in their sequence, after a sequence number."""
        table = tables.reports
        statement = (
            sa.select(table)
            .where(table.c.account_id == account_id, table.c.seq > after_seq)
            .order_by(table.c.seq)
            .limit(first + 1)
        )
        async with self._database.read() as connection:
            rows = await connection.rows(statement)
            head = await _heads(connection, [account_id])
        items = [_report(row) for row in rows[:first]]
        return Page(items, len(rows) > first, head.get(account_id, 0))

    async def fills_of(
        self, order_ids: Collection[OrderID]
    ) -> Mapping[OrderID, Sequence[ExecutionReport]]:
        """Return the fills of orders as they were reported, in sequence."""
        table = tables.reports
        condition = within(table.c.order_id, order_ids) & tables.FILL_REPORT
        fills: dict[OrderID, list[ExecutionReport]] = {each: [] for each in order_ids}
        for report in await self._items(EXECUTION_REPORTS, condition, order=table.c.seq):
            fills[report.order_id].append(report)
        return fills

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        """Return the positions of accounts, flat ones left out."""
        table = tables.positions
        found = await self._items(POSITIONS, within(table.c.account_id, accounts))
        held = [position for position in found if position.net_qty != ZERO]
        return sorted(held, key=lambda position: (position.account_id, position.symbol))

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        """Return the last sequence number of each account, in one statement."""
        async with self._database.read() as connection:
            return await _heads(connection, accounts)

    async def limits(self, account_id: AccountID) -> Limits | None:
        """Return the limits in force."""
        async with self._database.read() as connection:
            return (await current_limits(connection, [account_id])).get(account_id)

    async def decision(self, account_id: AccountID, cl_ord_id: ClOrdID) -> RiskDecision | None:
        """Return the decision on the command with this ClOrdID, or None where none was needed."""
        table = tables.decisions
        condition = sa.and_(table.c.account_id == account_id, table.c.cl_ord_id == cl_ord_id)
        found = await self._items(DECISIONS, condition)
        return found[0] if found else None

    async def decision_of(self, order_id: OrderID) -> RiskDecision | None:
        """Return the decision under which an order was placed."""
        table = tables.decisions
        # Those on its replaces came later.
        found = await self._items(
            DECISIONS, table.c.order_id == order_id, order=table.c.id, first=1
        )
        return found[0] if found else None

    async def breaks(self, account_id: AccountID, first: int) -> Sequence[Break]:
        """Return the newest breaks of an account."""
        table = tables.breaks
        condition = table.c.account_id == account_id
        return await self._items(BREAKS, condition, order=table.c.id.desc(), first=first)

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        """Return changes of trading state after an id, in order."""
        table = tables.trading_state_changes
        return await self._items(STATE_CHANGES, table.c.id > after_id, order=table.c.id)

    def _conditions(self, which: OrderFilter) -> list[sa.ColumnElement[bool]]:
        conditions: list[sa.ColumnElement[bool]] = []
        if which.ord_status:
            shown = [_shows(status) for status in sorted(which.ord_status)]
            conditions.append(sa.or_(*shown))
        if which.symbol is not None:
            conditions.append(within(tables.orders.c.symbol, self._names(which.symbol)))
        if which.side is not None:
            conditions.append(tables.orders.c.side == which.side)
        if which.open_only:
            conditions.append(tables.OPEN_ORDER)
        return conditions

    def _names(self, symbol: str) -> set[str]:
        # An order for an unknown symbol was recorded, and refused, under the name it came with.
        return {symbol} | {each.id for each in self._catalogue if each.symbol == symbol}

    async def _items[T: DataclassInstance](
        self,
        of: Rows[T],
        condition: sa.ColumnElement[bool],
        *,
        order: sa.ColumnElement[Any] | None = None,
        first: int | None = None,
    ) -> list[T]:
        statement = of.select().where(condition).order_by(order).limit(first)
        async with self._database.read() as connection:
            return [of.item(row) for row in await connection.rows(statement)]


def _shows(status: OrdStatus) -> sa.ColumnElement[bool]:
    """Say in SQL what `Order.ord_status` says: FIX precedence over the pending commands."""
    table = tables.orders
    replacing = table.c.replacement_order_qty.is_not(None)
    match status:
        case OrdStatus.PENDING_CANCEL:
            return table.c.pending_cancel.is_(sa.true())
        case OrdStatus.PENDING_REPLACE:
            return sa.and_(table.c.pending_cancel.is_(sa.false()), replacing)
        case _:
            pending = table.c.pending_cancel.is_(sa.true()) | replacing
            return sa.and_(table.c.status == status, sa.not_(pending))


async def _heads(connection: Connection, accounts: Collection[AccountID]) -> dict[AccountID, int]:
    table = tables.accounts
    statement = sa.select(table.c.id, table.c.last_seq).where(within(table.c.id, accounts))
    return {row.id: row.last_seq for row in await connection.rows(statement)}


def _report(row: sa.Row[Any]) -> Report:
    """Make the report that a row of all columns holds."""
    of = EXECUTION_REPORTS if row.msg_type == tables.EXECUTION_REPORT else CANCEL_REJECTS
    return of.item([getattr(row, column.name) for column in of.columns])
