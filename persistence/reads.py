"""The query side: each call sees one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection, Query
from persistence.database import Database, Readable
from persistence.decisions import DECISION, decision
from persistence.limits import KnownLimits
from persistence.mapping import (
    ACCOUNTS,
    BREAKS,
    CANCEL_REJECTS,
    EXECUTION_REPORTS,
    ORDERS,
    POSITIONS,
    STATE_CHANGES,
)
from persistence.orderlist import newest_orders
from persistence.recent import RecentReports
from persistence.rows import Rows
from persistence.within import pair_within, within
from trading.account import Account, Position
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import Break, ExecutionReport, OrderCancelReject, Report
from trading.ids import AccountID, ClOrdID, OrderID, TenantID
from trading.instrument import Catalogue
from trading.limits import Limits
from trading.order import Order
from trading.store import OrderFilter, Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ACCOUNTS = (
    ACCOUNTS.select().where(within(tables.accounts.c.id, "ids")).order_by(tables.accounts.c.id)
)
_HEADS = sa.select(tables.accounts.c.id, tables.accounts.c.last_seq).where(
    within(tables.accounts.c.id, "ids")
)
_ORDERS = ORDERS.select().where(within(tables.orders.c.id, "ids"))
_ORDERS_NAMED = ORDERS.select().where(
    tables.orders.c.id.in_(
        sa.select(tables.cl_ord_ids.c.order_id).where(
            tables.cl_ord_ids.c.account_id == sa.bindparam("account_id"),
            tables.cl_ord_ids.c.cl_ord_id == sa.bindparam("cl_ord_id"),
        )
    )
)
_ORDERS_COMMANDED = (
    ORDERS.select()
    .where(
        tables.orders.c.id.in_(
            sa.select(tables.commands.c.order_id).where(
                tables.commands.c.account_id == sa.bindparam("account_id"),
                tables.commands.c.cl_ord_id == sa.bindparam("cl_ord_id"),
                tables.CANCEL_COMMAND,
            )
        )
    )
    .order_by(tables.orders.c.id)
)
_CANCEL_REJECTS = (
    CANCEL_REJECTS.select()
    .where(
        tables.reports.c.account_id == sa.bindparam("account_id"),
        tables.reports.c.cl_ord_id == sa.bindparam("cl_ord_id"),
        tables.REJECT_REPORT,
    )
    .order_by(tables.reports.c.seq)
)
_REPORTS = (
    sa.select(tables.reports)
    .where(
        tables.reports.c.account_id == sa.bindparam("account_id"),
        tables.reports.c.seq > sa.bindparam("after_seq"),
    )
    .order_by(tables.reports.c.seq)
    .limit(sa.bindparam("first"))
)
_REPORTS_AT = (
    sa.select(tables.reports)
    .where(pair_within(tables.reports.c.account_id, tables.reports.c.seq, "keys"))
    .order_by(tables.reports.c.account_id, tables.reports.c.seq)
)
_FILLS = (
    EXECUTION_REPORTS.select()
    .where(within(tables.reports.c.order_id, "order_ids"), tables.FILL_REPORT)
    .order_by(tables.reports.c.seq)
)
_POSITIONS = (
    POSITIONS.select()
    .where(within(tables.positions.c.account_id, "accounts"))
    .order_by(tables.positions.c.account_id, tables.positions.c.symbol)
)
_DECISION = DECISION.where(
    tables.decisions.c.account_id == sa.bindparam("account_id"),
    tables.decisions.c.cl_ord_id == sa.bindparam("cl_ord_id"),
)
# Those on its replaces came later.
_DECISIONS_OF = DECISION.add_columns(tables.decisions.c.order_id).where(
    tables.decisions.c.id.in_(
        sa.select(sa.func.min(tables.decisions.c.id))
        .where(within(tables.decisions.c.order_id, "order_ids"))
        .group_by(tables.decisions.c.order_id)
    )
)
_BREAKS = (
    BREAKS.select()
    .where(tables.breaks.c.account_id == sa.bindparam("account_id"))
    .order_by(tables.breaks.c.id.desc())
    .limit(sa.bindparam("first"))
)
_STATE_CHANGES = (
    STATE_CHANGES.select()
    .where(tables.trading_state_changes.c.id > sa.bindparam("after_id"))
    .order_by(tables.trading_state_changes.c.id)
)


class SqlReads:
    """Implements `trading.store.Reads`."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        known: KnownLimits,
        tenant_id: TenantID | None = None,
        recent: RecentReports | None = None,
    ) -> None:
        """Take the database, the instruments that a bare symbol may mean, and limits known.

        What is read for a tenant is read behind the wall around its rows; but for the limits, which
        are known here of all tenants together. Whoever reads for all may know `recent` reports.
        """
        self._database: Readable = database
        if tenant_id is not None:
            self._database = database.of_tenant(tenant_id)
        self._all = database
        self._recent = recent or RecentReports(0)
        self._catalogue = catalogue
        self._known = known

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        """Return these accounts, in the order of their ids."""
        return await self._items(ACCOUNTS, _ACCOUNTS, ids=ids)

    async def order(self, order_id: OrderID) -> Order | None:
        """Return an order, or None."""
        return (await self.orders_by_id([order_id])).get(order_id)

    async def orders_by_id(self, ids: Collection[OrderID]) -> Mapping[OrderID, Order]:
        """Return those orders that there are."""
        return {order.id: order for order in await self._items(ORDERS, _ORDERS, ids=ids)}

    async def order_by_cl_ord_id(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Order | None:
        """Return the order whose chain has this ClOrdID, or None."""
        ids = {"account_id": account_id, "cl_ord_id": cl_ord_id}
        return next(iter(await self._items(ORDERS, _ORDERS_NAMED, **ids)), None)

    async def orders_commanded(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Sequence[Order]:
        """Return the orders that one command was about: many, where it was a mass cancel."""
        ids = {"account_id": account_id, "cl_ord_id": cl_ord_id}
        return await self._items(ORDERS, _ORDERS_COMMANDED, **ids)

    async def cancel_reject(
        self, account_id: AccountID, cl_ord_id: ClOrdID
    ) -> OrderCancelReject | None:
        """Return the refusal of the cancel or replace with this ClOrdID, or None."""
        ids = {"account_id": account_id, "cl_ord_id": cl_ord_id}
        found = await self._items(CANCEL_REJECTS, _CANCEL_REJECTS, **ids)
        return found[-1] if found else None

    async def orders(
        self, account_id: AccountID, which: OrderFilter, first: int, after: OrderID | None
    ) -> Page[Order]:
        """Return orders, newest first, from before the one given."""
        names = self._names(which.symbol) if which.symbol is not None else ()
        query, values = newest_orders(which, names, first + 1, after)
        rows, head = await self._database.read(_page, query, account_id, values)
        return Page([ORDERS.item(row) for row in rows[:first]], len(rows) > first, head)

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        """Return reports in their sequence, after a sequence number."""
        values = {"after_seq": after_seq, "first": first + 1}
        rows, head = await self._database.read(_page, _REPORTS, account_id, values)
        return Page([_report(row) for row in rows[:first]], len(rows) > first, head)

    async def reports_at(self, keys: Collection[tuple[AccountID, int]]) -> Sequence[Report]:
        """Return those reports that there are, by account and sequence number, in that order."""
        found = self._recent.find(keys)
        if missing := [key for key in keys if key not in found]:
            rows = await self._database.ask(_REPORTS_AT, {"keys": missing})
            found |= {(each.account_id, each.seq): each for each in map(_report, rows)}
        return [found[key] for key in sorted(found)]

    async def fills_of(
        self, order_ids: Collection[OrderID]
    ) -> Mapping[OrderID, Sequence[ExecutionReport]]:
        """Return the fills of orders as they were reported, in sequence."""
        fills: dict[OrderID, list[ExecutionReport]] = {each: [] for each in order_ids}
        for report in await self._items(EXECUTION_REPORTS, _FILLS, order_ids=order_ids):
            fills[report.order_id].append(report)
        return fills

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        """Return all positions of accounts in order: flat ones, and those only reserved, too."""
        return await self._items(POSITIONS, _POSITIONS, accounts=accounts)

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        """Return the last sequence number of each account, in one statement."""
        rows = await self._database.ask(_HEADS, {"ids": accounts})
        return {row.id: row.last_seq for row in rows}

    async def limits(self, account_id: AccountID) -> Limits | None:
        """Return an account's limits as their newest version has them, or None without account."""
        for account in await self.accounts([account_id]):
            known = await self._all.read(self._known.read)
            return Limits.of(account, known, self._catalogue)
        return None

    async def decision(self, account_id: AccountID, cl_ord_id: ClOrdID) -> RiskDecision | None:
        """Return the decision on the command with this ClOrdID, or None where none was needed."""
        ids = {"account_id": account_id, "cl_ord_id": cl_ord_id}
        return await self._decision(_DECISION, **ids)

    async def decisions_of(self, order_ids: Collection[OrderID]) -> Mapping[OrderID, RiskDecision]:
        """Return the decisions under which orders were placed, as far as there are any."""
        rows = await self._database.ask(_DECISIONS_OF, {"order_ids": order_ids})
        return {OrderID(row.order_id): decision(row) for row in rows}

    async def _decision(self, query: Query, **values: object) -> RiskDecision | None:
        rows = await self._database.ask(query, values)
        return decision(rows[0]) if rows else None

    async def breaks(self, account_id: AccountID, first: int) -> Sequence[Break]:
        """Return the newest breaks of an account."""
        return await self._items(BREAKS, _BREAKS, account_id=account_id, first=first)

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        """Return changes of trading state after an id, in order."""
        return await self._items(STATE_CHANGES, _STATE_CHANGES, after_id=after_id)

    def _names(self, symbol: str) -> Sequence[str]:
        # An order for an unknown symbol was recorded, and refused, under the name it came with.
        return sorted({symbol} | {each.id for each in self._catalogue if each.symbol == symbol})

    async def _items[T: DataclassInstance](
        self, of: Rows[T], query: Query, **values: object
    ) -> list[T]:
        return [of.item(row) for row in await self._database.ask(query, values)]


def _page(
    connection: Connection, query: Query, account_id: AccountID, values: Mapping[str, object]
) -> tuple[Sequence[Any], int]:
    """Read a list of an account together with the sequence number that it is as of."""
    rows = connection.rows(query, {"account_id": account_id, **values})
    return rows, _heads(connection, [account_id]).get(account_id, 0)


def _heads(connection: Connection, accounts: Collection[AccountID]) -> dict[AccountID, int]:
    return {row.id: row.last_seq for row in connection.rows(_HEADS, {"ids": accounts})}


_MSG_TYPE = list(tables.reports.c).index(tables.reports.c.msg_type)
_OF_TYPE = {
    msg_type: (of, itemgetter(*(list(tables.reports.c).index(column) for column in of.columns)))
    for msg_type, of in (
        (tables.EXECUTION_REPORT, EXECUTION_REPORTS),
        (tables.ORDER_CANCEL_REJECT, CANCEL_REJECTS),
    )
}


def _report(row: Sequence[Any]) -> Report:
    """Make the report that a row of all columns holds."""
    of, chosen = _OF_TYPE[row[_MSG_TYPE]]
    return of.item(chosen(row))
