"""What PostgreSQL is told, how it is asked, and what becomes of its refusals."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from persistence.connection import Connection
from persistence.postgresql import DRIVER, READ, Limits, Pool, PostgresqlDatabase
from tests.persistence import servers
from tests.persistence.jobs import (
    ALL,
    TABLE,
    add,
    assert_writable,
    execute,
    ids,
    postgresql_database,
    run,
)
from trading.store import StoreBusy, StoreOverloaded, StoreUnavailable

pytestmark = pytest.mark.services

PATIENT = Limits(connections=2, wait_s=0.05, lock_s=0.05, statement_s=5)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    async with postgresql_database() as database:
        yield database


def address(database: PostgresqlDatabase) -> sa.URL:
    return database._writing.url


def impatient(database: PostgresqlDatabase) -> PostgresqlDatabase:
    """Open the same database for one who does not wait."""
    pool = Pool(address(database), PATIENT)
    return PostgresqlDatabase(pool, pool, None)


def settings(connection: Connection) -> list[Any]:
    names = (
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_isolation",
        "transaction_read_only",
        "synchronous_commit",
    )
    return [execute(connection, f"SHOW {name}") for name in names]


def backend(connection: Connection) -> Any:
    return execute(connection, "SELECT pg_backend_pid()")


async def test_no_wait_on_the_server_is_without_an_end(database: PostgresqlDatabase) -> None:
    reserve = database.urgent

    assert await database.write(settings) == ["2s", "5s", "3s", "read committed", "off", "on"]
    assert await database.read(settings) == ["2s", "5s", "3s", "repeatable read", "on", "on"]
    assert await reserve.write(settings) == ["5s", "10s", "3s", "read committed", "off", "on"]
    assert await reserve.read(settings) == ["5s", "10s", "3s", "repeatable read", "on", "on"]
    # What one transaction was told does not stick to its connection.
    assert await reserve.write(settings) == ["5s", "10s", "3s", "read committed", "off", "on"]


async def test_who_waits_for_strangers_waits_briefly(database: PostgresqlDatabase) -> None:
    async with database.transaction(brief=True) as steps:
        assert (await steps.do(settings))[0] == "500ms"
    assert await database.write(settings) == ["2s", "5s", "3s", "read committed", "off", "on"]


async def test_a_reader_sees_one_state(database: PostgresqlDatabase) -> None:
    async with database._reading.transaction(READ) as reader:
        before = await reader.do(Connection.rows, ALL)
        await database.write(add, 1)
        assert await reader.do(Connection.rows, ALL) == before == []

    assert await ids(database) == {1}


async def test_orders_are_shed_when_no_connection_is_free_but_the_urgent_go_on(
    database: PostgresqlDatabase,
) -> None:
    database._writing._turns.wait_s = 0.01
    begun, enough = asyncio.Semaphore(0), asyncio.Event()

    async def occupy(number: int) -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, number)
            begun.release()
            await enough.wait()

    occupied = [asyncio.create_task(occupy(number)) for number in range(6)]
    for _ in occupied:
        await begun.acquire()
    with pytest.raises(StoreOverloaded, match="busy"):
        await database.write(add, 99)
    assert await ids(database) == set()
    await database.urgent.write(add, 100)
    enough.set()
    await asyncio.gather(*occupied)

    assert await ids(database) == {*range(6), 100}


async def test_a_lock_that_stays_taken_is_told_and_nothing_was_done(
    database: PostgresqlDatabase,
) -> None:
    await database.write(add, 1)
    lock = "SELECT * FROM t FOR UPDATE"
    other = impatient(database)

    async def change() -> None:
        async with other.transaction() as transaction:
            await transaction.do(add, 2)
            await transaction.do(run, lock)

    async with database.transaction() as transaction:
        await transaction.do(run, lock)
        with pytest.raises(StoreBusy, match="lock timeout"):
            await change()
        with pytest.raises(StoreBusy, match="lock timeout"):
            await other.write(run, lock)

    assert await ids(database) == {1}
    await assert_writable(other)
    await other.close()


async def test_a_statement_that_takes_too_long_is_given_up(database: PostgresqlDatabase) -> None:
    limits = replace(PATIENT, statement_s=0.05)
    pool = Pool(address(database), limits)
    other = PostgresqlDatabase(pool, pool, None)

    with pytest.raises(StoreBusy, match="statement timeout"):
        await other.write(run, "SELECT pg_sleep(30)")
    await assert_writable(other)
    await other.close()


async def test_who_stops_in_the_middle_loses_the_locks(database: PostgresqlDatabase) -> None:
    async def stop() -> None:
        async with database.transaction() as transaction:
            await transaction.do(run, "SET LOCAL idle_in_transaction_session_timeout = 1")
            await transaction.do(add, 1)
            pid = await transaction.do(backend)
            gone = f"SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = {pid})"
            await servers.until(lambda: database.read(execute, gone))
            await transaction.do(add, 2)

    with pytest.raises(StoreUnavailable):
        await stop()
    assert await ids(database) == set()
    await assert_writable(database)


async def test_connections_that_died_while_idle_are_replaced(database: PostgresqlDatabase) -> None:
    async def occupy() -> None:
        async with database.transaction() as transaction:
            await transaction.do(Connection.rows, ALL)

    await asyncio.gather(*(occupy() for _ in range(6)))
    kill = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await servers.run(address(database).render_as_string(hide_password=False), kill)

    await asyncio.gather(*(database.write(add, number) for number in range(12)))
    assert await ids(database) == set(range(12))


async def test_a_connection_that_is_cut_in_the_middle_loses_all_of_its_transaction(
    database: PostgresqlDatabase,
) -> None:
    async def cut() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            pid = await transaction.do(backend)
            await database.urgent.read(execute, f"SELECT pg_terminate_backend({pid}, 5000)")
            transaction.later(add, 2)

    with pytest.raises(StoreUnavailable, match="does not answer"):
        await cut()
    assert await ids(database) == set()
    await assert_writable(database)


@pytest.mark.parametrize("later", [False, True])
async def test_a_deadlock_is_begun_again_where_nothing_rests_on_it_yet(
    database: PostgresqlDatabase,
    later: bool,  # noqa: FBT001
) -> None:
    """The server gives up the one that finds it out: here the one that is looked at."""
    for number in (1, 2):
        await database.write(add, number)
    update, tries, locked = "UPDATE t SET id = id WHERE id = {}", [], asyncio.Event()

    def crosswise(connection: Connection) -> None:
        tries.append(1)
        run(connection, PATIENTLY)
        run(connection, "SET LOCAL deadlock_timeout = '10ms'")
        run(connection, update.format(2))
        locked.set()
        while len(tries) == 1 and not execute(connection, AWAITED):
            run(connection, "SELECT pg_sleep(0.01)")
        run(connection, update.format(1))

    async def second() -> None:
        async with database.transaction() as transaction:
            if later:
                await transaction.do(Connection.rows, ALL)
            await transaction.do(crosswise)

    async with database.transaction() as transaction:
        await transaction.do(run, PATIENTLY)
        await transaction.do(run, update.format(1))
        other = asyncio.create_task(second())
        await locked.wait()
        await transaction.do(run, update.format(2))

    if later:
        with pytest.raises(StoreBusy, match="deadlock"):
            await other
    else:
        await other
    assert len(tries) == (1 if later else 2)
    await assert_writable(database)


PATIENTLY = """
    SELECT set_config(setting, '30s', true) FROM unnest(ARRAY[
        'deadlock_timeout', 'lock_timeout', 'statement_timeout',
        'idle_in_transaction_session_timeout'
    ]) setting
