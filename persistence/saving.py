"""What a transaction saves: all changes of the books, and which reports are news.

The number of statements does not grow with the number of accounts, orders or commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from persistence import tables
from persistence.audit import record_acts
from persistence.connection import Change, Connection
from persistence.judged import form_row
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
    SCOPE_STATES,
    STATE_CHANGES,
)
from persistence.rows import Rows, Values, Way
from trading.books import Books
from trading.control import TradingStateChange
from trading.decision import Judged, RiskDecision
from trading.execution import ExecutionReport, OrderCancelReject
from trading.ids import AccountID, ClOrdID
from trading.probe import traces
from trading.store import shard_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TRACES_MAX = 32
"""Of how many traces a row of the outbox tells at most."""


def save(connection: Connection, books: Books) -> None:
    """Write all changes of the books, and the outbox rows of their reports.

    Raises IntegrityError where a ClOrdID, a fill, a sequence number or a broker's event is
    recorded already: its transaction must not commit.
    """
    connection.change([*_state(books), *_log(books), *_notices(books)])
    record_acts(connection, books.new_acts)


def _state(books: Books) -> Iterator[Change]:
    yield _put(ACCOUNTS, [books.accounts[each] for each in sorted(books.changed_accounts)])
    yield _put(ORDERS, [books.orders[each] for each in sorted(books.changed_orders)])
    yield _put(POSITIONS, [books.positions[each] for each in sorted(books.changed_positions)])
    yield _put(COMMANDS, [books.commands[each] for each in sorted(books.changed_commands)])


def _log(books: Books) -> Iterator[Change]:
    yield _add(CLAIMS, books.new_claims)
    yield Change(Way.INSERT_MISSING, tables.decision_forms, _forms(books))
    yield _insert(tables.decisions, [_decision(books, *each) for each in books.new_decisions])
    executions = [each for each in books.new_reports if isinstance(each, ExecutionReport)]
    yield _add(EXECUTION_REPORTS, executions)
    rejects = [each for each in books.new_reports if isinstance(each, OrderCancelReject)]
    yield _add(CANCEL_REJECTS, rejects)
    yield _add(FILLS, books.new_fills)
    yield _insert(tables.broker_events, [{"key": key} for key in books.new_broker_keys])


def _notices(books: Books) -> Iterator[Change]:
    yield _add(BREAKS, books.new_breaks)
    changes = [_numbered(change) for change in books.new_state_changes]
    yield _insert(tables.trading_state_changes, changes)
    yield _put(APPROVAL_REQUESTS, books.new_approval_requests)
    yield _put(SCOPE_STATES, books.new_scope_states)
    if books.cursor is not None:
        broker, position = books.cursor
        yield Change(Way.PUT, tables.stream_cursors, [{"broker": broker, "position": position}])
    yield _insert(tables.outbox, _outbox(books))


def _put[T: DataclassInstance](of: Rows[T], items: Sequence[T]) -> Change:
    return Change(Way.PUT, of.table, of.of_all(items))


def _add[T: DataclassInstance](of: Rows[T], items: Sequence[T]) -> Change:
    return _insert(of.table, of.of_all(items))


def _insert(table: sa.Table, rows: Sequence[Values]) -> Change:
    return Change(Way.INSERT, table, rows)


def _decision(
    books: Books, account_id: AccountID, cl_ord_id: ClOrdID, decision: RiskDecision
) -> Values:
    claim = books.claims[account_id, cl_ord_id]
    ids = {"account_id": account_id, "cl_ord_id": cl_ord_id, "order_id": claim.order_id}
    form_id = form_row(checks.form)["id"] if isinstance(checks := decision.checks, Judged) else None
    return ids | {"form_id": form_id} | DECISIONS.values(decision)


def _forms(books: Books) -> list[Values]:
    judged = (each.checks for _, _, each in books.new_decisions)
    forms = {each.form for each in judged if isinstance(each, Judged)}
    return [form_row(each) for each in forms]


def _numbered(change: TradingStateChange) -> Values:
    # The database gives the number.
    return {name: value for name, value in STATE_CHANGES.values(change).items() if name != "id"}


def _outbox(books: Books) -> list[Values]:
    """Say which reports are new: one range per account, as its sequence has no gaps."""
    seqs: dict[AccountID, list[int]] = {}
    for report in books.new_reports:
        seqs.setdefault(report.account_id, []).append(report.seq)
    traced: dict[AccountID, set[str]] = {}
    for traceparent, order_id in traces(books):
        traced.setdefault(books.orders[order_id].account_id, set()).add(traceparent)
    return [
        {
            "account_id": account_id,
            "first_seq": min(each),
            "last_seq": max(each),
            "shard": shard_of(account_id),
            "traceparents": " ".join(sorted(traced.get(account_id, ()))[:TRACES_MAX]) or None,
        }
        for account_id, each in sorted(seqs.items())
    ]
