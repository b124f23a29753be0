"""Opening a store: its directory, its schema, its environment, its instruments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from persistence import tables
from persistence.database import Connection, Database, sqlite_database
from persistence.errors import StoreRefused
from persistence.lock import DirectoryLock
from persistence.mapping import INSTRUMENTS
from persistence.migration import current, head, known, migrate
from persistence.store import SqlStore
from trading.instrument import Catalogue
from trading.ports import Clock, Environment
from trading.store import StoreUnavailable

_FILE = "store.sqlite3"


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
    database = sqlite_database(directory / _FILE)
    try:
        with _refusing(directory / _FILE):
            await database.connect()
            await _admit(database, directory, environment)
            await migrate(database)
            async with database.write() as connection:
                await _stamp(connection, environment, clock.now(), version)
                await _merge_instruments(connection, catalogue)
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
    async with database.read() as connection:
        rows = await connection.rows(sa.select(tables.gateway.c.environment))
    for row in rows:
        if row.environment is not environment:
            raise StoreRefused(
                f"the store in {directory} belongs to the environment {row.environment}, and this"
                f" gateway runs in {environment}: choose another directory with --data"
            )


async def _stamp(
    connection: Connection, environment: Environment, created_at: int, version: str
) -> None:
    if await connection.rows(sa.select(tables.gateway.c.id)):
        return
    stamp = {"id": 1, "environment": environment, "created_at": created_at, "version": version}
    await connection.insert(tables.gateway, [stamp])


async def _merge_instruments(connection: Connection, catalogue: Catalogue) -> None:
    await connection.put(tables.instruments, [INSTRUMENTS.values(each) for each in catalogue])
    for row in await connection.rows(INSTRUMENTS.select()):
        catalogue.add(INSTRUMENTS.item(row))
