"""Each shard is relayed in one process at a time, and a shard that is let go finds another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.shards import BEAT_S, TTL_S, LeasedOutbox, Shards
from tests.events.fakes import ONE, OTHER, FakeClock, FakeLeases, FakeStore, settle
from trading.ids import AccountID
from trading.store import SHARDS, shard_of

ALL = frozenset(range(SHARDS))


class Bench:
    """Leases, and processes that want them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.leases = FakeLeases(self.clock)
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str) -> Shards:
        shards = Shards(leases=self.leases, clock=self.clock, process=name)
        self.tasks[name] = asyncio.create_task(shards.run())
        await settle()
        return shards

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def freeze(self, name: str) -> None:
        """Stop a process without its giving anything up."""
        self.leases.is_down = True
        await self.stop(name)
        self.leases.is_down = False


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    each = Bench()
    try:
        yield each
    finally:
        for name in list(each.tasks):
            await each.stop(name)


def test_an_account_has_the_same_shard_in_every_process() -> None:
    assert [shard_of(AccountID(each)) for each in ("equity", "futures", "one")] == [6, 0, 1]
    assert {shard_of(AccountID(str(each))) for each in range(200)} == ALL


async def test_the_first_process_takes_all_and_keeps_them() -> None:
    async with bench() as each:
        one, two = await each.start("one"), await each.start("two")
        for _ in range(10):
            await each.clock.advance(BEAT_S)
            assert (one.held, two.held) == (ALL, frozenset())
        assert one.has(ONE)
        assert not two.has(ONE)


async def test_a_process_that_stops_gives_up_what_it_holds() -> None:
    async with bench() as each:
        one, two = await each.start("one"), await each.start("two")
        await each.stop("one")
        assert one.held == frozenset()
        assert each.leases.released == SHARDS
        await each.clock.advance(BEAT_S)
        assert two.held == ALL


async def test_what_a_dead_process_held_is_taken_when_it_has_run_out() -> None:
    async with bench() as each:
        one, two = await each.start("one"), await each.start("two")
        await each.freeze("one")
        await each.clock.advance(TTL_S - 0.1)
        assert two.held == frozenset()
        await each.clock.advance(BEAT_S)
        assert (one.held, two.held) == (frozenset(), ALL)


async def test_without_the_store_a_lease_runs_out_here_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as each:
        one = await each.start("one")
        each.leases.is_down = True
        await each.clock.advance(TTL_S - 0.1)
        assert one.held == ALL
        await each.clock.advance(0.2)
        assert one.held == frozenset()
        await each.clock.advance(60)
        assert caplog.text.count("keeping the relay's leases fails") == 1
        each.leases.is_down = False
        await each.clock.advance(BEAT_S)
        assert one.held == ALL


async def test_a_relay_sees_what_its_process_holds() -> None:
    async with bench() as each:
        store = FakeStore()
        store.commit(1, ONE)
        store.commit(1, OTHER)
        assert shard_of(ONE) != shard_of(OTHER)
        shards = Shards(leases=each.leases, clock=each.clock, process="one")
        outbox = LeasedOutbox(store, shards)
        assert await outbox.pending(10) == ()
        assert store.reads == []
        await each.leases.acquire(f"relay/{shard_of(OTHER)}", "another", TTL_S)
        each.tasks["one"] = asyncio.create_task(shards.run())
        await settle()
        assert await outbox.pending(10) == store.rows[:1]
        await outbox.published({1, 2})
        assert store.rows == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "freeze", "down", "up", "wait"]),
        st.sampled_from(["one", "two", "three"]),
        st.floats(0, 2 * TTL_S),
    ),
    max_size=25,
)


@given(STEPS)
async def test_no_shard_is_held_twice_and_in_the_end_all_are_held(
    steps: list[tuple[str, str, float]],
) -> None:
    async with bench() as each:
        running: dict[str, Shards] = {}
        seen: list[Shards] = []
        for step, name, seconds in steps:
            match step:
                case "start" if name not in running:
                    running[name] = await each.start(name)
                    seen.append(running[name])
                case "stop" | "freeze" if name in running:
                    del running[name]
                    await (each.stop(name) if step == "stop" else each.freeze(name))
                case "down" | "up":
                    each.leases.is_down = step == "down"
                case _:
                    await each.clock.advance(seconds)
            assert sum(len(shards.held) for shards in seen) <= SHARDS
            assert len(frozenset().union(*(shards.held for shards in seen))) == sum(
                len(shards.held) for shards in seen
            )
        each.leases.is_down = False
        seen.append(await each.start("last"))
        await each.clock.advance(TTL_S + BEAT_S)
        assert frozenset().union(*(shards.held for shards in seen)) == ALL
