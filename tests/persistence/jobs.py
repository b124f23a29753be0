"""Databases of either kind that hold one table, and the jobs that a test does there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from persistence.connection import Connection
from persistence.database import Database
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.sqlite import SqliteDatabase
from tests.persistence import servers

TABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
ALL = sa.select(TABLE)


def create(connection: Connection) -> None:
    connection.text("CREATE TABLE t (id INTEGER PRIMARY KEY)")


def add(connection: Connection, *ids: int) -> None:
    connection.insert(TABLE, [{"id": each} for each in ids])


async def ids(database: Database) -> set[int]:
    return {row.id for row in await database.read(Connection.rows, ALL)}


async def assert_writable(database: Database) -> None:
    """No transaction was left open: the next one begins, and commits."""
    before = await ids(database)
    await database.write(add, 1000)
    assert await ids(database) == before | {1000}


def run(connection: Connection, statement: str) -> None:
    connection.text(statement)


def fail(connection: Connection) -> None:
    add(connection, 1)
    raise ZeroDivisionError


@asynccontextmanager
async def sqlite_database(directory: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(directory / "a strange?name#.sqlite3")
    await database.write(create)
    yield database
    await database.close()


@asynccontextmanager
async def postgresql_database() -> AsyncIterator[PostgresqlDatabase]:
    async with servers.scratch_database(servers.found()) as url:
        database = PostgresqlDatabase.at(sa.make_url(url).set(drivername=DRIVER))
        await database.write(create)
        yield database
        await database.close()


def execute(connection: Connection, statement: str) -> Any:
    """Read one value."""
    return connection.text(statement)[0][0]
