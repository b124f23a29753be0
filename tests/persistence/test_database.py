"""Transactions end, whatever happens in them; and what SQLite must be told, it is told."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from persistence import database as database_module
from persistence.database import Database, set_pragmas, sqlite_database, to_its_end
from trading.store import StoreUnavailable

TABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = sqlite_database(tmp_path / "a strange?name#.sqlite3")
    async with database.administer() as connection:
        await connection.run_sync(TABLE.metadata.create_all)
    yield database
    await database.close()


async def ids(database: Database) -> set[int]:
    async with database.read() as connection:
        return {row.id for row in await connection.rows(sa.select(TABLE))}


async def pragma(connection: database_module.Connection, name: str) -> Any:
    return (await connection.rows(sa.select(sa.text(f"{name} FROM pragma_{name}"))))[0][0]


async def test_a_commit_is_on_the_disk_before_it_returns(database: Database) -> None:
    async with database.write() as writer, database.read() as reader:
        for connection in (writer, reader):
            assert await pragma(connection, "journal_mode") == "wal"
            assert await pragma(connection, "synchronous") == 2
            assert await pragma(connection, "foreign_keys") == 1


@pytest.mark.parametrize("value", [5, 1])
async def test_a_pragma_that_does_not_take_is_noticed(value: int) -> None:
    class Cursor:
        def execute(self, _: str) -> None: ...
        def fetchone(self) -> tuple[int]:
            return (1,)

        def close(self) -> None: ...

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    if value == 1:
        set_pragmas(Connection(), {"synchronous": value})
    else:
        with pytest.raises(StoreUnavailable, match="synchronous at 1 where 5"):
            set_pragmas(Connection(), {"synchronous": value})


async def test_a_clean_exit_commits(database: Database) -> None:
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 1}, {"id": 2}])

    assert await ids(database) == {1, 2}


async def test_an_error_rolls_back(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.insert(TABLE, [{"id": 1}])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await ids(database) == set()
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 2}])
    assert await ids(database) == {2}


async def test_a_key_that_exists_rolls_back(database: Database) -> None:
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 1}])

    async def repeat() -> None:
        async with database.write() as connection:
            await connection.insert(TABLE, [{"id": 2}])
            await connection.insert(TABLE, [{"id": 1}])

    with pytest.raises(IntegrityError):
        await repeat()
    assert await ids(database) == {1}


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        async with database.read() as connection:
            await connection.insert(TABLE, [{"id": 1}])


async def test_a_reader_sees_one_state(database: Database) -> None:
    async with database.read() as reader:
        before = await reader.rows(sa.select(TABLE))
        async with database.write() as writer:
            await writer.insert(TABLE, [{"id": 1}])
        assert await reader.rows(sa.select(TABLE)) == before


async def test_the_next_writer_waits_for_the_one_before(database: Database) -> None:
    order = []

    async def write(number: int) -> None:
        async with database.write() as connection:
            order.append(number)
            await connection.insert(TABLE, [{"id": number}])
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(write(number) for number in range(5)))

    assert order[::2] == order[1::2]
    assert await ids(database) == set(range(5))


async def test_a_canceled_caller_leaves_no_transaction_open(database: Database) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.insert(TABLE, [{"id": 1}])
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await ids(database) == set()
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 2}])
    assert await ids(database) == {2}


@pytest.mark.parametrize(
    ("step", "left"),
    [("begin", set()), ("first", set()), ("second", set()), ("commit", {1, 2}), ("close", {1, 2})],
)
async def test_a_cancel_at_any_step_leaves_all_or_nothing(
    database: Database, step: str, left: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that has begun runs to its end, however often its caller is canceled meanwhile."""
    steps = iter(["begin", "first", "second", "commit", "close"])

    async def canceled_meanwhile[T](work: Coroutine[Any, Any, T]) -> T:
        if next(steps) == step:
            cancel_twice()
        return await to_its_end(work)

    def cancel_twice() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: (task.cancel(), loop.call_soon(task.cancel)))

    async def write() -> None:
        async with database.write() as connection:
            await connection.insert(TABLE, [{"id": 1}])
            await connection.insert(TABLE, [{"id": 2}])

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "to_its_end", canceled_meanwhile)
        task = asyncio.create_task(write())
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await ids(database) == left
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 3}])
    assert await ids(database) == left | {3}


async def test_a_writer_that_is_canceled_while_it_waits_takes_no_place(database: Database) -> None:
    async with database.write() as connection:
        waiting = [asyncio.create_task(database.write().__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await connection.insert(TABLE, [{"id": 1}])

    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 2}])
    assert await ids(database) == {1, 2}


async def test_what_the_database_cannot_do_is_told_as_unavailable(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"):
        async with database.read() as connection:
            await connection.rows(sa.select(sa.text("* FROM nowhere")))


async def test_an_error_does_not_tell_what_the_parameters_were(database: Database) -> None:
    async with database.write() as connection:
        await connection.insert(TABLE, [{"id": 424242}])
    with pytest.raises(IntegrityError) as caught:
        async with database.write() as connection:
            await connection.insert(TABLE, [{"id": 424242}])

    assert "424242" not in str(caught.value)


async def test_work_goes_on_to_its_end_however_often_it_is_canceled() -> None:
    release, done = asyncio.Event(), []

    async def work() -> None:
        await release.wait()
        done.append(True)

    task = asyncio.create_task(to_its_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()

    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


async def test_the_error_of_work_is_the_callers() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await to_its_end(work())
