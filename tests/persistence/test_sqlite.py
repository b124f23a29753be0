"""Transactions end, whatever happens in them; and what SQLite must be told, it is told."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from persistence import sqlite
from persistence.database import Connection, to_its_end
from persistence.sqlite import SqliteDatabase, set_pragmas
from trading.store import StoreUnavailable

TABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
ALL = sa.select(TABLE)


def create(connection: Connection) -> None:
    TABLE.metadata.create_all(connection.bare)


def add(connection: Connection, *ids: int) -> None:
    connection.insert(TABLE, [{"id": each} for each in ids])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "a strange?name#.sqlite3")
    await database.write(create)
    yield database
    await database.close()


async def ids(database: SqliteDatabase) -> set[int]:
    return {row.id for row in await database.read(Connection.rows, ALL)}


async def assert_writable(database: SqliteDatabase) -> None:
    """No transaction was left open: the next one begins, and commits."""
    before = await ids(database)
    await database.write(add, 1000)
    assert await ids(database) == before | {1000}


def pragmas(connection: Connection) -> list[Any]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
    return [connection.bare.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]


async def test_a_commit_is_on_the_disk_before_it_returns(database: SqliteDatabase) -> None:
    assert await database.write(pragmas) == ["wal", 2, 1, 5000, 0]
    assert await database.read(pragmas) == ["wal", 2, 1, 5000, 1]
    async with database.transaction() as transaction:
        assert await transaction.do(pragmas) == ["wal", 2, 1, 5000, 0]


async def test_every_connection_is_told(database: SqliteDatabase) -> None:
    together = threading.Barrier(sqlite._READERS)

    def told(connection: Connection) -> tuple[int, list[Any]]:
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
    def thread(_: Connection) -> int:
        return threading.get_ident()

    writers = {await database.write(thread)}
    async with database.transaction() as transaction:
        writers |= {await transaction.do(thread), await transaction.do(thread)}
    readers = {await database.read(thread) for _ in range(9)}

    assert len(writers) == 1
    assert writers.isdisjoint(readers | {threading.get_ident()})


async def test_a_clean_exit_commits_what_was_left_for_later_too(database: SqliteDatabase) -> None:
    async with database.transaction() as transaction:
        await transaction.do(add, 1)
        transaction.later(add, 2)
        transaction.later(add, 3)
        assert await ids(database) == set()

    assert await ids(database) == {1, 2, 3}


async def test_what_was_left_for_later_comes_before_the_next_job(database: SqliteDatabase) -> None:
    async with database.transaction() as transaction:
        transaction.later(add, 1)
        assert [row.id for row in await transaction.do(Connection.rows, ALL)] == [1]

    assert await ids(database) == {1}


async def test_an_empty_transaction_is_none(database: SqliteDatabase) -> None:
    async with database.transaction():
        pass

    await assert_writable(database)


async def test_an_error_between_jobs_rolls_back(database: SqliteDatabase) -> None:
    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            transaction.later(add, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await ids(database) == set()
    await assert_writable(database)


async def test_an_error_in_a_job_rolls_back(database: SqliteDatabase) -> None:
    def fail(connection: Connection) -> None:
        add(connection, 1)
        raise ZeroDivisionError

    async def in_steps() -> None:
        async with database.transaction() as transaction:
            await transaction.do(fail)

    with pytest.raises(ZeroDivisionError):
        await in_steps()
    with pytest.raises(ZeroDivisionError):
        await database.write(fail)

    assert await ids(database) == set()
    await assert_writable(database)


@pytest.mark.parametrize("later", [False, True])
async def test_a_key_that_exists_rolls_back(
    database: SqliteDatabase,
    later: bool,  # noqa: FBT001
) -> None:
    await database.write(add, 1)

    async def repeat() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 2)
            if later:
                transaction.later(add, 1)
            else:
                await transaction.do(add, 1)

    with pytest.raises(IntegrityError):
        await repeat()
    assert await ids(database) == {1}
    await assert_writable(database)


def run(connection: Connection, statement: str) -> None:
    connection.bare.exec_driver_sql(statement)


def leave_an_orphan(connection: Connection) -> None:
    """What only the commit can refuse."""
    add(connection, 1)
    run(connection, "INSERT INTO child VALUES (7)")


async def test_a_commit_that_fails_rolls_back(database: SqliteDatabase) -> None:
    deferred = "CREATE TABLE child (id REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)"
    await database.write(run, deferred)

    async def in_steps() -> None:
        async with database.transaction() as transaction:
            await transaction.do(leave_an_orphan)

    with pytest.raises(IntegrityError):
        await in_steps()
    with pytest.raises(IntegrityError):
        await database.write(leave_an_orphan)

    assert await ids(database) == set()
    await assert_writable(database)


async def test_a_reader_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await database.read(add, 1)


async def test_a_reader_sees_one_state(database: SqliteDatabase) -> None:
    begun, written = threading.Event(), threading.Event()

    def look_twice(connection: Connection) -> tuple[int, int]:
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


async def test_a_canceled_caller_leaves_no_transaction_open(database: SqliteDatabase) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            transaction.later(add, 2)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await ids(database) == set()
    await assert_writable(database)


@pytest.mark.parametrize(
    ("step", "left"), [("first", set()), ("second", set()), ("commit", {1, 2, 3})]
)
async def test_a_cancel_at_any_step_leaves_all_or_nothing(
    database: SqliteDatabase, step: str, left: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that has begun runs to its end, however often its caller is canceled meanwhile."""
    steps = iter(["first", "second", "commit", "close"])

    async def canceled_meanwhile[T](work: asyncio.Future[T]) -> T:
        if next(steps) == step:
            cancel_twice()
        return await to_its_end(work)

    def cancel_twice() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: (task.cancel(), loop.call_soon(task.cancel)))

    async def write() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            await transaction.do(add, 2)
            transaction.later(add, 3)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "to_its_end", canceled_meanwhile)
        task = asyncio.create_task(write())
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await ids(database) == left
    await assert_writable(database)


