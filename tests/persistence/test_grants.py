"""The role of gateways does all that they do, and cannot touch what is append-only."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from persistence.connection import Connection
from persistence.errors import StoreRefused
from persistence.grants import grant
from persistence.postgresql import DRIVER, PostgresqlDatabase
from security.sealing import open_keys
from tests.persistence import servers
from tests.persistence.changes import place, save
from tests.persistence.conftest import opened_at, populate
from tests.persistence.samples import StoppedClock
from trading.sealing import Sealer
from trading.verification import Verification

pytestmark = pytest.mark.services


async def tell(url: sa.URL, *statements: str) -> None:
    database = PostgresqlDatabase.at(url)
    try:
        for each in statements:
            await database.write(Connection.text, each)
    finally:
        await database.close()


@pytest.fixture
async def owned() -> AsyncIterator[str]:
    """Make a database with a store, whose role of gateways bears its name."""
    async with servers.scratch_database(servers.found()) as url:
        owner = sa.make_url(url).set(drivername=DRIVER)
        role = str(owner.database)
        store = await opened_at(url)
        await populate(store)
        await store.close()
        await tell(owner, f"CREATE ROLE {role} LOGIN PASSWORD 'of-a-test'")
        try:
            yield url
        finally:
            await tell(owner, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_gateways_work_as_a_role_that_can_rewrite_nothing(owned: str, tmp_path: Path) -> None:
    address = sa.make_url(owned)
    role = str(address.database)
    await grant(owned, role)
    theirs = address.set(username=role, password="of-a-test")

    store = await opened_at(theirs.render_as_string(hide_password=False))
    await save(store, place("1", "2"))
    keys = open_keys(None, tmp_path)
    assert await Sealer(seals=store.audit, signer=keys, clock=StoppedClock()).seal() == 2
    assert [each async for each in Verification(store.audit, keys).findings()] == []
    await store.close()
    as_gateway = theirs.set(drivername=DRIVER)
    for statement in (
        "UPDATE reports SET text = text",
        "DELETE FROM acts",
        "TRUNCATE seals CASCADE",
        "ALTER TABLE reports DISABLE TRIGGER ALL",
        "DROP TRIGGER reports_refuses_changes ON reports",
        "DROP TABLE sealed_pages",
    ):
        with pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"):
            await tell(as_gateway, statement)


async def test_a_role_that_is_none_is_refused(owned: str) -> None:
    with pytest.raises(StoreRefused, match="does not exist"):
        await grant(owned, "drawbridge_nobody")
    with pytest.raises(StoreRefused, match="no name of a role"):
        await grant(owned, "x; DROP TABLE reports")
