"""Work under a lease begins again after a defect, and says what that was."""

import asyncio
import logging

import pytest

from gateway.leased import while_leased
from tests.trading.fakes import settle


class Idle:
    """A clock that stands still, and lets others have their turn."""

    def now(self) -> int:
        return 0

    def monotonic(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


class Granted:
    """Leases that are to be had, each time."""

    def __init__(self) -> None:
        self.epoch = 0
        self.released: list[int] = []

    async def acquire(self, name: str, holder: str, ttl_s: float) -> int | None:
        del name, holder, ttl_s
        self.epoch += 1
        return self.epoch

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        del name, ttl_s
        return epoch == self.epoch

    async def release(self, name: str, epoch: int) -> None:
        del name
        self.released.append(epoch)


async def test_a_defect_is_told_and_the_work_begins_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    leases = Granted()
    task = asyncio.create_task(
        while_leased("feed", leases=leases, holder="me", clock=Idle(), work=work)
    )
    with caplog.at_level(logging.INFO):
        await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    told = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage() for each in told] == ["feed has failed, and is to begin again"]
    assert told[0].exc_info is not None
    assert told[0].exc_info[0] is ZeroDivisionError
    assert begun == 2
    assert leases.released == [1, 2]
