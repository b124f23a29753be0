"""One transaction of the store: lock the accounts, load what is asked for, save what changed.

The number of statements does not grow with the number of accounts, orders or commands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from persistence import tables
from persistence.database import Connection
from persistence.limits import current_limits
from persistence.mapping import (
    ACCOUNTS,
    APPROVAL_REQUESTS,
    BREAKS,
    CANCEL_REJECTS,
    CLAIMS,
    COMMANDS,
    DECISIONS,
    EXECUTION_REPORTS,
    FILLS,
    ORDERS,
    POSITIONS,
    QUOTES,
    STATE_CHANGES,
)
from persistence.rows import Rows, Values
from persistence.within import within
from trading.account import Account
from trading.books import Books, ClaimKey, Wants
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import ExecutionReport, OrderCancelReject, Report
from trading.ids import AccountID, ClOrdID, OrderID, WireID
from trading.instrument import Catalogue

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class SqlTransaction:
    """A transaction that has begun; it sees the accounts that it has locked, and no others."""

    def __init__(self, connection: Connection, catalogue: Catalogue) -> None:
        """Take the connection, inside its transaction."""
        self._connection = connection
        self._catalogue = catalogue
        self._asked: frozenset[AccountID] = frozenset()
        self._locked: dict[AccountID, Account] = {}

    async def lock(self, accounts: Collection[AccountID]) -> None:
        """Lock the account rows in the order of their ids; always first, and nothing else.

        SQLite leaves FOR UPDATE out: there the lock was taken when the transaction began.
        """
        statement = (
            ACCOUNTS.select()
            .where(within(tables.accounts.c.id, accounts))
            .order_by(tables.accounts.c.id)
            .with_for_update()
        )
        rows = await self._connection.rows(statement)
        self._asked = frozenset(accounts)
        self._locked = {account.id: account for account in map(ACCOUNTS.item, rows)}

    async def load(self, wants: Wants) -> Books:
        """Read what was asked for, of the locked accounts. Raises ValueError for one not locked."""
        if unlocked := wants.accounts - self._asked:
            raise ValueError(f"lock accounts before loading them: {', '.join(sorted(unlocked))}")
        books = Books(catalogue=self._catalogue)
        books.accounts = {each: self._locked[each] for each in wants.accounts & set(self._locked)}
        await self._load_claims(books, wants.cl_ord_ids)
        await self._load_orders(books, wants)
        await self._load_fills(books, wants.fills_of)
        await self._load_exposure(books, wants)
        await self._load_seen_keys(books, wants.broker_keys)
        return books

    async def _select[T: DataclassInstance](
        self, of: Rows[T], *conditions: sa.ColumnElement[bool]
    ) -> list[T]:
        rows = await self._connection.rows(of.select().where(*conditions))
        return [of.item(row) for row in rows]

    async def _load_claims(self, books: Books, keys: Collection[ClaimKey]) -> None:
        if not keys:
            return
        table = tables.cl_ord_ids
        wanted = sa.tuple_(table.c.account_id, table.c.cl_ord_id).in_(sorted(keys))
        claims = await self._select(CLAIMS, wanted)
        books.claims = {(claim.account_id, claim.cl_ord_id): claim for claim in claims}
        await self._load_cancel_rejects(
            books, {(c.account_id, c.reject_seq) for c in claims if c.reject_seq is not None}
        )

    async def _load_cancel_rejects(
        self, books: Books, keys: Collection[tuple[AccountID, int]]
    ) -> None:
        if not keys:
            return
        table = tables.reports
        wanted = sa.tuple_(table.c.account_id, table.c.seq).in_(sorted(keys))
        rejects = await self._select(CANCEL_REJECTS, wanted)
        books.cancel_rejects = {(each.account_id, each.seq): each for each in rejects}

    async def _load_orders(self, books: Books, wants: Wants) -> None:
        wire_ids = wants.wire_ids | wants.fills_of
        await self._load_commands(books, within(tables.commands.c.wire_id, wire_ids), wire_ids)
        order_ids = wants.order_ids | {c.order_id for c in books.commands.values()}
        order_ids |= {c.order_id for c in books.claims.values() if c.order_id is not None}
        conditions = _orders_wanted(order_ids, wire_ids, wants.open_orders_of)
        if not conditions:
            return
        # Left to the database, the choice of accounts would read their whole history.
        orders = await self._select(ORDERS, sa.or_(*conditions))
        books.orders = {order.id: order for order in orders if order.account_id in self._locked}
        of_those = within(tables.commands.c.order_id, set(books.orders))
        await self._load_commands(books, of_those & tables.OPEN_COMMAND, books.orders)

    async def _load_commands(
        self, books: Books, condition: sa.ColumnElement[bool], wanted: Collection[str]
    ) -> None:
        if wanted:
            for command in await self._select(COMMANDS, condition):
                if command.account_id in self._locked:
                    books.commands[command.wire_id] = command

    async def _load_fills(self, books: Books, wire_ids: Collection[WireID]) -> None:
        found = {order.id for wire in wire_ids if (order := books.order_of(wire)) is not None}
        if not found:
            return
        statement = FILLS.select().where(within(tables.fills.c.order_id, found))
        for row in await self._connection.rows(statement.order_by(tables.fills.c.seq)):
            fill = FILLS.item(row)
            books.fills.setdefault(fill.order_id, []).append(fill)

    async def _load_exposure(self, books: Books, wants: Wants) -> None:
        accounts = set(books.accounts)
        held = await self._select(POSITIONS, within(tables.positions.c.account_id, accounts))
        books.positions = {(each.account_id, each.symbol): each for each in held}
        books.limits = await current_limits(self._connection, accounts)
        symbols = wants.symbols | {position.symbol for position in held}
        if symbols:
            quotes = await self._select(QUOTES, within(tables.reference_prices.c.symbol, symbols))
            books.references = {quote.symbol: quote for quote in quotes}

    async def _load_seen_keys(self, books: Books, keys: Collection[str]) -> None:
        if keys:
            table = tables.broker_events
            statement = sa.select(table.c.key).where(within(table.c.key, keys))
            books.seen_keys = {row.key for row in await self._connection.rows(statement)}

    async def save(self, books: Books) -> None:
        """Write all changes of the books, and the outbox rows of their reports.

        Raises IntegrityError where a ClOrdID, a fill, a sequence number or a broker's event is
        recorded already: its transaction must not commit.
        """
        await self._save_state(books)
        await self._save_log(books)
        await self._save_notices(books)

    async def _save_state(self, books: Books) -> None:
        await self._put(ACCOUNTS, [books.accounts[each] for each in sorted(books.changed_accounts)])
        await self._put(ORDERS, [books.orders[each] for each in sorted(books.changed_orders)])
        await self._put(
            POSITIONS, [books.positions[each] for each in sorted(books.changed_positions)]
        )
        await self._put(COMMANDS, [books.commands[each] for each in sorted(books.changed_commands)])

    async def _save_log(self, books: Books) -> None:
        await self._add(CLAIMS, books.new_claims)
        decisions = [_decision(books, *each) for each in books.new_decisions]
        await self._connection.insert(tables.decisions, decisions)
        executions = [each for each in books.new_reports if isinstance(each, ExecutionReport)]
        rejects = [each for each in books.new_reports if isinstance(each, OrderCancelReject)]
        await self._add(EXECUTION_REPORTS, executions)
        await self._add(CANCEL_REJECTS, rejects)
        await self._add(FILLS, books.new_fills)
        keys = [{"key": key} for key in books.new_broker_keys]
        await self._connection.insert(tables.broker_events, keys)

    async def _save_notices(self, books: Books) -> None:
        await self._add(BREAKS, books.new_breaks)
        changes = [_numbered(change) for change in books.new_state_changes]
        await self._connection.insert(tables.trading_state_changes, changes)
        await self._put(APPROVAL_REQUESTS, books.new_approval_requests)
        if books.cursor is not None:
            broker, position = books.cursor
            cursor = {"broker": broker, "position": position}
            await self._connection.put(tables.stream_cursors, [cursor])
        await self._connection.insert(tables.outbox, _outbox(books.new_reports))

    async def _put[T: DataclassInstance](self, of: Rows[T], items: Iterable[T]) -> None:
        await self._connection.put(of.table, [of.values(item) for item in items])

    async def _add[T: DataclassInstance](self, of: Rows[T], items: Iterable[T]) -> None:
        await self._connection.insert(of.table, [of.values(item) for item in items])


def _orders_wanted(
    order_ids: Collection[OrderID],
    wire_ids: Collection[WireID],
    open_orders_of: Collection[AccountID],
) -> list[sa.ColumnElement[bool]]:
    table = tables.orders
    conditions: list[sa.ColumnElement[bool]] = []
    if order_ids:
        conditions.append(within(table.c.id, order_ids))
    if wire_ids:
        conditions.append(within(table.c.wire_id, wire_ids))
    if open_orders_of:
        conditions.append(within(table.c.account_id, open_orders_of) & tables.OPEN_ORDER)
    return conditions


def _decision(
    books: Books, account_id: AccountID, cl_ord_id: ClOrdID, decision: RiskDecision
) -> Values:
    claim = books.claims[account_id, cl_ord_id]
    ids = {"account_id": account_id, "cl_ord_id": cl_ord_id, "order_id": claim.order_id}
    return ids | DECISIONS.values(decision)


def _numbered(change: TradingStateChange) -> Values:
    # The database gives the number.
    return {name: value for name, value in STATE_CHANGES.values(change).items() if name != "id"}


def _outbox(reports: Sequence[Report]) -> list[Values]:
    """Say which reports are new: one range per account, as its sequence has no gaps."""
    seqs: dict[AccountID, list[int]] = {}
    for report in reports:
        seqs.setdefault(report.account_id, []).append(report.seq)
    return [
        {"account_id": account_id, "first_seq": min(each), "last_seq": max(each)}
        for account_id, each in sorted(seqs.items())
    ]
