"""Attaching to a store that others run on: nothing is made, migrated, seeded or locked."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.errors import StoreRefused
from persistence.mapping import INSTRUMENTS
from persistence.migration import head
from persistence.opening import address_now, postgresql_address, store_file
from persistence.postgresql import PostgresqlDatabase
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from trading.instrument import Catalogue
from trading.ports import Clock, Environment
from trading.store import StoreUnavailable


async def attach(
    directory: Path, url: str | None, *, environment: Environment, clock: Clock
) -> SqlStore:
    """Attach to the store in a PostgreSQL database, or else in a directory, beside its gateways.

    What is written must be short: on SQLite the gateway waits for it. Raises StoreRefused for a
    store that is not there, is of another environment or of another release, or does not answer.
    """
    database: Database
    if url is not None:
        address = postgresql_address(url)
        where = address.render_as_string(hide_password=True)
        database = PostgresqlDatabase.at(address, address_now(url))
    else:
        where = str(store_file(directory))
        if not store_file(directory).is_file():
            raise StoreRefused(f"there is no store in {directory}: name another with --data")
        database = SqliteDatabase(store_file(directory))
    try:
        await database.urgent.read(_admit, where, environment)
        known = await database.urgent.read(Connection.items, INSTRUMENTS, INSTRUMENTS.select())
    except BaseException as error:
        await database.close()
        if isinstance(error, StoreUnavailable | sa.exc.DBAPIError):
            raise StoreRefused(
                f"{where} cannot be used as a store ({error}): start the database, or stop the"
                " gateways by their halt files"
            ) from error
        raise
    return SqlStore(database, Catalogue(known), clock)


def _admit(connection: Connection, where: str, environment: Environment) -> None:
    [(revision,)] = connection.text("SELECT version_num FROM alembic_version")
    if revision != head():
        raise StoreRefused(
            f"{where} is at revision {revision} and this program is of revision {head()}:"
            " use the program that its gateways run"
        )
    for row in connection.rows(sa.select(tables.gateway.c.environment)):
        if row.environment is not environment:
            raise StoreRefused(
                f"{where} belongs to the environment {row.environment}, not {environment}:"
                " set DRAWBRIDGE_ENVIRONMENT"
            )
