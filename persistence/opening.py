"""Opening a store: its place, its schema, its environment, its instruments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from persistence import tables
from persistence.administration import Administration
from persistence.bare import BareConnection
from persistence.connection import Connection
from persistence.database import Database
from persistence.errors import StoreRefused
from persistence.lock import DirectoryLock
from persistence.mapping import INSTRUMENTS
from persistence.migration import current, head, known, upgrade
from persistence.postgresql import DRIVER, Address, PostgresqlDatabase
from persistence.rows import Values
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from trading.instrument import Catalogue, Instrument
from trading.mounted import Mounted
from trading.ports import Clock, Environment
from trading.store import StoreBusy, StoreUnavailable

_FILE = "store.sqlite3"

_MIGRATION_TRIES = 20
_MIGRATION_PAUSE_S = 0.5

_STARTING = 0x6472617762726964
"""The advisory lock of a process that starts: the first eight letters of Drawbridge."""

# 122 random bits by either.
_DRAWN = {
    "postgresql": sa.cast(sa.func.gen_random_uuid(), sa.Text),
    "sqlite": sa.func.lower(sa.func.hex(sa.func.randomblob(16))),
}

# A server without one of these may acknowledge a commit and lose it.
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a store is, and what to do where it is not to be had."""

    name: str
    remedy: str


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
    place = _Place(f"the store in {directory}", "choose another directory with --data")
    lock = DirectoryLock(directory)
    database = SqliteDatabase(store_file(directory))
    stamp = {"environment": environment, "created_at": clock.now(), "version": version}
    try:
        with _refusing(
            str(store_file(directory)), f"make it readable and writable, or {place.remedy}"
        ):
            await database.write(_enter, place, stamp, catalogue)
            await _learn(database, catalogue)
            store = SqlStore(database, catalogue, clock, lock)
            await store.limits.now()
    except BaseException:
        await database.close()
        lock.release()
        raise
    return store


async def open_postgresql(
    url: str,
    *,
    environment: Environment,
    catalogue: Catalogue,
    clock: Clock,
    version: str,
) -> SqlStore:
    """Open the store in a PostgreSQL database, which other processes may have open as well.

    `url` is `postgresql://user:password@host:port/database`, with asyncpg's options such as `ssl`
    as its query. The rest is as for `open_store`: one process after another brings the schema up to
    date, in a transaction that changes it whole or not at all, and beside those that are at work.
    Raises StoreRefused also for a server that cannot be reached or may lose what it acknowledged.
    """
    address = postgresql_address(url)
    where = address.render_as_string(hide_password=True)
    place = _Place(f"the store in {where}", "name another database")
    stamp = {"environment": environment, "created_at": clock.now(), "version": version}
    database = PostgresqlDatabase.at(address, address_now(url))
    try:
        with _refusing(where, "see that the server runs and lets us in, or name another database"):
            await _admit(address, place, stamp, catalogue, clock)
            await _learn(database, catalogue)
            store = SqlStore(database, catalogue, clock)
            # Read once before the first order, which would else wait for all of them.
            await store.limits.now()
    except BaseException:
        await database.close()
        raise
    return store


def postgresql_address(url: str) -> sa.URL:
    """Read the address of a PostgreSQL database. Raises StoreRefused."""
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        address = None
    if address is None or address.get_backend_name() != "postgresql" or not address.database:
        raise StoreRefused(
            "the address of the database is not one of PostgreSQL: write it as"
            " postgresql://user:password@host:port/database"
        )
    return address.set(drivername=DRIVER)


def address_now(url: str) -> Address | None:
    """Return what says an address as of now, or None for one that does not change."""
    if not isinstance(url, Mounted):
        return None

    @lru_cache(1)
    def parsed(text: str) -> sa.URL:
        return postgresql_address(text)

    return lambda: parsed(url.now())


async def _admit(
    address: sa.URL, place: _Place, stamp: Values, catalogue: Catalogue, clock: Clock
) -> None:
    """Enter as the only one that does so now, however long that takes."""
    database = Administration(address)
    for _ in range(_MIGRATION_TRIES - 1):
        try:
            await database.write(_enter_alone, place, stamp, catalogue)
        except StoreBusy:
            # A table is in use. Who waits for it for long holds up all that come after.
            await clock.sleep(_MIGRATION_PAUSE_S)
        else:
            return
    await database.write(_enter_alone, place, stamp, catalogue)


def _enter_alone(
    connection: BareConnection, place: _Place, stamp: Values, instruments: Iterable[Instrument]
) -> None:
    for name in _DURABLE:
        if _setting(connection, name) == "off":
            raise StoreRefused(
                f"{place.name} may lose what it has acknowledged: set {name} to on in PostgreSQL"
            )
    if _setting(connection, "server_encoding") != "UTF8":
        raise StoreRefused(f"{place.name} is not in UTF8: make its database with ENCODING 'UTF8'")
    connection.text(f"SELECT pg_advisory_xact_lock({_STARTING})")
    _enter(connection, place, stamp, instruments)


def _setting(connection: Connection, name: str) -> object:
    return connection.text(f"SHOW {name}")[0][0]


def _enter(
    connection: BareConnection, place: _Place, stamp: Values, instruments: Iterable[Instrument]
) -> None:
    """See that the store is one for us, bring it up to date, and keep the instruments."""
    revision = current(connection)
    if revision is not None:
        _see_that_it_is_ours(connection, place, revision, stamp["environment"])
    upgrade(connection)
    connection.insert_missing(tables.gateway, [{"id": 1} | stamp])
    _identify(connection)
    connection.put(tables.instruments, [INSTRUMENTS.values(each) for each in instruments])


def _identify(connection: BareConnection) -> None:
    """Have the database draw a random identity, once in its life."""
    drawn = _DRAWN[connection.bare.dialect.name]
    without = tables.gateway.c.identity.is_(None)
    connection.run(tables.gateway.update().where(without).values(identity=drawn), {})


def _see_that_it_is_ours(
    connection: Connection, place: _Place, revision: str, environment: Environment
) -> None:
    if revision not in known():
        raise StoreRefused(
            f"{place.name} was changed by a newer Drawbridge: its schema is {revision}, and this"
            f" one knows up to {head()}. Run that one, or {place.remedy}"
        )
    for row in connection.rows(sa.select(tables.gateway.c.environment)):
        if row.environment is not environment:
            raise StoreRefused(
                f"{place.name} belongs to the environment {row.environment}, and this gateway runs"
                f" in {environment}: {place.remedy}"
            )


async def _learn(database: Database, catalogue: Catalogue) -> None:
    """Add the instruments of earlier runs to those of this one."""
    for each in await database.read(Connection.items, INSTRUMENTS, INSTRUMENTS.select()):
        catalogue.add(each)


@contextmanager
def _refusing(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, sa.exc.DBAPIError) as error:
        raise StoreRefused(f"{what} cannot be used as a store ({error}): {remedy}") from error