async def test_a_rollback_runs_to_its_end_as_well(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is canceled while an earlier error is being rolled back."""

    async def canceled_meanwhile[T](work: asyncio.Future[T]) -> T:
        asyncio.get_running_loop().call_soon(task.cancel)
        return await to_its_end(work)

    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            monkeypatch.setattr(sqlite, "to_its_end", canceled_meanwhile)
            raise ZeroDivisionError

    task = asyncio.create_task(fail())
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(sqlite, "to_its_end", to_its_end)

    assert await ids(database) == set()
    await assert_writable(database)


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

    def work(connection: Connection) -> None:
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


async def test_nobody_waits_for_a_turn_for_ever(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_S", 0)
    async with database.transaction() as transaction:
        with pytest.raises(StoreUnavailable, match="busy for 0 seconds"):
            await database.write(add, 1)
        monkeypatch.undo()
        await transaction.do(add, 2)

    assert await ids(database) == {2}


async def test_what_the_database_cannot_do_is_told_as_unavailable(
    database: SqliteDatabase,
) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"):
        await database.read(Connection.rows, sa.select(sa.text("* FROM nowhere")))


async def test_a_database_that_is_closed_is_unavailable(database: SqliteDatabase) -> None:
    await database.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await database.read(Connection.rows, ALL)
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.write(add, 1)


async def test_closing_waits_for_the_transaction_that_is_open(database: SqliteDatabase) -> None:
    async with database.transaction() as transaction:
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        await transaction.do(add, 1)
    await closing

    engine = sa.create_engine(database._writer.engine.url)
    with engine.connect() as connection:
        assert connection.execute(ALL).scalars().all() == [1]
    engine.dispose()


async def test_an_error_does_not_tell_what_the_parameters_were(database: SqliteDatabase) -> None:
    await database.write(add, 424242)
    with pytest.raises(IntegrityError) as caught:
        await database.write(add, 424242)

    assert "424242" not in str(caught.value)
