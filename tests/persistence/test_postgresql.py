"""What PostgreSQL is told, how it is asked, and what becomes of its refusals."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from persistence.database import Connection
from persistence.postgresql import DRIVER, Limits, Pool, PostgresqlDatabase
from persistence.store import SqlStore
from tests.persistence import servers
from tests.persistence.changes import A, B, load, place, save, statements
from tests.persistence.jobs import ALL, TABLE, add, assert_writable, ids, postgresql_database, run
from tests.persistence.samples import AAPL, decision, fill
from tests.persistence.test_reads import look_at_everything
from trading.books import Books, Wants
from trading.execution import ExecType
from trading.ids import ClOrdID, OrderID
from trading.store import StoreBusy, StoreOverloaded, StoreUnavailable

PATIENT = Limits(connections=2, wait_s=0.05, lock_s=0.05, statement_s=5)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    async with postgresql_database() as database:
        yield database


@pytest.fixture
def kind() -> str:
    return "postgresql"


def address(database: PostgresqlDatabase) -> sa.URL:
    return database._writing._engine.url


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
    return [connection.bare.exec_driver_sql(f"SHOW {name}").scalar() for name in names]


def execute(connection: Connection, statement: str) -> Any:
    return connection.bare.exec_driver_sql(statement).scalar()


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


async def test_a_reader_sees_one_state(database: PostgresqlDatabase) -> None:
    async with database._reading.transaction(is_read_only=True) as reader:
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
        await transaction.do(run, "SET LOCAL deadlock_timeout = '30s'")
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
    with pytest.raises(DBAPIError, match="invalid input"):
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


# --- the store on it -----------------------------------------------------------------------------


async def test_a_batch_is_as_many_statements_as_a_single_order(store: SqlStore) -> None:
    async def cost(*names: str) -> list[str]:
        keys = [(A, f"cl-{name}") for name in names]
        wires = [f"wire-{name}" for name in names]
        wants = {"cl_ord_ids": keys, "wire_ids": wires, "order_ids": names, "fills_of": wires}
        with statements() as seen:
            await save(store, place(*names), **wants)
        # One message each: not even its text depends on the number.
        return [statement for statement, _ in seen]

    await save(store, place("0"))
    one = await cost("1")
    assert one == await cost(*(f"many-{number:02}" for number in range(64)))
    assert len(one) < 20


async def test_accounts_are_locked_against_all_who_lock(store: SqlStore) -> None:
    async def change(number: int) -> None:
        async with store.transaction(urgent=number % 2 == 1) as transaction:
            await transaction.lock([B, A])
            books = await transaction.load(Wants(accounts=frozenset({A, B})))
            place(f"{number}")(books)
            place(f"b{number}", account_id="b")(books)
            await transaction.save(books)

    await asyncio.gather(*(change(number) for number in range(12)))

    for account_id in (A, B):
        log = (await store.reads.reports(account_id, 0, 99)).items
        assert [report.seq for report in log] == list(range(1, 13))
    held = (await load(store)).positions[A, AAPL]
    assert held.open_buy_qty == 12 * 10


HISTORY = 20_000
CLONE = """
    INSERT INTO {table} SELECT (jsonb_populate_record(one, jsonb_build_object({changes}))).*
      FROM (SELECT one FROM {table} one LIMIT 1) first, generate_series(2, {count}) g
"""
GROWING = {
    "orders": "'id', 'o' || g, 'wire_id', 'w' || g, 'status', 'FILLED'",
    "cl_ord_ids": "'cl_ord_id', 'c' || g",
    "reports": "'seq', g + 1, 'order_id', 'o' || g",
    "commands": "'wire_id', 'w' || g, 'order_id', 'o' || g, 'state', 'ACKED'",
    "decisions": "'id', g + 1000, 'cl_ord_id', 'c' || g, 'order_id', 'o' || g",
    "fills": "'exec_id', 'e' || g, 'seq', g + 1, 'order_id', 'o' || g",
    "broker_events": "'key', 'k' || g",
    "outbox": "'id', g + 1000, 'first_seq', g, 'last_seq', g",
}


def grow(connection: Connection) -> None:
    """Make an account's one order into many that are finished, and have the planner know it."""
    for table, changes in GROWING.items():
        run(connection, CLONE.format(table=table, changes=changes, count=HISTORY))
    run(connection, f"UPDATE accounts SET last_seq = {HISTORY + 1}")
    run(connection, "ANALYZE")


def explained(connection: Connection, statement: str, values: Any, mode: str) -> Any:
    run(connection, f"SET LOCAL plan_cache_mode = {mode}")
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}"
    return connection.bare.exec_driver_sql(explain, values).scalar_one()[0]["Plan"]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for part in plan.get("Plans", ()) for each in nodes(part))]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_what_a_statement_reads_does_not_grow_with_history(
    store: SqlStore, mode: str
) -> None:
    await save(store, traded)
    await store._database.write(grow)
    with statements() as seen:
        await look_at_everything(store)
    selects = [each for each in seen if each[0].startswith("SELECT")]

    for statement, values in selects:
        plan = await store._database.write(explained, statement, values, mode)
        for node in nodes(plan):
            scanned = node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
            assert not scanned, statement
        touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert touched < 200, (statement, touched)
    assert len(selects) > 20


async def test_a_change_of_an_account_touches_no_index(store: SqlStore) -> None:
    await save(store, place("1"))
    async with store.transaction() as transaction:
        await transaction.lock([A])
        books = await transaction.load(Wants(accounts=frozenset({A})))
        place("2")(books)
        await transaction.save(books)
        updated = await transaction._steps.do(execute, COUNT.format("updated"))
        assert await transaction._steps.do(execute, COUNT.format("hot_updated")) == updated > 0


COUNT = "SELECT pg_stat_get_xact_tuples_{}('accounts'::regclass)"


def traded(books: Books) -> None:
    place("1")(books)
    one = books.orders[OrderID("1")]
    books.record(replace(one, cum_qty=Decimal(1)), ExecType.TRADE, 3, fill=fill(one, "f"))
    books.new_decisions.append((A, ClOrdID("cl-1"), decision()))
    books.new_broker_keys.append("key")


async def test_books_of_many_accounts_are_loaded_alike(store: SqlStore) -> None:
    await save(store, place("1"))
    await save(store, place("2", account_id="b"))

    books = await load(store, open_orders_of=[A, B], cl_ord_ids=[(A, "cl-1"), (B, "cl-1")])
    assert set(books.orders) == {"1", "2"}
    assert set(books.claims) == {(A, "cl-1")}
