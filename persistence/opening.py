"""Opening a store: its directory, its schema, its environment, its instruments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from persistence import tables
from persistence.database import Connection, Database
from persistence.errors import StoreRefused
from persistence.lock import DirectoryLock
from persistence.mapping import INSTRUMENTS
from persistence.migration import current, head, known, migrate
from persistence.rows import Values
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from trading.instrument import Catalogue, Instrument
from trading.ports import Clock, Environment
from trading.store import StoreUnavailable

_FILE = "store.sqlite3"


def store_file(directory: Path) -> Path:
    """Name the file in which a data directory keeps its store."""
    return directory / _FILE


async def open_store(
    directory: Path,
    *,
    environment: Environment,
    catalogue: Catalogue,
    clock: Clock,
    version: str,
) -> SqlStore:
    """Open the store in a directory, making it and bringing its schema up to date where needed.

    The instruments of the catalogue are kept; those of earlier runs are added to it, because their
    positions live on. `version` is the program's, noted in a new store. Raises StoreRefused for a
    directory that cannot be written to or is in use, a store of another environment, and one that
    a newer program has changed.
    """
    lock = DirectoryLock(directory)
    database = SqliteDatabase(store_file(directory))
    try:
        with _refusing(store_file(directory)):
            await _admit(database, directory, environment)
            await migrate(database)
            stamp = {"environment": environment, "created_at": clock.now(), "version": version}
            await database.write(_prepare, stamp, catalogue)
            for each in await database.read(Connection.items, INSTRUMENTS, INSTRUMENTS.select()):
                catalogue.add(each)
    except BaseException:
        await database.close()
        lock.release()
        raise
    return SqlStore(database, catalogue, clock, lock)


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, sa.exc.DatabaseError) as error:
        raise StoreRefused(
            f"{file} cannot be used as a store ({error}): make it readable and writable, or choose"
            " another directory with --data"
        ) from error


async def _admit(database: Database, directory: Path, environment: Environment) -> None:
    """See that the store is one for us, before anything in it is changed."""
    revision = await current(database)
    if revision is None:
        return
    if revision not in known():
        raise StoreRefused(
            f"the store in {directory} was changed by a newer Drawbridge: its schema is {revision},"
            f" and this one knows up to {head()}. Run that one, or choose another directory with"
            " --data"
        )
    for row in await database.read(Connection.rows, sa.select(tables.gateway.c.environment)):
        if row.environment is not environment:
            raise StoreRefused(
                f"the store in {directory} belongs to the environment {row.environment}, and this"
                f" gateway runs in {environment}: choose another directory with --data"
            )


def _prepare(connection: Connection, stamp: Values, instruments: Iterable[Instrument]) -> None:
    """Stamp a new store, and keep the instruments of this run."""
    if not connection.rows(sa.select(tables.gateway.c.id)):
        connection.insert(tables.gateway, [{"id": 1} | stamp])
    connection.put(tables.instruments, [INSTRUMENTS.values(each) for each in instruments])
