"""Users are looked up many at a time, and never as they were before they were asked for."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from security.lookup import Lookup
from tests.security.fakes import FakeUser
from trading.ids import UserID
from trading.store import StoreUnavailable

ONE, TWO = UserID("u1"), UserID("u2")


class FakeDirectory:
    """A directory that answers when it is let."""

    def __init__(self) -> None:
        self.known = {ONE: FakeUser()}
        self.asked: list[list[UserID]] = []
        self.is_down = False
        self.let = asyncio.Event()
        self.let.set()

    async def users_of(self, user_ids: Collection[UserID]) -> Mapping[UserID, FakeUser]:
        self.asked.append(sorted(user_ids))
        found = {each: self.known[each] for each in user_ids if each in self.known}
        await self.let.wait()
        if self.is_down:
            raise StoreUnavailable("down")
        return found


@pytest.fixture
def directory() -> FakeDirectory:
    return FakeDirectory()


async def test_a_crowd_costs_one_question(directory: FakeDirectory) -> None:
    lookup = Lookup(directory)

    found = await asyncio.gather(*(lookup.user(each) for each in (ONE, TWO) * 2_500))

    assert found == [FakeUser(), None] * 2_500
    assert directory.asked == [[ONE, TWO]]


async def test_who_asks_while_a_question_is_under_way_gets_a_newer_answer(
    directory: FakeDirectory,
) -> None:
    lookup = Lookup(directory)
    directory.let.clear()
    early = asyncio.create_task(lookup.user(ONE))
    for _ in range(3):
        await asyncio.sleep(0)
    directory.known[ONE] = FakeUser(name="Renamed")
    late = [asyncio.create_task(lookup.user(ONE)) for _ in range(3)]
    await asyncio.sleep(0)
    directory.let.set()

    assert await early == FakeUser()
    assert await asyncio.gather(*late) == [FakeUser(name="Renamed")] * 3
    assert len(directory.asked) == 2


async def test_an_outage_is_told_to_all_and_outlived(directory: FakeDirectory) -> None:
    lookup, directory.is_down = Lookup(directory), True
    failed = await asyncio.gather(lookup.user(ONE), lookup.user(TWO), return_exceptions=True)
    assert [type(each) for each in failed] == [StoreUnavailable] * 2

    directory.is_down = False
    assert await lookup.user(ONE) == FakeUser()


async def test_who_gives_up_spoils_it_for_nobody(directory: FakeDirectory) -> None:
    lookup = Lookup(directory)
    directory.let.clear()
    leaver, stayer = (asyncio.create_task(lookup.user(ONE)) for _ in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    leaver.cancel()
    directory.let.set()

    assert await stayer == FakeUser()
