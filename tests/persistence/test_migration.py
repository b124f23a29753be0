"""The migrations make the tables that the program knows, in either database, from any release."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from persistence import migration
from persistence.administration import Administration
from persistence.bare import BareConnection
from persistence.connection import Connection
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from persistence.tables import metadata
from tests.persistence import servers
from tests.persistence.changes import A, B, load, place, save
from tests.persistence.conftest import opened, opened_at, populate
from tests.persistence.samples import STOCK, StoppedClock
from trading.ids import InstrumentID
from trading.limits import LimitName
from trading.store import StoreUnavailable

CATALOG = """
    SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, l.collname)
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      LEFT JOIN pg_collation l ON l.oid = a.attcollation
     WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION SELECT format('%s %s', relname, reloptions)
      FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
"""All that PostgreSQL knows of columns, constraints, indexes and storage."""


def clauses(ddl: str) -> tuple[str, frozenset[str]]:
    """Take a statement apart: SQLite puts a column that came later behind the constraints."""
    flat = " ".join(ddl.replace('"', "").split()).replace("( ", "(").replace(" )", ")")
    head, _, body = flat.partition(" (")
    depth, parts = 0, [""]
    for character in body.removesuffix(")"):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return head, frozenset(each.strip() for each in parts)


def on_sqlite(connection: Connection) -> set[tuple[str, frozenset[str]]]:
    rows = connection.text(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    )
    return {clauses(sql) for (sql,) in rows}


def on_postgresql(connection: Connection) -> set[str]:
    return {each for (each,) in connection.text(CATALOG) if "alembic" not in each}


def create(connection: BareConnection) -> None:
    metadata.create_all(connection.bare)


@pytest.fixture
async def postgresql() -> AsyncIterator[Administration]:
    async with servers.scratch_database(servers.found()) as url:
        yield Administration(sa.make_url(url).set(drivername=DRIVER))


async def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    migrated, created = SqliteDatabase(tmp_path / "migrated"), SqliteDatabase(tmp_path / "created")
    await migrated.write(migration.upgrade)
    await created.write(create)
    found, wanted = await migrated.read(on_sqlite), await created.read(on_sqlite)
    await migrated.close()
    await created.close()

    assert found == wanted
    assert len(found) > len(metadata.tables)


@pytest.mark.services
async def test_on_postgresql_too(postgresql: Administration) -> None:
    await postgresql.write(migration.upgrade)
    found = await postgresql.write(on_postgresql)
    await postgresql.write(empty)
    await postgresql.write(create)

    assert found == await postgresql.write(on_postgresql)
    assert len(found) > len(metadata.tables)


def empty(connection: BareConnection) -> None:
    connection.text("DROP SCHEMA public CASCADE")
    connection.text("CREATE SCHEMA public")


async def test_an_empty_database_has_no_revision_and_a_migrated_one_the_newest(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(tmp_path / "new")

    assert await database.write(migration.current) is None
    await database.write(migration.upgrade)
    await database.write(migration.upgrade)
    assert await database.write(migration.current) == migration.head()
    assert migration.head() in migration.known()
    await database.close()


def obstruct(connection: Connection) -> None:
    connection.text("CREATE TABLE reports (in_the_way INTEGER)")


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "half")
    await database.write(obstruct)

    with pytest.raises(StoreUnavailable, match="reports"):
        await database.write(migration.upgrade)
    left = await database.read(on_sqlite)
    await database.close()

    assert left == {clauses("CREATE TABLE reports (in_the_way INTEGER)")}


@pytest.mark.services
async def test_nor_does_one_on_postgresql(postgresql: Administration) -> None:
    await postgresql.write(obstruct)

    with pytest.raises(sa.exc.ProgrammingError, match="reports"):
        await postgresql.write(migration.upgrade)
    assert {each.split()[0] for each in await postgresql.write(on_postgresql)} == {
        "reports",
        "reports.in_the_way",
    }


# What the release that began with 0001 wrote, in its own words.
FIRST_RELEASE = """
    INSERT INTO tenants (id, name) VALUES ('tenant', 'Tenant');
    INSERT INTO accounts (id, tenant_id, name, currency, broker, cash, trading_state, last_seq,
        fence, open_orders) VALUES ('a', 'tenant', 'A', 'USD', 'paper', '1000', 'ACTIVE', 1, 0, 0),
        ('b', 'tenant', 'B', 'USD', 'paper', '1000', 'ACTIVE', 0, 0, 0);
    INSERT INTO gateway (id, environment, created_at, version) VALUES (1, 'sim', 7, '0.0.1');
    INSERT INTO cl_ord_ids (account_id, cl_ord_id, kind, body_hash, claimed_at)
        VALUES ('a', 'old', 'PlaceOrder', 'x', 1);
    INSERT INTO instruments (symbol, mic, description, security_type, currency, tick, lot,
        multiplier, calendar) VALUES ('AAPL', 'XNAS', '', 'COMMON_STOCK', 'USD', '1', '1', '1', ''),
        ('ES', 'XCME', '', 'FUTURE', 'USD', '1', '1', '1', '');
    INSERT INTO limits (account_id, version, symbol, name, value)
        VALUES ('a', 1, '*', 'MAX_ORDER_QTY', '99'), ('a', 2, '*', 'MAX_ORDER_QTY', '7'),
        ('a', 2, 'ES@XCME', 'MAX_ORDER_QTY', '2.50'), ('a', 2, '*', 'MAX_POSITION_QTY', '7'),
        ('a', 2, 'ES@XCME', 'MAX_POSITION_QTY', '900'), ('b', 1, '*', 'MIN_BUYING_POWER', '0'),
        ('b', 1, 'ES@XCME', 'MIN_BUYING_POWER', '5');
    INSERT INTO outbox (account_id, first_seq, last_seq) VALUES ('a', 1, 1)
"""


