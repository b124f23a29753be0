"""Stores on either database, with two accounts of one tenant."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from persistence.account import Tenant
from persistence.directory import User
from persistence.opening import open_postgresql, open_store
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.store import SqlStore
from tests.persistence import servers
from tests.persistence.samples import STOCK, TENANT, StoppedClock, account, limits
from trading.ids import AccountID, UserID
from trading.instrument import Catalogue
from trading.permission import Entitlement
from trading.ports import Environment


async def opened(directory: Path, clock: StoppedClock | None = None) -> SqlStore:
    """Open the store of a directory as every test does that does not care how."""
    return await open_store(
        directory,
        environment=Environment.SIM,
        catalogue=Catalogue([STOCK]),
        clock=clock or StoppedClock(),
        version="0.1.0",
    )


async def opened_at(url: str, clock: StoppedClock | None = None) -> SqlStore:
    """Open the store of a PostgreSQL database alike."""
    return await open_postgresql(
        url,
        environment=Environment.SIM,
        catalogue=Catalogue([STOCK]),
        clock=clock or StoppedClock(),
        version="0.1.0",
    )


async def populate(store: SqlStore) -> None:
    """Add a tenant with the accounts `a` and `b`, and one user who may trade the first."""
    trader = User(
        id=UserID("trader"),
        tenant_id=TENANT,
        name="Trader",
        role="trader",
        accounts={AccountID("a"): Entitlement.TRADE},
    )
    await store.accounts.add_tenant(
        Tenant(id=TENANT, name="Tenant"),
        [account(each) for each in ("a", "b")],
        [limit for each in ("a", "b") for limit in limits(each, MAX_ORDER_QTY=5)],
        [trader],
    )


@asynccontextmanager
async def lent_store(
    template: str | None, directory: Path, clock: StoppedClock | None = None
) -> AsyncIterator[SqlStore]:
    """Lend a store in a directory, or in a PostgreSQL database made from one that is migrated."""
    clock = clock or StoppedClock()
    if template is None:
        store = await opened(directory / "data", clock)
        try:
            yield store
        finally:
            await store.close()
        return
    async with servers.scratch_database(servers.found(), template) as url:
        database = PostgresqlDatabase.at(sa.make_url(url).set(drivername=DRIVER))
        store = SqlStore(database, Catalogue([STOCK]), clock)
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(scope="session")
def template() -> Iterator[str]:
    """Name a database with all tables and nothing in them."""
    with asyncio.Runner() as runner:
        made = servers.scratch_database(servers.found())
        url = runner.run(made.__aenter__())
        runner.run(close_at_once(url))
        yield str(sa.make_url(url).database)
        runner.run(made.__aexit__(None, None, None))


async def close_at_once(url: str) -> None:
    await (await opened_at(url)).close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the database that a test runs on: on each in turn."""
    return str(request.param)


@pytest.fixture
def origin(kind: str, request: pytest.FixtureRequest) -> str | None:
    """Name the template, if the database is PostgreSQL."""
    return str(request.getfixturevalue("template")) if kind == "postgresql" else None


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def fresh(origin: str | None, tmp_path: Path, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    """Lend a store in which nobody has done anything."""
    async with lent_store(origin, tmp_path, clock) as store:
        yield store


@pytest.fixture
async def store(fresh: SqlStore) -> SqlStore:
    await populate(fresh)
    return fresh
