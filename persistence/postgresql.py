"""The database on a PostgreSQL server, which any number of processes share.

Its connections are of three kinds, so that none waits for another's: those of orders and all other
writing, those of reading, and a reserve for what must not wait behind either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from persistence.database import Connection, Deferred, Turns, to_its_end
from trading.store import StoreBusy, StoreUnavailable

DRIVER = "postgresql+asyncpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there are, and the seconds for which each kind of waiting goes on.

    `wait_s` is for a connection, `lock_s` for a row that is locked, `statement_s` for a statement.
    The server keeps the last two, so that a process that stops in the middle holds nobody up.
    """

    connections: int
    wait_s: float
    lock_s: float
    statement_s: float


# Who stops in the middle of a transaction loses its locks after this; the reserve waits longer for
# a lock, and so always gets through.
_IDLE_S = 3.0
_ORDERS = Limits(connections=6, wait_s=1.0, lock_s=2.0, statement_s=5.0)
_READING = Limits(connections=4, wait_s=5.0, lock_s=2.0, statement_s=5.0)
_RESERVE = Limits(connections=3, wait_s=5.0, lock_s=5.0, statement_s=10.0)

# Migrations may take long, but must not wait long for a table: all others would wait behind them.
_ADMINISTRATION = Limits(connections=1, wait_s=5.0, lock_s=1.0, statement_s=600.0)

_CONNECT_S = 5.0
# How much later than the server the client gives up: then the network is gone, not the statement.
_MARGIN_S = 2.0
_TRIES = 3

_CONFLICTS = frozenset({"40001", "40P01"})
"""A serialization failure, a deadlock: the server has rolled back, and begins again gladly."""

_GIVEN_UP = _CONFLICTS | {"55P03", "57014"}
"""Also a lock and a statement that took too long: rolled back as well, but after a while."""

# Connections, resources, an operator's hand, the system below; and a server that may not write,
# as one that is no longer the primary.
_UNAVAILABLE = ("08", "53", "57", "58", "25006", "25P03")


class PostgresqlDatabase:
    """Implements `persistence.database.Database`."""

    def __init__(self, writing: Pool, reading: Pool, urgent: PostgresqlDatabase | None) -> None:
        """Take the connections; without others that are more urgent, these are."""
        self._writing, self._reading, self._urgent = writing, reading, urgent

    @classmethod
    def at(cls, url: sa.URL) -> Self:
        """Name the server and its database; a connection is made when one is first needed."""
        reserve = Pool(url, _RESERVE)
        urgent = PostgresqlDatabase(reserve, reserve, None)
        return cls(Pool(url, _ORDERS), Pool(url, _READING), urgent)

    @property
    def urgent(self) -> PostgresqlDatabase:
        """The same database by the reserve."""
        return self._urgent or self

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job in a transaction that sees one snapshot and cannot write."""
        async with self._reading.transaction(is_read_only=True) as steps:
            return await steps.do(job, *args)

    async def write[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job as a transaction of its own."""
        async with self._writing.transaction() as steps:
            return await steps.do(job, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Steps]:
        """Open a transaction at READ COMMITTED."""
        async with self._writing.transaction() as steps:
            yield steps

    async def close(self) -> None:
        """Close all connections, once their transactions are over."""
        await self._writing.close()
        await self._reading.close()
        if self._urgent is not None:
            await self._urgent.close()


def administration(url: sa.URL) -> PostgresqlDatabase:
    """Name a database for a moment, to change its schema."""
    pool = Pool(url, _ADMINISTRATION)
    return PostgresqlDatabase(pool, pool, None)


class Pool:
    """Connections to one database, and turns for as many transactions."""

    def __init__(self, url: sa.URL, limits: Limits) -> None:
        """Take the address and the limits; nothing connects yet."""
        self._turns = Turns(limits.connections, limits.wait_s)
        self._engine = _engine(url, limits)
        self._reader = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @asynccontextmanager
    async def transaction(self, *, is_read_only: bool = False) -> AsyncIterator[_Steps]:
        """Open a transaction; it commits on a clean exit, and else rolls back."""
        async with self._turns.turn():
            steps = _Steps(self._reader if is_read_only else self._engine)
            try:
                yield steps
                await steps.commit()
            finally:
                await steps.close()

    async def close(self) -> None:
        """Close the connections, once their transactions are over."""
        await self._turns.close()
        await self._engine.dispose()


