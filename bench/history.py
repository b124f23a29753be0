"""A past for a store: so many reports of orders that were filled, spread over its accounts.

The rows are made by the database itself, in a statement for each table and account, so that
millions take minutes. The decisions' checks are left empty: they are long, and nobody reads them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from bench import rows, stores
from persistence.opening import store_file

REPORTS_PER_ORDER = 3
_ACCOUNTS = [stores.HOT, *stores.MANY]
_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
_STEPS = (("PENDING_NEW", 0), ("NEW", 0), ("TRADE", 1))


def fill(where: str | Path, reports: int) -> None:
    """Prepare a store with a past of about so many reports."""
    stores.prepare(where)
    count = reports // REPORTS_PER_ORDER // len(_ACCOUNTS)
    statements = [each for account in _ACCOUNTS for each in _statements(account, count)]
    # A database that has run for a while knows its tables; one that was filled at once does not.
    statements.append("ANALYZE")
    if isinstance(where, Path):
        _on_sqlite(where, statements)
    else:
        asyncio.run(_on_postgresql(where, statements))


def _on_sqlite(directory: Path, statements: list[str]) -> None:
    connection = sqlite3.connect(store_file(directory))
    connection.executescript("BEGIN;" + ";".join(statements) + ";COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _on_postgresql(url: str, statements: list[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _statements(account: str, count: int) -> Iterator[str]:
    order = {
        "accountId": account,
        "clOrdId": "client",
        "symbol": "AAPL",
        "side": "BUY",
        "ordType": "MARKET",
        "orderQty": "1",
    }
    made = rows.rows(order, 1)
    for name in ("orders", "commands", "cl_ord_ids", "decisions"):
        yield _insert(name, {**made[name], **_ENDED.get(name, {})}, made, count)
    for step, (exec_type, qty) in enumerate(_STEPS, 1):
        yield _insert("reports", _report(made["reports"], exec_type, qty), made, count, step)
    yield _insert("fills", _fill(made["reports"]), made, count, len(_STEPS))
    for step in range(1, len(_STEPS)):
        yield _insert("broker_events", {"key": made["orders"]["id"]}, made, count, step)
    yield f"UPDATE accounts SET last_seq = {count * len(_STEPS)} WHERE id = '{account}'"  # noqa: S608


_ENDED: Mapping[str, Mapping[str, Any]] = {
    "orders": {"status": "FILLED", "cum_qty": Decimal(1), "cum_value": Decimal(230)},
    "commands": {"state": "ACKED"},
    "decisions": {"checks": "[]"},
}


def _report(row: Mapping[str, Any], exec_type: str, qty: int) -> dict[str, Any]:
    status = "FILLED" if exec_type == "TRADE" else exec_type
    px = Decimal(230) if qty else None
    filled = {"last_qty": Decimal(qty), "cum_qty": Decimal(qty), "leaves_qty": Decimal(1 - qty)}
    return {**row, **filled, "exec_type": exec_type, "ord_status": status, "last_px": px}


def _fill(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("account_id", "exec_id", "exec_ref_id", "origin", "order_id", "symbol", "side", "seq")
    kept = {name: row[name] for name in (*names, "transact_time")}
    return kept | {"exec_type": "TRADE", "last_qty": Decimal(1), "last_px": Decimal(230)}


def _insert(
    name: str,
    row: Mapping[str, Any],
    made: Mapping[str, Mapping[str, Any]],
    count: int,
    step: int = 1,
) -> str:
    account, of_order = made["orders"]["account_id"], made["orders"]["id"]
    # An order's id is also that of its messages, which differ by their place in its life.
    ids = {"exec_id": f"'past-{account}-{step}-' || i", "key": f"'past-{account}-{step}-' || i"}
    numbers = {"seq": f"(i - 1) * {len(_STEPS)} + {step}", "last_seq": f"i * {len(_STEPS)}"}
    values = []
    for column, value in row.items():
        if column in ids | numbers:
            values.append((ids | numbers)[column])
        elif value in {of_order, "client"}:
            values.append(f"'past-{account}-' || i")
        else:
            values.append(_literal(value))
    names = ", ".join(f'"{column}"' for column in row)
    numbered = _NUMBERS.format(count=count)
    return f"INSERT INTO {name} ({names}) {numbered} SELECT {', '.join(values)} FROM n"  # noqa: S608


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case int():
            return str(value)
        case _:
            return f"'{value}'"
