"""What a transaction saves: all changes of the books, and which reports are news.

The number of statements does not grow with the number of accounts, orders or commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from persistence import tables
from persistence.database import Connection
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
    STATE_CHANGES,
)
from persistence.rows import Rows, Values
from trading.books import Books
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import ExecutionReport, OrderCancelReject, Report
from trading.ids import AccountID, ClOrdID
from trading.store import shard_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def save(connection: Connection, books: Books) -> None:
    """Write all changes of the books, and the outbox rows of their reports.

    Raises IntegrityError where a ClOrdID, a fill, a sequence number or a broker's event is
    recorded already: its transaction must not commit.
    """
    _save_state(connection, books)
    _save_log(connection, books)
    _save_notices(connection, books)


def _save_state(connection: Connection, books: Books) -> None:
    _put(connection, ACCOUNTS, [books.accounts[each] for each in sorted(books.changed_accounts)])
    _put(connection, ORDERS, [books.orders[each] for each in sorted(books.changed_orders)])
    positions = [books.positions[each] for each in sorted(books.changed_positions)]
    _put(connection, POSITIONS, positions)
    _put(connection, COMMANDS, [books.commands[each] for each in sorted(books.changed_commands)])


def _save_log(connection: Connection, books: Books) -> None:
    _add(connection, CLAIMS, books.new_claims)
    decisions = [_decision(books, *each) for each in books.new_decisions]
    connection.insert(tables.decisions, decisions)
    executions = [each for each in books.new_reports if isinstance(each, ExecutionReport)]
    rejects = [each for each in books.new_reports if isinstance(each, OrderCancelReject)]
    _add(connection, EXECUTION_REPORTS, executions)
    _add(connection, CANCEL_REJECTS, rejects)
    _add(connection, FILLS, books.new_fills)
    keys = [{"key": key} for key in books.new_broker_keys]
    connection.insert(tables.broker_events, keys)


def _save_notices(connection: Connection, books: Books) -> None:
    _add(connection, BREAKS, books.new_breaks)
    changes = [_numbered(change) for change in books.new_state_changes]
    connection.insert(tables.trading_state_changes, changes)
    _put(connection, APPROVAL_REQUESTS, books.new_approval_requests)
    if books.cursor is not None:
        broker, position = books.cursor
        cursor = {"broker": broker, "position": position}
        connection.put(tables.stream_cursors, [cursor])
    connection.insert(tables.outbox, _outbox(books.new_reports))


def _put[T: DataclassInstance](connection: Connection, of: Rows[T], items: Iterable[T]) -> None:
    connection.put(of.table, [of.values(item) for item in items])


def _add[T: DataclassInstance](connection: Connection, of: Rows[T], items: Iterable[T]) -> None:
    connection.insert(of.table, [of.values(item) for item in items])


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
        {
            "account_id": account_id,
            "first_seq": min(each),
            "last_seq": max(each),
            "shard": shard_of(account_id),
        }
        for account_id, each in sorted(seqs.items())
    ]
