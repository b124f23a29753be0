"""Work that has begun runs to its end, whatever becomes of the one who asked for it."""

import asyncio

import pytest

from persistence.database import to_its_end


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
