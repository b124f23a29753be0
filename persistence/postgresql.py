"""The database on a PostgreSQL server, which any number of processes share.

Its connections are of three kinds, so that none waits for another's: those of orders and all other
writing, those of reading, and a reserve for what must not wait behind either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakKeyDictionary

import asyncpg
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.util import greenlet_spawn

from persistence.connection import Connection, Query
from persistence.database import Deferred, Readable, Turns, to_its_end
from persistence.direct import DirectConnection
from persistence.failures import CONFLICTS, FAILURES, said, sqlstate, telling
from persistence.statement import DIALECT
from trading.ids import TenantID
from trading.store import StoreBusy, StoreUnavailable

type _Driver = asyncpg.Connection[Any]

type Address = Callable[[], sa.URL]
"""Says where the server is and who logs in there, as of now."""

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

_CONNECT_S = 5.0
_STATEMENTS_KEPT = 512
# How much later than the server the client gives up: then the network is gone, not the statement.
_MARGIN_S = 2.0
_TRIES = 3

TENANT_ROLE = "drawbridge_tenant"
"""The role that sees the rows of one tenant at a time, and of none before it is told which."""

_TURN = "SELECT set_config('drawbridge.tenant', $1, false)"

WRITE = "BEGIN"
BRIEF = "BEGIN; SET LOCAL lock_timeout = '500ms'"
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresqlDatabase:
    """Implements `persistence.database.Database`."""

    def __init__(
        self,
        writing: Pool,
        reading: Pool,
        urgent: PostgresqlDatabase | None,
        walled: Pool | None = None,
    ) -> None:
        """Take the connections; without others that are more urgent, these are.

        Those that are `walled` read as a role that sees the rows of one tenant at a time.
        """
        self._writing, self._reading, self._urgent = writing, reading, urgent
        self._walled = walled

    @classmethod
    def at(cls, url: sa.URL, now: Address | None = None) -> Self:
        """Name the server and its database; a connection is made when one is first needed.

        `now` says what the address is by then, where its user and password may change.
        """
        address = now or (lambda: url)
        reserve = Pool(url, _RESERVE, address)
        urgent = PostgresqlDatabase(reserve, reserve, None)
        walled = Pool(url, _READING, address, role=TENANT_ROLE)
        orders, reading = Pool(url, _ORDERS, address), Pool(url, _READING, address)
        return cls(orders, reading, urgent, walled)

    @property
    def urgent(self) -> PostgresqlDatabase:
        """The same database by the reserve."""
        return self._urgent or self

    def of_tenant(self, tenant_id: TenantID) -> Readable:
        """Return the database as one tenant sees it: other tenants' rows are not there."""
        return _OfTenant(self._walled, tenant_id) if self._walled is not None else self

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job in a transaction that sees one snapshot and cannot write."""
        async with self._reading.transaction(READ) as steps:
            return await steps.do(job, *args)

    async def ask(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read all rows of one query: a transaction by itself, in one trip to the server."""
        async with self._reading.transaction(None) as steps:
            return await steps.do(Connection.rows, query, values)

    async def write[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job as a transaction of its own."""
        async with self._writing.transaction(WRITE) as steps:
            return await steps.do(job, *args)

    @asynccontextmanager
    async def transaction(self, *, brief: bool = False) -> AsyncIterator[_Steps]:
        """Open a transaction at READ COMMITTED."""
        async with self._writing.transaction(BRIEF if brief else WRITE) as steps:
            yield steps

    async def close(self) -> None:
        """Close all connections, once their transactions are over."""
        await self._writing.close()
        await self._reading.close()
        if self._walled is not None:
            await self._walled.close()
        if self._urgent is not None:
            await self._urgent.close()


@dataclass(frozen=True, slots=True)
class _OfTenant:
    """Implements `persistence.database.Readable` for one tenant."""

    pool: Pool
    tenant_id: TenantID

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job in a transaction that sees one snapshot of the tenant's rows."""
        async with self.pool.transaction(READ, self.tenant_id) as steps:
            return await steps.do(job, *args)

    async def ask(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read the tenant's rows of one query."""
        async with self.pool.transaction(None, self.tenant_id) as steps:
            return await steps.do(Connection.rows, query, values)


class Pool:
    """Connections to one database, and turns for as many transactions.

    One that is given back is used again first, so that those which no one needs stay idle.
    """

    def __init__(
        self, url: sa.URL, limits: Limits, now: Address | None = None, *, role: str | None = None
    ) -> None:
        """Take the address, the limits, how the address is asked for, and a role to act as.

        Nothing connects yet.
        """
        self.url = url
        self._tenants: WeakKeyDictionary[_Driver, TenantID] = WeakKeyDictionary()
        self._turns = Turns(limits.connections, limits.wait_s)
        self._now: Address = now or (lambda: url)
        self._limits, self._role = limits, role
        self._idle: list[_Driver] = []
        self._made_by: dict[_Driver, sa.URL] = {}

    @asynccontextmanager
    async def transaction(
        self, begin: str | None, tenant_id: TenantID | None = None
    ) -> AsyncIterator[_Steps]:
        """Open a transaction by this statement; it commits on a clean exit, and else rolls back.

        Without one, each statement is a transaction of its own.
        """
        async with self._turns.turn():
            steps = _Steps(self, begin, tenant_id)
            try:
                yield steps
                await steps.commit()
            finally:
                await steps.close()

    async def take(self) -> _Driver:
        """Return a connection, a new one if none is idle. Raises StoreUnavailable."""
        self._use(self._now())
        while self._idle:
            driver = self._idle.pop()
            if not driver.is_closed():
                return driver
            self._made_by.pop(driver, None)
        return await self._connect(self.url)

    async def turn_to(self, driver: _Driver, tenant_id: TenantID) -> None:
        """Have a connection see one tenant's rows: a trip only where it last saw another's."""
        if self._tenants.get(driver) == tenant_id:
            return
        self._tenants.pop(driver, None)
        with telling(driver):
            await driver.execute(_TURN, tenant_id)
        self._tenants[driver] = tenant_id

    def give_back(self, driver: _Driver) -> None:
        """Keep a connection, which is in no transaction, for who comes next."""
        if driver.is_closed():
            self._made_by.pop(driver, None)
        elif self._made_by.get(driver) == self.url:
            self._idle.append(driver)
        else:
            self._end(driver)

    def _use(self, url: sa.URL) -> None:
        """Leave connections of a former address alone: its password may be no good soon."""
        if url == self.url:
            return
        self.url = url
        while self._idle:
            self._end(self._idle.pop())

    def _end(self, driver: _Driver) -> None:
        self._made_by.pop(driver, None)
        driver.terminate()

    async def _connect(self, url: sa.URL) -> _Driver:
        try:
            made: _Driver = await asyncpg.connect(**_options(url, self._limits, self._role))
        except FAILURES as error:
            raise StoreUnavailable(f"the store cannot be reached: {said(error)}") from error
        self._made_by[made] = url
        return made

    async def close(self) -> None:
        """Close the connections, once their transactions are over."""
        await self._turns.close()
        while self._idle:
            driver = self._idle.pop()
            try:
                await driver.close(timeout=_CONNECT_S)
            except FAILURES:
                driver.terminate()
            self._made_by.pop(driver, None)


class _Steps:
    """Implements `persistence.database.OpenTransaction` on a connection of its own.

    Each step is a task, because the driver would leave a connection whose caller is canceled in the
    middle of a statement to itself, with the locks that it holds.
    """

    def __init__(self, pool: Pool, begin: str | None, tenant_id: TenantID | None) -> None:
        self._pool = pool
        self._begin_by = begin
        self._tenant_id = tenant_id
        self._driver: _Driver | None = None
        self._left = Deferred()

    async def do[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        return await _detached(self._do(self._left.before(job, *args)))

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        self._left.add(job, *args)

    async def commit(self) -> None:
        if self._driver is not None or self._left:
            await _detached(self._commit())

    async def close(self) -> None:
        """Give the connection back, rolled back where it has not committed."""
        driver = self._driver
        if driver is None:
            return
        if driver.is_closed() or driver.is_in_transaction():
            await _detached(self._let_go(driver))
        else:
            self._driver = None
            self._pool.give_back(driver)

    async def _do[T](self, work: Callable[[Connection], T]) -> T:
        if self._driver is None:
            return await self._begin(work)
        return await self._run(self._driver, work)

    async def _begin[T](self, work: Callable[[Connection], T]) -> T:
        """Run the first work. Nothing rests on it yet, so that it may be tried again."""
        for _ in range(_TRIES - 1):
            try:
                return await self._first(work)
            except StoreUnavailable as error:
                if isinstance(error, StoreBusy) and sqlstate(error.__cause__) not in CONFLICTS:
                    raise
                if self._driver is None:
                    raise  # The server cannot be reached.
                # A connection that has lain idle may have died with a server that is back.
                await self._let_go(self._driver)
        return await self._first(work)

    async def _first[T](self, work: Callable[[Connection], T]) -> T:
        self._driver = driver = await self._pool.take()
        if self._tenant_id is not None:
            await self._pool.turn_to(driver, self._tenant_id)
        if self._begin_by is not None:
            await self._tell(driver, self._begin_by)
        return await self._run(driver, work)

    async def _tell(self, driver: _Driver, statement: str) -> str:
        with telling(driver):
            return str(await driver.execute(statement))

    async def _run[T](self, driver: _Driver, work: Callable[[Connection], T]) -> T:
        with telling(driver):
            return await greenlet_spawn(work, DirectConnection(driver))

    async def _commit(self) -> None:
        if self._left:
            await self._do(self._left.before(lambda _: None))
        if self._driver is None or self._begin_by is None:
            return
        # What has failed in the middle, a server rolls back without calling it an error.
        if await self._tell(self._driver, "COMMIT") != "COMMIT":
            raise exc.InvalidRequestError("a statement of this transaction had failed")

    async def _let_go(self, driver: _Driver) -> None:
        self._driver = None
        if not driver.is_closed() and driver.is_in_transaction():
            try:
                await self._tell(driver, "ROLLBACK")
            except StoreUnavailable:
                return  # It is terminated, and the server rolls back what is cut off.
        self._pool.give_back(driver)


async def _detached[T](work: Coroutine[Any, Any, T]) -> T:
    return await to_its_end(asyncio.ensure_future(work))


def _options(url: sa.URL, limits: Limits, role: str | None) -> dict[str, Any]:
    settings = ({} if role is None else {"role": role}) | {
        "application_name": "drawbridge",
        "lock_timeout": _milliseconds(limits.lock_s),
        "statement_timeout": _milliseconds(limits.statement_s),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_S),
        "default_transaction_isolation": "read committed",
        "jit": "off",  # it would compile for longer than these statements run
        "max_parallel_workers_per_gather": "0",  # and workers would start for longer
        # A plan is made once and kept. One that was made while tables were small must serve them
        # when they have grown, so that it may not read them whole; none is made again for values.
        "enable_seqscan": "off",
        "plan_cache_mode": "force_generic_plan",
    }
    _, options = DIALECT.create_connect_args(url)  # type: ignore[no-untyped-call]
    return dict(options) | {
        "timeout": _CONNECT_S,
        "command_timeout": limits.statement_s + _MARGIN_S,
        "target_session_attrs": "primary",
        # What a transaction writes is a long statement; none is made up at run time.
        "statement_cache_size": _STATEMENTS_KEPT,
        "max_cacheable_statement_size": 0,
        "server_settings": settings,
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
