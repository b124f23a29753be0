"""What the store asks of a database: whole jobs, each in one go against one connection.

A job is synchronous code, because a dozen statements that each wait for another thread, or for the
event loop's next turn, take longer than the database does. It may run on another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import exc

from persistence.rows import Rows, Values, insert, upsert
from trading.store import StoreUnavailable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type Query = sa.Select[Any] | sa.CompoundSelect[Any]


class Connection:
    """A connection inside a transaction, as a job has it. `bare` is SQLAlchemy's own."""

    def __init__(self, bare: sa.Connection) -> None:
        """Wrap a connection that has begun a transaction."""
        self.bare = bare

    def rows(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read all rows; `values` are those of the query's parameters, by their names."""
        return self.bare.execute(query, values).all()

    def items[T: DataclassInstance](
        self, of: Rows[T], query: Query, values: Mapping[str, object] | None = None
    ) -> list[T]:
        """Read all rows as what they are rows of."""
        return [of.item(row) for row in self.rows(query, values)]

    def insert(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows. Raises IntegrityError where one is there already."""
        self.run(insert(table), rows)

    def put(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows, in place of those with the same primary keys."""
        self.run(upsert(table, self.bare.dialect.name), rows)

    def run(self, statement: sa.Executable, rows: Sequence[Values]) -> None:
        """Run a statement once for each row, and so not at all for none."""
        if rows:
            self.bare.execute(statement, rows)


class OpenTransaction(Protocol):
    """A transaction of several jobs, between which its owner thinks."""

    async def do[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job; the first one begins the transaction. Raises StoreUnavailable."""

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        """Leave a job to the next one, or to the commit: it is run just before, in the same go."""


class Database(Protocol):
    """One database. A job that has begun runs to its end, even if its caller is canceled."""

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job that sees one state of the database and cannot write.

        Raises StoreUnavailable.
        """

    async def write[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        """Run a job as a transaction of its own, committed when it returns, else rolled back.

        Raises StoreUnavailable.
        """

    def transaction(self) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open a transaction that may write; it commits on a clean exit, and else rolls back.

        Raises StoreUnavailable.
        """

    async def close(self) -> None:
        """Close all connections."""


@contextmanager
def telling_unavailable() -> Iterator[None]:
    """Turn a database's failure to answer into StoreUnavailable."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailable(f"the store does not answer: {error}") from error


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
