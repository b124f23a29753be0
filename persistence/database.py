"""What the store asks of a database: whole jobs, each in one go against one connection.

A job is synchronous code, because a dozen statements that each wait for another thread, or for the
event loop's next turn, take longer than the database does. It may run on another thread, and again
where the first try came to nothing: it changes the database alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from persistence.connection import Connection, Query
from trading.ids import TenantID
from trading.store import StoreOverloaded, StoreUnavailable


class OpenTransaction(Protocol):
    """A transaction of several jobs, between which its owner thinks."""

    async def do[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job; the first one begins the transaction. Raises StoreUnavailable."""

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        """Leave a job to the next one, or to the commit: it is run just before, in the same go."""


class Readable(Protocol):
    """A database, or as much of it as may be seen, to be read."""

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job that sees one state of the database and cannot write.

        Raises StoreUnavailable.
        """

    async def ask(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read all rows of one query, which sees one state by itself. Raises StoreUnavailable."""


class Database(Readable, Protocol):
    """One database. A job that has begun runs to its end, even if its caller is canceled.

    Whatever waits for a connection waits within bounds: StoreOverloaded is raised after that.
    """

    @property
    def urgent(self) -> Database:
        """The same database, by connections that are kept for what must not wait behind orders."""

    def of_tenant(self, tenant_id: TenantID) -> Readable:
        """Return the database as one tenant sees it, where the server keeps tenants apart."""

    async def write[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job as a transaction of its own, committed when it returns, else rolled back.

        Raises StoreUnavailable.
        """

    def transaction(self, *, brief: bool = False) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open a transaction that may write; it commits on a clean exit, and else rolls back.

        One that is brief waits half a second at most for a row that is locked.
        Raises StoreUnavailable.
        """

    async def close(self) -> None:
        """Close all connections."""


class Deferred:
    """The jobs of a transaction that were left for later."""

    def __init__(self) -> None:
        """Begin with none."""
        self._jobs: list[Callable[[Connection], None]] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._jobs)

    def add[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        """Leave a job for later."""
        self._jobs.append(lambda connection: job(connection, *args))

    def before[C: Connection, *A, T](
        self, job: Callable[[C, *A], T], *args: *A
    ) -> Callable[[C], T]:
        """Put those that were left before a job, and join them all to one piece of work."""
        jobs, self._jobs = self._jobs, []

        def work(connection: C) -> T:
            for each in jobs:
                each(connection)
            return job(connection, *args)

        return work


class Turns:
    """Turns for as many callers at a time as there are connections; the others wait in a line."""

    def __init__(self, count: int, wait_s: float) -> None:
        """Say how many, and how long anyone waits for one."""
        self._count, self.wait_s = count, wait_s
        self._free = asyncio.Semaphore(count)
        self._is_closed = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the exit.

        Raises StoreOverloaded after the wait, and StoreUnavailable once closed.
        """
        try:
            async with asyncio.timeout(self.wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise StoreOverloaded(f"the store was busy for {self.wait_s} seconds") from None
        try:
            if self._is_closed:
                raise StoreUnavailable("the store is closed")
            yield
        finally:
            self._free.release()

    async def close(self) -> None:
        """Give no more turns, and wait until those that were given are over, or long enough."""
        self._is_closed = True
        for _ in range(self._count):
            try:
                async with asyncio.timeout(self.wait_s):
                    await self._free.acquire()
            except TimeoutError:
                break
        for _ in range(self._count):
            self._free.release()


async def to_its_end[T](work: asyncio.Future[T]) -> T:
    """Await the end of work, however often the caller is canceled; the cancellation comes after it.

    A job that is left alone in the middle would leave its connection, and the locks that it holds,
    in a state that nobody knows.
    """
    canceled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            canceled = error
        except Exception:  # noqa: BLE001 - the work keeps it, and its result raises it
            break
    if canceled is not None:
        work.exception()
        raise canceled
    return work.result()
