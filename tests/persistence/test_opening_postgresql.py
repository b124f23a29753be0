"""Which PostgreSQL databases are taken for a store, and which are refused and why."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from persistence import migration
from persistence.errors import StoreRefused
from persistence.opening import open_postgresql
from tests.persistence import servers
from tests.persistence.conftest import opened_at, populate
from tests.persistence.samples import STOCK, StoppedClock
from trading.ids import AccountID, InstrumentID
from trading.instrument import Catalogue
from trading.ports import Environment

pytestmark = pytest.mark.services


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with servers.scratch_database(servers.found()) as url:
        yield url


async def reopened(url: str) -> None:
    await (await opened_at(url)).close()


async def test_what_was_stored_is_there_after_opening_again(url: str) -> None:
    first = await opened_at(url, StoppedClock(7))
    await populate(first)
    second = await opened_at(url, StoppedClock(9))
    heads = await second.reads.heads([AccountID("a"), AccountID("b")])
    await first.close()
    await second.close()

    assert heads == {"a": 0, "b": 0}
    stamp = await servers.run(url, "SELECT environment, created_at, version FROM gateway")
    assert stamp == [("sim", 7, "0.1.0")]


async def test_a_database_keeps_its_identity_and_shares_it_with_none(url: str) -> None:
    async with servers.scratch_database(servers.found()) as other:
        seen = []
        for each in (url, url, other):
            store = await opened_at(each)
            seen.append(await store.identity())
            await store.close()

    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 36


async def test_a_store_of_another_environment_is_refused_and_unchanged(url: str) -> None:
    await reopened(url)

    with pytest.raises(StoreRefused, match=r"belongs to the environment sim, .* runs in live"):
        await open_postgresql(
            url,
            environment=Environment.LIVE,
            catalogue=Catalogue([STOCK, replace(STOCK, symbol="MSFT")]),
            clock=StoppedClock(),
            version="0.1.0",
        )
    assert len(await servers.run(url, "SELECT symbol FROM instruments")) == 1
    await reopened(url)


async def test_a_store_that_a_newer_program_changed_is_refused(url: str) -> None:
    await reopened(url)
    await servers.run(url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreRefused, match=f"9999, and this one knows up to {migration.head()}"):
        await opened_at(url)


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(
    url: str, setting: str
) -> None:
    name = sa.make_url(url).database
    await servers.run(url, f"ALTER DATABASE {name} SET {setting} = off")

    with pytest.raises(StoreRefused, match=f"may lose .*: set {setting} to on in PostgreSQL"):
        await opened_at(url)
    assert not await servers.run(url, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'")


async def test_a_database_in_another_encoding_is_refused() -> None:
    server, name = servers.found(), f"drawbridge_test_{os.getpid()}_latin1"
    latin = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    await servers.run(server, latin)
    try:
        with pytest.raises(StoreRefused, match="not in UTF8: make its database with ENCODING"):
            await opened_at(servers.on(server, name))
    finally:
        await servers.run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "mysql://localhost/x", "sqlite:///x", "postgresql://localhost", "://"],
)
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StoreRefused, match=r"postgresql://user:password@host:port/database"):
        await opened_at(address)


@pytest.mark.parametrize(
    "address",
    ["postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:secret@nowhere.invalid/x"],
)
async def test_a_server_that_is_not_there_is_refused_without_telling_the_password(
    address: str,
) -> None:
    with pytest.raises(
        StoreRefused, match=r"me:\*\*\*@.* cannot be used .* runs and lets us in"
    ) as e:
        await opened_at(address)
    assert "secret" not in str(e.value)


async def test_a_database_that_does_not_exist_is_refused() -> None:
    missing = servers.on(servers.found(), "drawbridge_test_missing")

    with pytest.raises(StoreRefused, match=r"\"drawbridge_test_missing\" does not exist"):
        await opened_at(missing)


async def test_instruments_of_earlier_runs_stay_known(url: str) -> None:
    old = replace(STOCK, symbol="OLD")
    first = await open_postgresql(
        url,
        environment=Environment.SIM,
        catalogue=Catalogue([old, replace(STOCK, description="renamed")]),
        clock=StoppedClock(),
        version="0.1.0",
    )
    await first.close()
    second = await opened_at(url)
    await second.close()

    assert second.catalogue.get(InstrumentID("OLD@XNAS")) == old
    assert second.catalogue.get(STOCK.id) == STOCK
