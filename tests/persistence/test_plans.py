"""A transaction on PostgreSQL is a few statements, and none reads more as history grows."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from persistence.administration import Administration
from persistence.connection import Connection
from persistence.direct import DirectConnection
from persistence.postgresql import PostgresqlDatabase
from persistence.store import SqlStore
from tests.persistence.changes import A, B, load, place, save, statements
from tests.persistence.jobs import execute, run
from tests.persistence.samples import AAPL, TENANT, decision, fill
from tests.persistence.test_reads import look_at_everything, look_at_reads
from trading.books import Books, Wants
from trading.execution import ExecType
from trading.ids import ClOrdID, OrderID

pytestmark = pytest.mark.services


@pytest.fixture
def kind() -> str:
    return "postgresql"


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


async def test_judging_adds_no_statement_to_a_batch(store: SqlStore) -> None:
    """What the controls need under the lock comes with what the batch reads and writes anyhow."""

    def judged(books: Books) -> None:
        place("judged")(books)
        held = books.accounts[A]
        books.put_conduct(A, held.conduct.sent(5))
        books.new_decisions.append((A, ClOrdID("cl-judged"), decision()))

    async def cost(change: Callable[[Books], None], **wants: Any) -> int:
        with statements() as seen:
            await save(store, change, cl_ord_ids=[(A, "cl")], symbols={AAPL}, **wants)
        return len(seen)

    await save(store, place("0"))
    assert await cost(judged, judges=True) == await cost(place("plain"))


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
    return kept(connection, statement, values)


def kept(connection: Connection, statement: str, values: Any, first: Sequence[str] = ()) -> Any:
    """Return the plan by which the connection runs a statement, as the server logs it.

    EXPLAIN of the statement would make another plan, for these very values.
    """
    assert isinstance(connection, DirectConnection)
    logged: list[str] = []

    def listen(_: object, message: Any) -> None:
        logged.append(message.message)

    for each in (*TOLD, *first):
        run(connection, each)
    connection._driver.add_log_listener(listen)
    connection._ask(statement, *values)
    run(connection, "RESET ROLE")
    run(connection, "SET LOCAL auto_explain.log_min_duration = -1")
    connection._driver.remove_log_listener(listen)
    plans = [each.partition("plan:")[2] for each in logged if "plan:" in each]
    return json.loads(plans[0])["Plan"]


TOLD = (
    "LOAD 'auto_explain'",
    "SET LOCAL auto_explain.log_analyze = on",
    "SET LOCAL auto_explain.log_buffers = on",
    "SET LOCAL auto_explain.log_timing = off",
    "SET LOCAL auto_explain.log_format = json",
    "SET LOCAL client_min_messages = log",
    "SET LOCAL auto_explain.log_min_duration = 0",
)


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for part in plan.get("Plans", ()) for each in nodes(part))]


def read_whole(plan: dict[str, Any]) -> list[dict[str, Any]]:
    scans = [each for each in nodes(plan) if each["Node Type"] == "Seq Scan"]
    return [each for each in scans if each["Relation Name"] in GROWING]


async def test_nor_does_what_is_read_as_a_role_that_sees_one_tenant(store: SqlStore) -> None:
    await save(store, traded)
    assert isinstance(store._database, PostgresqlDatabase)
    await Administration(store._database._writing.url).write(grow)
    with statements() as seen:
        await look_at_reads(store.reads)

    for statement, values in seen:
        if statement.startswith("SELECT"):
            plan = await store._database.write(kept, statement, values, AS_TENANT)
            assert not read_whole(plan), statement
            touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            assert touched < 200, (statement, touched)


AS_TENANT = (f"SET LOCAL drawbridge.tenant = '{TENANT}'", "SET LOCAL ROLE drawbridge_tenant")


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_what_a_statement_reads_does_not_grow_with_history(
    store: SqlStore, mode: str
) -> None:
    await save(store, traded)
    assert isinstance(store._database, PostgresqlDatabase)
    await Administration(store._database._writing.url).write(grow)
    with statements() as seen:
        await look_at_everything(store)
    selects = [each for each in seen if each[0].startswith("SELECT")]

    for statement, values in selects:
        plan = await store._database.write(explained, statement, values, mode)
        assert not read_whole(plan), statement
        touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert touched < 200, (statement, touched)
    assert len(selects) > 20


async def test_a_plan_that_was_made_while_tables_were_small_serves_when_they_have_grown(
    store: SqlStore,
) -> None:
    await save(store, traded)
    with statements() as seen:
        await look_at_everything(store)

    for statement, values in seen:
        if statement.startswith("SELECT"):
            plan = await store._database.write(kept, statement, values)
            assert not read_whole(plan), statement


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
