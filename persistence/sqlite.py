"""The database in a SQLite file: one thread that writes, beside a few that read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import event, exc

from persistence.bare import BareConnection
from persistence.connection import Connection, Query
from persistence.database import Deferred, Turns, to_its_end
from trading.ids import TenantID
from trading.store import StoreUnavailable

_READERS = 4
_WAIT_S = 10
"""How long to wait for a turn, before the store counts as unavailable."""

# WAL lets readers go on beside the writer. With synchronous=FULL, what a commit acknowledged is on
# the disk. SQLite has each of these per connection, and keeps foreign keys only when told to.
_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


class SqliteDatabase:
    """Implements `persistence.database.Database`.

    SQLite has one writer, which takes its lock when it begins: a transaction that reads first and
    locks later would fail where another has written in between.
    """

    def __init__(self, file: Path) -> None:
        """Take the file, which is made when a connection is first needed."""
        url = sa.URL.create("sqlite+pysqlite", database=str(file))
        reading = _PRAGMAS | {"query_only": 1}
        self._writer = _Lane(_engine(url, 1, "BEGIN IMMEDIATE", _PRAGMAS), 1)
        self._readers = _Lane(_engine(url, _READERS, "BEGIN", reading), _READERS)

    def of_tenant(self, tenant_id: TenantID) -> Self:  # noqa: ARG002 - it knows no roles
        """Return itself: the one process that has the file open keeps tenants apart."""
        return self

    @property
    def urgent(self) -> Self:
        """This one: there is but one writer, and nobody holds it for long."""
        return self

    async def read[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        """Run a job on a connection that cannot write."""
        return await self._readers.whole(job, *args)

    async def ask(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read all rows of one query."""
        return await self._readers.whole(Connection.rows, query, values)

    async def write[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        """Run a job as a transaction of its own."""
        return await self._writer.whole(job, *args)

    @asynccontextmanager
    async def transaction(self, *, brief: bool = False) -> AsyncIterator[_Steps]:
        """Open a transaction, during which nobody else writes, so that no row is ever locked."""
        del brief
        async with self._writer.turns.turn():
            steps = _Steps(self._writer)
            try:
                yield steps
                await steps.commit()
            except BaseException:
                await steps.close()
                raise

    async def close(self) -> None:
        """Close all connections, once their jobs are done."""
        await self._writer.close()
        await self._readers.close()


class _Lane:
    """Threads with a connection each, and turns for as many callers at a time."""

    def __init__(self, engine: sa.Engine, threads: int) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self.turns = Turns(threads, _WAIT_S)

    async def run[*A, T](self, work: Callable[[*A], T], *args: *A) -> T:
        """Run on a thread, within a turn. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._threads, partial(_told, work, *args))
        except RuntimeError as error:
            raise StoreUnavailable("the store is closed") from error
        return await to_its_end(future)

    async def whole[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        """Run a job as a whole transaction. Raises StoreUnavailable."""
        async with self.turns.turn():
            return await self.run(self._transact, job, *args)

    def _transact[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        with self.engine.connect() as connection:
            connection.begin()
            result = job(BareConnection(connection), *args)
            _commit(connection)
            return result

    async def close(self) -> None:
        await self.turns.close()
        await asyncio.to_thread(self._threads.shutdown)
        self.engine.dispose()


class _Steps:
    """Implements `persistence.database.OpenTransaction` on the one thread that writes."""

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane
        self._connection: sa.Connection | None = None
        self._left = Deferred()

    async def do[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        return await self._lane.run(self._do, self._left.before(job, *args))

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        self._left.add(job, *args)

    async def commit(self) -> None:
        if self._connection is not None or self._left:
            await self._lane.run(self._commit)

    async def close(self) -> None:
        """Close the connection, which rolls back what is still open."""
        if self._connection is not None:
            await self._lane.run(self._connection.close)

    def _do[T](self, work: Callable[[BareConnection], T]) -> T:
        if self._connection is None:
            self._connection = self._lane.engine.connect()
            self._connection.begin()
        return work(BareConnection(self._connection))

    def _commit(self) -> None:
        self._do(self._left.before(lambda connection: _commit(connection.bare)))
        if self._connection is not None:
            self._connection.close()


def _commit(connection: sa.Connection) -> None:
    try:
        connection.commit()
    except BaseException:
        # SQLAlchemy takes a transaction whose commit has failed for ended, and would not roll it
        # back; SQLite holds it open, and every later one on this connection would fail.
        connection.invalidate()
        raise


def _told[*A, T](work: Callable[[*A], T], *args: *A) -> T:
    with _telling_unavailable():
        return work(*args)


@contextmanager
def _telling_unavailable() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailable(f"the store does not answer: {error}") from error


def _engine(url: sa.URL, size: int, begin: str, pragmas: Mapping[str, object]) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # they are clients' orders, and errors end up in logs
    )

    def connected(connection: Any, _record: object) -> None:
        # The driver would begin transactions on its own, at the first write, and so too late.
        connection.isolation_level = None
        set_pragmas(connection, pragmas)

    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
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
