"""What SQLite must be told, it is told; and one thread writes while others read."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from persistence import sqlite
from persistence.bare import BareConnection
from persistence.sqlite import SqliteDatabase, set_pragmas
from tests.persistence.jobs import ALL, add, assert_writable, ids, sqlite_database
from trading.store import StoreOverloaded, StoreUnavailable


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with sqlite_database(tmp_path) as database:
        yield database


def pragmas(connection: BareConnection) -> list[Any]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
    return [connection.text(f"PRAGMA {name}")[0][0] for name in names]


async def test_a_commit_is_on_the_disk_before_it_returns(database: SqliteDatabase) -> None:
    assert await database.write(pragmas) == ["wal", 2, 1, 5000, 0]
    assert await database.read(pragmas) == ["wal", 2, 1, 5000, 1]
    async with database.transaction() as transaction:
        assert await transaction.do(pragmas) == ["wal", 2, 1, 5000, 0]


async def test_every_connection_is_told(database: SqliteDatabase) -> None:
    together = threading.Barrier(sqlite._READERS)

    def told(connection: BareConnection) -> tuple[int, list[Any]]:
        together.wait(timeout=30)
        return id(connection.bare.connection.dbapi_connection), pragmas(connection)

    found = await asyncio.gather(*(database.read(told) for _ in range(sqlite._READERS)))

    assert len({connection for connection, _ in found}) == sqlite._READERS
    assert all(each == ["wal", 2, 1, 5000, 1] for _, each in found)


@pytest.mark.parametrize("value", [5, 1])
async def test_a_pragma_that_does_not_take_is_noticed(value: int) -> None:
    class Cursor:
        def execute(self, _: str) -> None: ...
        def fetchone(self) -> tuple[int]:
            return (1,)

        def close(self) -> None: ...

    class Driver:
        def cursor(self) -> Cursor:
            return Cursor()

    if value == 1:
        set_pragmas(Driver(), {"synchronous": value})
    else:
        with pytest.raises(StoreUnavailable, match="synchronous at 1 where 5"):
            set_pragmas(Driver(), {"synchronous": value})


async def test_all_is_written_on_one_thread_and_read_on_others(database: SqliteDatabase) -> None:
    def thread(_: BareConnection) -> int:
        return threading.get_ident()

    writers = {await database.write(thread)}
    async with database.transaction() as transaction:
        writers |= {await transaction.do(thread), await transaction.do(thread)}
    readers = {await database.read(thread) for _ in range(9)}

    assert len(writers) == 1
    assert writers.isdisjoint(readers | {threading.get_ident()})


async def test_a_reader_sees_one_state(database: SqliteDatabase) -> None:
    begun, written = threading.Event(), threading.Event()

    def look_twice(connection: BareConnection) -> tuple[int, int]:
        before = len(connection.rows(ALL))
        begun.set()
        assert written.wait(timeout=30)
        return before, len(connection.rows(ALL))

    looking = asyncio.create_task(database.read(look_twice))
    await asyncio.to_thread(begun.wait, 30)
    await database.write(add, 1)
    written.set()

    assert await looking == (0, 0)
    assert await ids(database) == {1}


async def test_the_next_writer_waits_for_the_one_before(database: SqliteDatabase) -> None:
    order = []

    async def write(number: int) -> None:
        async with database.transaction() as transaction:
            order.append(number)
            await transaction.do(add, number)
            await asyncio.sleep(0)
            order.append(number)

    alone = [database.write(add, number) for number in range(5, 10)]
    await asyncio.gather(*(write(number) for number in range(5)), *alone)

    assert order[::2] == order[1::2]
    assert await ids(database) == set(range(10))


@pytest.mark.parametrize("alone", [False, True])
async def test_a_writer_that_is_canceled_while_it_waits_takes_no_turn(
    database: SqliteDatabase,
    alone: bool,  # noqa: FBT001
) -> None:
    async def write() -> None:
        if alone:
            await database.write(add, 9)
        async with database.transaction() as transaction:
            await transaction.do(add, 9)

    async with database.transaction() as transaction:
        waiting = [asyncio.create_task(write()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await transaction.do(add, 1)

    assert await ids(database) == {1}
    await assert_writable(database)


async def test_a_job_whose_caller_is_canceled_runs_to_its_end(database: SqliteDatabase) -> None:
    begun, canceled = threading.Event(), threading.Event()

    def work(connection: BareConnection) -> None:
        begun.set()
        assert canceled.wait(timeout=30)
        add(connection, 1)

    task = asyncio.create_task(database.write(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    canceled.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await ids(database) == {1}


async def test_nobody_waits_for_a_turn_for_ever(database: SqliteDatabase) -> None:
    async with database.transaction() as transaction:
        database._writer.turns.wait_s = 0
        with pytest.raises(StoreOverloaded, match="busy for 0 seconds"):
            await database.write(add, 1)
        await transaction.do(add, 2)

    assert await ids(database) == {2}


async def test_what_the_database_cannot_do_is_told_as_unavailable(
    database: SqliteDatabase,
) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"):
        await database.read(BareConnection.rows, sa.select(sa.text("* FROM nowhere")))