"""
"""Have nothing but a deadlock that the other one finds end a transaction, however slow we are."""

AWAITED = """
    SELECT EXISTS (
        SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid
    )
"""
"""Whether another transaction waits for this one."""


async def test_a_conflict_that_comes_again_and_again_ends(database: PostgresqlDatabase) -> None:
    tries = []

    def conflict(connection: Connection) -> None:
        tries.append(1)
        run(connection, "DO $$ BEGIN RAISE 'try again' USING ERRCODE = '40001'; END $$")

    with pytest.raises(StoreBusy, match="try again"):
        await database.write(conflict)
    assert len(tries) == 3
    await assert_writable(database)


REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'no' USING ERRCODE = '40001'; END $$
"""
LATE = """
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse()
"""


async def test_a_commit_that_the_server_refuses_is_known_to_have_failed(
    database: PostgresqlDatabase,
) -> None:
    await database.write(run, REFUSE)
    await database.write(run, LATE)

    with pytest.raises(StoreBusy):
        await database.write(add, 1)
    assert await ids(database) == set()


async def test_a_mistake_in_a_statement_is_not_taken_for_a_database_that_is_away(
    database: PostgresqlDatabase,
) -> None:
    with pytest.raises(DBAPIError, match="nowhere"):
        await database.read(run, "SELECT * FROM nowhere")
    with pytest.raises(DBAPIError, match="out of range"):
        await database.write(Connection.insert, TABLE, [{"id": 1 << 40}])
    await assert_writable(database)


async def test_what_cannot_be_reached_is_unavailable() -> None:
    nowhere = sa.make_url("postgresql://127.0.0.1:1/none").set(drivername=DRIVER)
    database = PostgresqlDatabase.at(nowhere)

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await database.read(Connection.rows, ALL)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await database.write(add, 1)
    await database.close()
