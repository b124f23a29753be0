"""PostgreSQL for tests: databases of their own on a server that stands ready."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.postgresql import DRIVER
from tests import standing

BOUND_S = 60
NUMBERS = itertools.count(1)


def found() -> str:
    """Return the address of a server, or skip where none answers."""
    return standing.found(standing.POSTGRESQL)


def on(server: str, database: str) -> str:
    """Name another database of a server."""
    return sa.make_url(server).set(database=database).render_as_string(hide_password=False)


async def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, each a transaction of its own, on a connection of their own."""
    engine = create_async_engine(
        sa.make_url(url).set(drivername=DRIVER), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    rows: list[tuple[object, ...]] = []
    async with engine.connect() as connection:
        for statement in statements:
            result = await connection.exec_driver_sql(statement)
            rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for something that only asking can tell."""
    async with asyncio.timeout(BOUND_S):
        while not await condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


@asynccontextmanager
async def scratch_database(server: str, template: str = "template0") -> AsyncIterator[str]:
    """Make a database, lend its address, and drop it."""
    name = f"drawbridge_test_{os.getpid()}_{next(NUMBERS)}"
    await run(server, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
    try:
        yield on(server, name)
    finally:
        await run(server, f"DROP DATABASE {name} WITH (FORCE)")