def first_release(connection: BareConnection) -> None:
    migration.upgrade(connection, "0001")
    for statement in FIRST_RELEASE.split(";"):
        connection.text(statement)


async def limits_still_hold(store: SqlStore) -> None:
    """See what was permitted before, where the instrument's own limit held instead of another."""
    books = await load(store)
    found = {
        (account_id, symbol, name): books.limits[account_id].get(name, symbol, at=0)
        for account_id, symbol in product((A, B), (STOCK.id, InstrumentID("ES@XCME")))
        for name in LimitName
    }

    assert {key: value for key, value in found.items() if value is not None} == {
        (A, "AAPL@XNAS", "MAX_ORDER_QTY"): 7,
        (A, "ES@XCME", "MAX_ORDER_QTY"): Decimal("2.5"),
        (A, "AAPL@XNAS", "MAX_POSITION_QTY"): 7,
        (A, "ES@XCME", "MAX_POSITION_QTY"): 900,
        (B, "AAPL@XNAS", "MIN_BUYING_POWER"): 0,
        (B, "ES@XCME", "MIN_BUYING_POWER"): 5,
    }
    # Above all that an account had, so that no decision's version means two things.
    assert books.limits[A].version == 3


async def still_there_and_at_work(store: SqlStore) -> None:
    """See what the first release left, and go on from it."""
    await limits_still_hold(store)
    accounts = await store.reads.accounts([A, B])
    assert [(each.id, each.last_seq) for each in accounts] == [(A, 1), (B, 0)]
    assert len((await load(store, cl_ord_ids=[(A, "old")])).claims) == 1
    assert [row.last_seq for row in await store.outbox.pending(9, range(8))] == [1]
    await save(store, place("1"))
    assert [row.last_seq for row in await store.outbox.pending(9, range(8))] == [1, 2]
    assert await store.leases.acquire("session", "me", 1) == 1
    assert await store.identity()


async def test_a_store_of_the_first_release_is_taken_on_with_all_that_is_in_it(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(tmp_path / "store.sqlite3")
    await database.write(first_release)
    await database.close()
    store = await opened(tmp_path)
    await still_there_and_at_work(store)
    await store.close()


@pytest.mark.services
async def test_one_on_postgresql_is_while_a_process_of_that_release_is_at_work() -> None:
    async with servers.scratch_database(servers.found()) as url:
        address = sa.make_url(url).set(drivername=DRIVER)
        await Administration(address).write(first_release)
        old = PostgresqlDatabase.at(address)
        async with old.transaction() as transaction:
            await transaction.do(publish)
            opening = asyncio.create_task(opened_at(url))
            await until_it_waits_for(url, "outbox")
            # What is at work goes on; what begins meanwhile does not wait for long either.
            await transaction.do(publish)
        store = await opening
        await old.write(publish)
        rows = await store.outbox.pending(9, range(8))
        assert [row.account_id for row in rows] == [A] * 4
        await store.outbox.published([row.id for row in rows[1:]])

        await still_there_and_at_work(store)
        await store.close()
        await old.close()


def publish(connection: Connection) -> None:
    connection.text(FIRST_RELEASE.rsplit(";", maxsplit=1)[-1])


async def until_it_waits_for(url: str, table: str) -> None:
    waiting = (
        "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND relation = '{table}'::regclass"
    )
    await servers.until(lambda: servers.run(url, waiting))


@pytest.mark.services
async def test_processes_that_start_together_bring_the_schema_up_to_date_once() -> None:
    async with servers.scratch_database(servers.found()) as url:
        stores = await asyncio.gather(*(opened_at(url, StoppedClock(n)) for n in range(4)))
        await populate(stores[0])
        await save(stores[1], place("1"))

        stamps = await servers.run(url, "SELECT created_at FROM gateway")
        assert len(stamps) == 1
        for store in stores:
            assert await store.reads.heads([A]) == {A: 1}
            assert store.catalogue.get(STOCK.id) == STOCK
            await store.close()


def test_clauses_are_told_apart_at_the_outermost_level() -> None:
    made = clauses('CREATE TABLE "t" (a INTEGER, CHECK (a IN (1, 2)))')

    assert made == ("CREATE TABLE t", frozenset({"a INTEGER", "CHECK (a IN (1, 2))"}))