class _Steps:
    """Implements `persistence.database.OpenTransaction` on a connection of its own.

    Each step is a task, because the driver would leave a connection whose caller is canceled in the
    middle of a statement to itself, with the locks that it holds.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self._left = Deferred()

    async def do[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        return await _detached(self._do(self._left.before(job, *args)))

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        self._left.add(job, *args)

    async def commit(self) -> None:
        if self._connection is not None or self._left:
            await _detached(self._commit())

    async def close(self) -> None:
        """Give the connection back, rolled back where it has not committed."""
        if self._connection is not None:
            await _detached(self._let_go())

    async def _do[T](self, work: Callable[[sa.Connection], T]) -> T:
        if self._connection is None:
            return await self._begin(work)
        return await self._run(self._connection, work)

    async def _begin[T](self, work: Callable[[sa.Connection], T]) -> T:
        """Run the first work. Nothing rests on it yet, so that it may be tried again."""
        for _ in range(_TRIES - 1):
            connection = await self._connect()
            try:
                return await self._run(connection, work)
            except StoreUnavailable as error:
                if isinstance(error, StoreBusy) and _sqlstate(error.__cause__) not in _CONFLICTS:
                    raise
                # A connection that has lain idle may have died with a server that is back.
                await self._let_go()
        return await self._run(await self._connect(), work)

    async def _connect(self) -> AsyncConnection:
        try:
            self._connection = await self._engine.connect()
        except (exc.DBAPIError, OSError) as error:
            raise StoreUnavailable(f"the store cannot be reached: {error}") from error
        return self._connection

    async def _run[T](self, connection: AsyncConnection, work: Callable[[sa.Connection], T]) -> T:
        try:
            with _telling():
                return await connection.run_sync(work)
        except StoreBusy:
            raise
        except StoreUnavailable:
            # Nobody knows what state it is in, and a rollback would wait for the same silence.
            await connection.invalidate()
            raise

    async def _commit(self) -> None:
        await self._do(self._left.before(lambda _: None))
        if self._connection is not None:
            await self._run(self._connection, sa.Connection.commit)

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with _telling():
                await connection.close()
        except (StoreUnavailable, exc.DBAPIError):
            # The server rolls back what is cut off.
            await connection.invalidate()
            await connection.close()


async def _detached[T](work: Coroutine[Any, Any, T]) -> T:
    return await to_its_end(asyncio.ensure_future(work))


@contextmanager
def _telling() -> Iterator[None]:
    """Turn the database's failure to answer into StoreUnavailable; a mistake of ours stays one."""
    try:
        yield
    except exc.DBAPIError as error:
        state = _sqlstate(error)
        if state in _GIVEN_UP:
            raise StoreBusy(f"the store gave the transaction up: {error.orig}") from error
        if error.connection_invalidated or state.startswith(_UNAVAILABLE) or _is_refused(error):
            raise StoreUnavailable(f"the store does not answer: {error.orig}") from error
        raise
    except (OSError, exc.TimeoutError, exc.ResourceClosedError) as error:
        raise StoreUnavailable(f"the store does not answer: {error!r}") from error


def _sqlstate(error: BaseException | None) -> str:
    orig = error.orig if isinstance(error, exc.DBAPIError) else None
    return getattr(orig, "sqlstate", None) or ""


def _is_refused(error: exc.DBAPIError) -> bool:
    """Whether the driver would not even ask, for another reason than a value it cannot write."""
    cause = error.orig.__cause__ if error.orig else None
    return isinstance(error, exc.InterfaceError) and not isinstance(cause, ValueError)


def _engine(url: sa.URL, limits: Limits) -> AsyncEngine:
    settings = {
        "application_name": "drawbridge",
        "lock_timeout": _milliseconds(limits.lock_s),
        "statement_timeout": _milliseconds(limits.statement_s),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_S),
        "default_transaction_isolation": "read committed",
        "jit": "off",  # it would compile for longer than these statements run
    }
    return create_async_engine(
        url,
        pool_size=limits.connections,
        max_overflow=0,
        hide_parameters=True,  # they are clients' orders, and errors end up in logs
        connect_args={
            "timeout": _CONNECT_S,
            "command_timeout": limits.statement_s + _MARGIN_S,
            "target_session_attrs": "primary",
            "server_settings": settings,
        },
    )


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
