"""A past for a store: real orders that were filled, multiplied by the database itself.

A gateway places a few orders in each account; whatever they leave behind in any table is then
copied many times over, a statement for each table, under ids, sequence numbers and instants of its
own. So the past has the rows, widths and proportions of real orders, whatever those are made of.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa

from bench import measuring, servers, stores
from bench.servers import Server
from persistence import tables
from persistence.opening import store_file

_ACCOUNTS = stores.MANY
_ORDERS_EACH = 2  # one buys and one sells, so that no position grows
_PATIENCE_S = 30
_LOOK_S = 0.05
_AT_ONCE = 2
_UNDER_WAY = (
    "SELECT id FROM orders WHERE status <> 'FILLED' UNION ALL SELECT account_id FROM outbox"
)
_IDS = frozenset(
    {
        "id",
        "key",
        "wire_id",
        "order_id",
        "cl_ord_id",
        "orig_cl_ord_id",
        "secondary_order_id",
        "exec_id",
        "exec_ref_id",
    }
)
_INSTANTS = ("_at", "_time")
_APART_NS = 1_000_000_000
_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies})"
_FIRST = 1_000_000  # numbers of one length, so that ids have one too


class NoPast(Exception):
    """What real orders have left behind cannot be multiplied."""


@contextmanager
def grown(name: str, directory: Path, reports: int) -> Iterator[Server]:
    """Run a gateway on a store with a past of about so many reports; none leaves it empty.

    Raises Refused, Unavailable and NoPast.
    """
    with servers.store(name, directory) as where:
        if reports:
            before = counts(where)
            with servers.GATEWAYS[name](directory, where=where) as server:
                measuring.place_some(server, _ACCOUNTS, _ORDERS_EACH * len(_ACCOUNTS))
                wait_until_over(where)
            multiply(where, before, reports)
        with servers.GATEWAYS[name](directory, where=where) as server:
            yield server


def wait_until_over(where: str | Path) -> None:
    """Wait until all orders are filled, and all of their reports are published. Raises NoPast."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if not ask(where, _UNDER_WAY):
            return
        time.sleep(_LOOK_S)
    raise NoPast(f"the first orders are not over after {_PATIENCE_S} seconds")


def counts(where: str | Path) -> Mapping[str, int]:
    """Count the rows of every table."""
    parts = [f"SELECT '{name}', count(*) FROM {name}" for name in tables.metadata.tables]  # noqa: S608
    return dict(ask(where, " UNION ALL ".join(parts)))


def multiply(where: str | Path, before: Mapping[str, int], reports: int) -> None:
    """Copy what orders have left behind until there are so many reports. Raises NoPast."""
    after = counts(where)
    # What an account or a symbol has one row of is no past: every order changes that same row.
    most = len(_ACCOUNTS) * _ORDERS_EACH
    past = [name for name in after.keys() - _OF_SEALS if after[name] - before[name] >= most]
    heads = {seq for (seq,) in ask(where, "SELECT last_seq FROM accounts WHERE last_seq > 0")}
    if len(heads) != 1 or "reports" not in past:
        raise NoPast(f"the orders of one account are not like those of another: {heads}")
    (head,) = heads
    copies = max(reports // after["reports"] - 1, 1)
    statements = [_copy(tables.metadata.tables[name], copies, head) for name in past]
    if isinstance(where, Path):
        _on_sqlite(where, [*statements, *_heads(copies)])
    else:
        asyncio.run(_on_postgresql(where, statements, _heads(copies)))


def _copy(table: sa.Table, copies: int, head: int) -> str:
    """Write the statement that makes copies of all rows of a table, in the order of time."""
    columns = [each.name for each in table.columns if each.autoincrement is not True]
    values = ", ".join(_value(name, copies, head) for name in columns)
    numbers = _NUMBERS.format(copies=copies)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) {numbers}"  # noqa: S608
        f" SELECT {values} FROM n CROSS JOIN {table.name} one"
    )


def _value(name: str, copies: int, head: int) -> str:
    if name in _IDS:
        return f"one.{name} || '-' || ({_FIRST} + i)"
    if name.endswith("seq"):
        return f"one.{name} + i * {head}"
    if name.endswith(_INSTANTS):
        return f"one.{name} - ({copies} - i + 1) * CAST({_APART_NS} AS BIGINT)"
    return f"one.{name}"


# Seals are made of what is there: those of copies would be of nothing. Their heads are made up.
_OF_SEALS = frozenset({"seals", "sealed_pages", "chain_heads"})
_SEALED = """
    INSERT INTO chain_heads (chain, last, head)
    SELECT 'account:' || id, last_seq, '{head}' FROM accounts WHERE last_seq > 0
    ON CONFLICT (chain) DO UPDATE SET last = excluded.last
"""
_CHECKPOINTS = """
    INSERT INTO exposure_checkpoints (account_id, seq, net_qty, epoch)
    SELECT account_id, max(seq), '{}', 1 FROM fills GROUP BY account_id
"""


def _heads(copies: int) -> Sequence[str]:
    """Write the statements that have the accounts know how far their sequences go.

    Who watches and seals has kept up with all of it: what was held is flat again.
    """
    return (
        _CHECKPOINTS,
        f"UPDATE accounts SET last_seq = last_seq * ({copies} + 1)",  # noqa: S608
        f"UPDATE positions SET as_of_seq = as_of_seq * ({copies} + 1)",  # noqa: S608
        _SEALED.format(head="0" * 64),
    )


def ask(where: str | Path, question: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    if isinstance(where, Path):
        with closing(sqlite3.connect(store_file(where))) as connection:
            return connection.execute(question).fetchall()
    return asyncio.run(_fetch(where, question))


async def _fetch(url: str, question: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(question)]
    finally:
        await connection.close()


def _on_sqlite(directory: Path, statements: Sequence[str]) -> None:
    with closing(sqlite3.connect(store_file(directory))) as connection:
        connection.execute("PRAGMA cache_size = -1000000")
        connection.executescript("BEGIN;" + ";".join(statements) + ";COMMIT;ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)
       AND tablename IN ('orders', 'reports', 'commands', 'decisions', 'fills')
"""


async def _on_postgresql(url: str, copying: Sequence[str], after: Sequence[str]) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def run(*statements: str) -> None:
        async with turns:
            connection = await asyncpg.connect(url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

    # A copy refers to copies: to look each of them up would take longer than all the rest, and so
    # would entering each in every index. Nothing of this need outlast a power cut.
    quick = "SET session_replication_role = replica; SET synchronous_commit = off"
    indexes = await _fetch(url, _INDEXES)
    await run(*(f"DROP INDEX {name}" for name, _ in indexes))
    await asyncio.gather(*(run(quick, statement) for statement in copying))
    roomy = "SET maintenance_work_mem = '512MB'"
    await asyncio.gather(*(run(roomy, statement) for _, statement in indexes))
    # A database that has run for a while knows its tables, and has no rows to tidy up after.
    await run(*after, "VACUUM (ANALYZE)", "CHECKPOINT")
