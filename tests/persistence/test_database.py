"""What holds of either database: a transaction ends, whatever happens in it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.exc import IntegrityError

from persistence import postgresql, sqlite
from persistence.connection import Connection
from persistence.database import Database, to_its_end
from tests.persistence.jobs import (
    ALL,
    add,
    assert_writable,
    fail,
    ids,
    postgresql_database,
    run,
    sqlite_database,
)
from trading.store import StoreUnavailable


@pytest.fixture
async def database(kind: str, tmp_path: Path) -> AsyncIterator[Database]:
    made = postgresql_database() if kind == "postgresql" else sqlite_database(tmp_path)
    async with made as database:
        yield database


@pytest.fixture
def module(kind: str) -> ModuleType:
    return postgresql if kind == "postgresql" else sqlite


async def test_a_clean_exit_commits_what_was_left_for_later_too(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.do(add, 1)
        transaction.later(add, 2)
        transaction.later(add, 3)
        assert await ids(database) == set()

    assert await ids(database) == {1, 2, 3}


async def test_what_was_left_for_later_comes_before_the_next_job(database: Database) -> None:
    async with database.transaction() as transaction:
        transaction.later(add, 1)
        assert [row.id for row in await transaction.do(Connection.rows, ALL)] == [1]

    assert await ids(database) == {1}


async def test_an_empty_transaction_is_none(database: Database) -> None:
    async with database.transaction():
        pass

    await assert_writable(database)


async def test_an_error_between_jobs_rolls_back(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            transaction.later(add, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await ids(database) == set()
    await assert_writable(database)


async def test_an_error_in_a_job_rolls_back(database: Database) -> None:
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
    database: Database,
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


def leave_an_orphan(connection: Connection) -> None:
    """What only the commit can refuse."""
    add(connection, 1)
    run(connection, "INSERT INTO child VALUES (7)")


async def test_a_commit_that_fails_rolls_back(database: Database) -> None:
    deferred = "CREATE TABLE child (id INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)"
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


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match=r"read-?only"):
        await database.read(add, 1)


async def test_a_canceled_caller_leaves_no_transaction_open(database: Database) -> None:
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
    database: Database,
    module: ModuleType,
    step: str,
    left: set[int],
    monkeypatch: pytest.MonkeyPatch,
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
        patch.setattr(module, "to_its_end", canceled_meanwhile)
        task = asyncio.create_task(write())
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await ids(database) == left
    await assert_writable(database)


async def test_a_rollback_runs_to_its_end_as_well(
    database: Database, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is canceled while an earlier error is being rolled back."""

    async def canceled_meanwhile[T](work: asyncio.Future[T]) -> T:
        asyncio.get_running_loop().call_soon(task.cancel)
        return await to_its_end(work)

    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.do(add, 1)
            monkeypatch.setattr(module, "to_its_end", canceled_meanwhile)
            raise ZeroDivisionError

    task = asyncio.create_task(fail())
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(module, "to_its_end", to_its_end)

    assert await ids(database) == set()
    await assert_writable(database)


async def test_a_database_that_is_closed_is_unavailable(database: Database) -> None:
    await database.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await database.read(Connection.rows, ALL)
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.write(add, 1)


async def test_closing_waits_for_the_transaction_that_is_open(database: Database) -> None:
    async with database.transaction() as transaction:
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        await transaction.do(add, 1)
        assert not closing.done()
    await closing


async def test_an_error_does_not_tell_what_the_parameters_were(database: Database) -> None:
    await database.write(add, 424242)
    with pytest.raises(IntegrityError) as caught:
        await database.write(add, 424242)

    assert "424242" not in str(caught.value)


async def test_work_goes_on_to_its_end_however_often_it_is_canceled() -> None:
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(to_its_end(work))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()

    work.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("canceled", [False, True])
async def test_the_error_of_work_is_the_callers_unless_it_was_canceled(
    canceled: bool,  # noqa: FBT001
) -> None:
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(to_its_end(work))
    await asyncio.sleep(0)
    if canceled:
        task.cancel()
        await asyncio.sleep(0)
    work.set_exception(ZeroDivisionError())

    with pytest.raises(asyncio.CancelledError if canceled else ZeroDivisionError):
        await task
