"""Connections to the database: who may write, who reads, and how a transaction always ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from persistence.rows import Values, upsert
from trading.store import StoreUnavailable

_READERS = 4
_WAIT_SECONDS = 10
"""How long to wait for a connection, before the store counts as unavailable."""

# WAL lets readers go on beside the writer. With synchronous=FULL, what a commit acknowledged is on
# the disk. SQLite has each of these per connection, and keeps foreign keys only when told to.
_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


class Connection:
    """A connection inside a transaction, whose statements run to their end even when canceled."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Wrap a connection that has begun a transaction."""
        self._connection = connection

    async def rows(self, statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> Sequence[Any]:
        """Read all rows. Raises StoreUnavailable."""
        result: sa.CursorResult[Any] = await to_its_end(self._connection.execute(statement))
        return result.all()

    async def insert(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows. Raises IntegrityError where one is there already."""
        await self.run(sa.insert(table), rows)

    async def put(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows, in place of those with the same primary keys."""
        await self.run(upsert(table, self._connection.dialect.name), rows)

    async def run(self, statement: sa.Executable, rows: Sequence[Values]) -> None:
        """Run a statement once for each row, and so not at all for none."""
        if rows:
            await to_its_end(self._connection.execute(statement, rows))


class Database:
    """One database: a single writer's connection beside a pool of readers'.

    SQLite has one writer, which takes its lock when it begins: a transaction that reads first and
    locks later would fail where another has written in between.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        """Take the engines."""
        self._writer, self._reader = writer, reader

    def write(self) -> AbstractAsyncContextManager[Connection]:
        """Begin a transaction that may write; it commits on a clean exit, and else rolls back."""
        return _transaction(self._writer)

    def read(self) -> AbstractAsyncContextManager[Connection]:
        """Begin a transaction that sees one state of the database and cannot write."""
        return _transaction(self._reader)

    async def connect(self) -> None:
        """Make all connections, so that no caller who is canceled leaves one half made."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.write())
            for _ in range(_READERS):
                await stack.enter_async_context(self.read())

    @asynccontextmanager
    async def administer(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the writer's bare connection, for migrations."""
        async with self._writer.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.dispose()
        await self._writer.dispose()


def sqlite_database(file: Path) -> Database:
    """Describe the database in a file, which is made when it is first written to."""
    url = sa.URL.create("sqlite+aiosqlite", database=str(file))
    return Database(
        _engine(url, size=1, begin="BEGIN IMMEDIATE", pragmas=_PRAGMAS),
        _engine(url, size=_READERS, begin="BEGIN", pragmas=_PRAGMAS | {"query_only": 1}),
    )


def _engine(url: sa.URL, size: int, begin: str, pragmas: Mapping[str, object]) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=_WAIT_SECONDS,
        hide_parameters=True,  # they are clients' orders, and errors end up in logs
    )

    def connected(connection: Any, _record: object) -> None:
        # The driver would begin transactions on its own, at the first write, and so too late.
        connection.isolation_level = None
        set_pragmas(connection, pragmas)

    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
    return engine


def set_pragmas(connection: Any, pragmas: Mapping[str, object]) -> None:
    """Set what a connection must have, and see that it has. Raises StoreUnavailable."""
    cursor = connection.cursor()
    for name, value in pragmas.items():
        cursor.execute(f"PRAGMA {name} = {value}")
        cursor.execute(f"PRAGMA {name}")
        # SQLite answers a pragma that it cannot set with the value it keeps instead.
        if (found := cursor.fetchone()[0]) != value:
            raise StoreUnavailable(f"SQLite keeps {name} at {found!r} where {value!r} is needed")
    cursor.close()


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    with _telling_unavailable():
        connection = await engine.connect()
        try:
            await to_its_end(connection.begin().start())
            yield Connection(connection)
            await to_its_end(connection.commit())
        finally:
            # Closing rolls back what is still open.
            await to_its_end(connection.close())


@contextmanager
def _telling_unavailable() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailable(f"the store does not answer: {error}") from error


async def to_its_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, however often the caller is canceled; the cancellation comes after it.

    A statement that is left alone in the middle would leave its connection, and the locks that it
    holds, in a state that nobody knows.
    """
    task = asyncio.ensure_future(work)
    canceled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            canceled = error
        except Exception:  # noqa: BLE001 - the task keeps it, and its result raises it
            break
    if canceled is not None:
        task.exception()
        raise canceled
    return task.result()
