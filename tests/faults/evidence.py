"""What the two sides hold on to: all that a store has recorded, and an exchange's own journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from brokers.paper.codec import decode
from brokers.paper.ledger import Ledger
from brokers.paper.messages import NewOrder, Report
from brokers.paper.translation import read_cursor
from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.mapping import (
    ACCOUNTS,
    BREAKS,
    CANCEL_REJECTS,
    CLAIMS,
    COMMANDS,
    EXECUTION_REPORTS,
    FILLS,
    INSTRUMENTS,
    ORDERS,
    POSITIONS,
)
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.sqlite import SqliteDatabase
from trading.account import Account, Position
from trading.command import Claim, Command
from trading.execution import Break, ExecutionReport, Fill
from trading.execution import Report as LogEntry
from trading.ids import AccountID, InstrumentID, WireID
from trading.instrument import Instrument
from trading.order import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """One snapshot of a store; `reports` are in the order of their accounts and numbers.

    `unpublished` counts the rows of the outbox, `heard` is the number of the exchange's last event
    that is recorded, and `epoch` that of the paper session's lease, if it is leased at all.
    """

    accounts: Mapping[AccountID, Account]
    instruments: Mapping[InstrumentID, Instrument]
    orders: Sequence[Order]
    commands: Sequence[Command]
    claims: Sequence[Claim]
    reports: Sequence[LogEntry]
    fills: Sequence[Fill]
    positions: Sequence[Position]
    breaks: Sequence[Break]
    unpublished: int
    heard: int
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What an exchange says happened: its ledger, and how often each wire id asked for an order."""

    ledger: Ledger
    asked: Counter[WireID]
    fills: Sequence[Report]


def recorded(connection: Connection) -> Records:
    """Read a whole store in the one transaction that is given."""

    def everything(of: Any, *conditions: Any) -> Any:
        return connection.items(of, of.select().where(*conditions))

    kind = tables.reports.c.msg_type
    reports = [
        *everything(EXECUTION_REPORTS, kind == tables.EXECUTION_REPORT),
        *everything(CANCEL_REJECTS, kind == tables.ORDER_CANCEL_REJECT),
    ]
    cursors = connection.rows(sa.select(tables.stream_cursors.c.position))
    lease = sa.select(tables.leases.c.epoch).where(tables.leases.c.name == "paper")
    leases = connection.rows(lease)
    return Records(
        accounts={each.id: each for each in everything(ACCOUNTS)},
        instruments={each.id: each for each in everything(INSTRUMENTS)},
        orders=everything(ORDERS),
        commands=everything(COMMANDS),
        claims=everything(CLAIMS),
        reports=sorted(reports, key=lambda report: (report.account_id, report.seq)),
        fills=everything(FILLS),
        positions=everything(POSITIONS),
        breaks=everything(BREAKS),
        unpublished=len(connection.rows(sa.select(tables.outbox.c.id))),
        heard=read_cursor(cursors[0].position)[1] if cursors else 0,
        epoch=leases[0].epoch if leases else None,
    )


def _recorded_at_leisure(connection: Connection) -> Records:
    # A server ends who says nothing for seconds, as while many rows are taken apart.
    connection.text("SET LOCAL idle_in_transaction_session_timeout = 0")
    return recorded(connection)


def traded(journal: Path) -> Market:
    """Fold an exchange's journal; a line that is still being written does not count yet.

    Raises ValueError where an entry does not fit those before, as one that uses a wire id again.
    """
    ledger, asked, fills = Ledger(), Counter[WireID](), []
    _, *lines = journal.read_bytes().splitlines(keepends=True)
    for line in lines:
        if not line.endswith(b"\n"):
            break
        entry = decode(line)
        if isinstance(entry.request, NewOrder):
            asked[entry.request.wire_id] += 1
        ledger.restore(entry)
        fills += [e for e in entry.events if isinstance(e, Report) and e.exec_type.is_fill]
    return Market(ledger=ledger, asked=asked, fills=fills)


def database_at(url: str) -> Database:
    """Name a store by `postgresql://…`, or by `sqlite:///` and the path of its file."""
    address = sa.make_url(url)
    match address.get_backend_name(), address.database:
        case "postgresql", _:
            return PostgresqlDatabase.at(address.set(drivername=DRIVER))
        case "sqlite", str(file):
            return SqliteDatabase(Path(file))
        case _:
            raise ValueError("say postgresql://… or sqlite:///FILE")


async def read_store(url: str) -> Records:
    """Read all that a store has recorded, as of one moment."""
    database = database_at(url)
    try:
        return await database.read(
            recorded if isinstance(database, SqliteDatabase) else _recorded_at_leisure
        )
    finally:
        await database.close()


def executions(records: Records) -> list[ExecutionReport]:
    """Return the execution reports of a log."""
    return [each for each in records.reports if isinstance(each, ExecutionReport)]
