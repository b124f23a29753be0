"""The halt file: nothing leaves while it is there, and what it said is recorded."""

import asyncio
from pathlib import Path

import pytest

from gateway.haltfile import HaltFile, halt_file
from tests.trading.builders import account
from tests.trading.house import House
from tests.trading.memory import MemoryStore
from trading.account import TradingState
from trading.control import ScopeState, subject_of
from trading.ports import PermitRefused
from trading.scope import Scope, ScopeKind

ACTIVE = TradingState.ACTIVE


class Watched:
    """A house with a halt file, looked for in its own time."""

    def __init__(self, folder: Path) -> None:
        self.house, self.path = House(), halt_file(folder)
        self.file = HaltFile(
            path=self.path,
            permits=self.house.permits,
            control=self.house.control,
            clock=self.house.clock,
        )

    def check(self) -> None:
        self.house.permits.permit(subject_of(account()), ACTIVE).check()

    def recorded(self) -> ScopeState | None:
        return (_states(self.house.store)).get(Scope(ScopeKind.ALL))


def _states(store: MemoryStore) -> dict[Scope, ScopeState]:
    return {each.scope: each for each in store.state.scope_states.values()}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_it_closes_the_permits_at_once(watched: Watched) -> None:
    watched.check()
    watched.path.write_text("the database is down")
    watched.file.look()

    with pytest.raises(PermitRefused, match="HALT"):
        watched.check()


def test_cancels_go_on(watched: Watched) -> None:
    watched.path.touch()
    watched.file.look()

    watched.house.permits.check_open()


def test_one_that_cannot_be_read_counts_as_there(watched: Watched) -> None:
    watched.path.mkdir()
    watched.file.look()

    with pytest.raises(PermitRefused):
        watched.check()


async def test_it_is_recorded_when_the_store_is_back(watched: Watched) -> None:

    house = watched.house
    house.store.is_down = True
    watched.path.write_text("the database\x00 is down\n")
    running = asyncio.create_task(watched.file.run())
    await house.clock.advance(3)
    assert watched.recorded() is None

    house.store.is_down = False
    await house.clock.advance(2)
    running.cancel()

    row = watched.recorded()
    assert row is not None
    assert (row.state, row.reason) == (TradingState.HALTED, "the database  is down")
    assert (row.changed_by, row.approved_by) == ("halt-file", None)


async def test_one_that_was_removed_too_soon_is_recorded_and_holds_until_then(
    watched: Watched,
) -> None:

    house = watched.house
    house.store.is_down = True
    watched.path.touch()
    running = asyncio.create_task(watched.file.run())
    await house.clock.advance(1)
    watched.path.unlink()
    await house.clock.advance(1)
    with pytest.raises(PermitRefused, match="HALT"):
        watched.check()

    house.store.is_down = False
    await house.clock.advance(2)
    running.cancel()

    assert watched.recorded() is not None
    # Now it is the recorded halt that holds, for two people to release.
    with pytest.raises(PermitRefused, match="for this order"):
        watched.check()
