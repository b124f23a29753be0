"""Relays are given what is not published yet, each account's rows in their order."""

from dataclasses import replace

import pytest

from persistence import tables
from persistence.connection import Connection
from persistence.store import SqlStore
from tests.persistence.changes import A, B, place, save
from tests.persistence.samples import account, limits
from trading.books import Books, Wants
from trading.execution import ExecType
from trading.ids import AccountID, OrderID
from trading.store import SHARDS, shard_of


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_the_outbox_gives_the_oldest_until_they_are_published(
    store: SqlStore, limit: int
) -> None:
    for name in ("1", "2"):
        await save(store, place(name))

    first = await store.outbox.pending(limit)
    assert [row.first_seq for row in first] == [1, 2][:limit]
    await store.outbox.published([row.id for row in first])
    await store.outbox.published([row.id for row in first])
    assert [row.first_seq for row in await store.outbox.pending(9)] == [1, 2][limit:]

    known = {row.id for row in first}
    await store.outbox.published([row.id for row in await store.outbox.pending(9)])
    await save(store, place("3"))
    assert known.isdisjoint(row.id for row in await store.outbox.pending(9))


async def test_each_relay_is_given_the_rows_of_its_shards(store: SqlStore) -> None:
    accounts = [AccountID(f"c{number}") for number in range(2 * SHARDS)]
    for each in accounts:
        await store.accounts.add(account(each), limits(each, MAX_ORDER_QTY=5), {})
    for number in range(2):
        async with store.transaction() as transaction:
            await transaction.lock(accounts)
            books = await transaction.load(Wants(accounts=frozenset(accounts)))
            for each in accounts:
                place(f"{each}-{number}", account_id=each)(books)
            await transaction.save(books)

    everything = await store.outbox.pending(99)
    parts = [await store.outbox.pending(99, {shard}) for shard in range(SHARDS)]

    assert sorted((row for part in parts for row in part), key=lambda row: row.id) == everything
    for shard, part in enumerate(parts):
        assert {shard_of(row.account_id) for row in part} <= {shard}
        assert [row.id for row in part] == sorted(row.id for row in part)
    some = {shard_of(accounts[0]), shard_of(accounts[1])}
    both = [row for row in everything if shard_of(row.account_id) in some]
    assert await store.outbox.pending(99, some) == both
    assert await store.outbox.pending(2, some) == both[:2]
    assert await store.outbox.pending(99, set()) == []


async def test_a_row_names_the_traces_that_its_reports_are_of(store: SqlStore) -> None:
    def traced(books: Books) -> None:
        place("1", "2", "3")(books)
        for wire_id, trace in zip(sorted(books.changed_commands), ("z", "z", "a"), strict=True):
            books.put_command(replace(books.commands[wire_id], traceparent=f"00-{trace}-01"))

    await save(store, place("plain", account_id="b"))
    books = await save(store, traced)
    # What is reported of an order later is of the trace in which it was commanded.
    wire_id = min(books.commands)

    def report(books: Books) -> None:
        command = books.commands[wire_id]
        assert command.traceparent == "00-z-01"
        books.record(books.orders[command.order_id], ExecType.NEW, 3)

    await save(store, report, wire_ids=[wire_id])
    await save(
        store,
        lambda books: books.record(books.orders[OrderID("plain")], ExecType.NEW, 3),
        order_ids=[OrderID("plain")],
    )

    rows = await store.outbox.pending(9)
    assert [row.traceparents for row in rows] == [None, "00-a-01 00-z-01", "00-z-01", None]


async def test_a_row_of_a_release_without_shards_is_given_to_the_relay_of_its_account(
    store: SqlStore,
) -> None:
    def unmark(connection: Connection) -> None:
        connection.run(tables.outbox.update().values(shard=None), {})

    await save(store, place("1"))
    await save(store, place("2", account_id="b"))
    await store._database.write(unmark)

    rows = await store.outbox.pending(9, {shard_of(A)})
    assert [row.account_id for row in rows] == [A]
    assert await store.outbox.pending(9, set(range(SHARDS)) - {shard_of(A), shard_of(B)}) == []
