"""Stores on either database, with two accounts of one tenant."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from persistence.account import Tenant
from persistence.database import Database
from persistence.directory import User
from persistence.lock import DirectoryLock
from persistence.opening import open_postgresql, open_store, store_file
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.sqlite import SqliteDatabase
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
    origin: Path | str, directory: Path, clock: StoppedClock | None = None
) -> AsyncIterator[SqlStore]:
    """Lend a copy of an empty store: of a SQLite file, or of a PostgreSQL database."""
    async with copied(origin, directory / "data") as (database, lock):
        store = SqlStore(database, Catalogue([STOCK]), clock or StoppedClock(), lock)
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def copied(
    origin: Path | str, directory: Path
) -> AsyncIterator[tuple[Database, DirectoryLock | None]]:
    if isinstance(origin, Path):
        lock = DirectoryLock(directory)
        shutil.copyfile(origin, store_file(directory))
        yield SqliteDatabase(store_file(directory)), lock
        return
    async with servers.scratch_database(servers.found(), origin) as url:
        yield PostgresqlDatabase.at(sa.make_url(url).set(drivername=DRIVER)), None


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a SQLite file with all tables and nothing in them."""
    directory = tmp_path_factory.mktemp("empty")
    with asyncio.Runner() as runner:
        runner.run(close_at_once(opened(directory)))
    return store_file(directory)


@pytest.fixture(scope="session")
def template() -> Iterator[str]:
    """Name a database with all tables and nothing in them."""
    with asyncio.Runner() as runner:
        made = servers.scratch_database(servers.found())
        url = runner.run(made.__aenter__())
        runner.run(close_at_once(opened_at(url)))
        yield str(sa.make_url(url).database)
        runner.run(made.__aexit__(None, None, None))


async def close_at_once(opening: Awaitable[SqlStore]) -> None:
    await (await opening).close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the database that a test runs on: on each in turn."""
    return str(request.param)


@pytest.fixture
def origin(kind: str, request: pytest.FixtureRequest) -> Path | str:
    """Name the empty store that a test's own is a copy of."""
    made: Path | str = request.getfixturevalue("template" if kind == "postgresql" else "empty_file")
    return made


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def fresh(origin: Path | str, tmp_path: Path, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    """Lend a store in which nobody has done anything."""
    async with lent_store(origin, tmp_path, clock) as store:
        yield store


@pytest.fixture
async def store(fresh: SqlStore) -> SqlStore:
    await populate(fresh)
    return fresh
