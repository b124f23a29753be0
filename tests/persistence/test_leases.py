"""A lease has one holder at a time, whoever dies or freezes, and whatever the clocks say."""

import asyncio
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence import tables
from persistence.connection import Connection
from persistence.leases import SqlLeases
from persistence.store import SqlStore
from tests.persistence.conftest import opened
from tests.persistence.samples import StoppedClock

TERM_S = 6.0
NAMES = count()


def process(store: SqlStore, now: float = 0) -> tuple[SqlLeases, StoppedClock]:
    """Make another process's view of the leases, on a clock of its own."""
    clock = StoppedClock(int(now * 1_000_000_000))
    return SqlLeases(store._database, clock), clock


async def test_one_of_many_gets_a_lease_and_the_others_do_not(store: SqlStore) -> None:
    processes = [process(store)[0] for _ in range(6)]
    taken = await asyncio.gather(
        *(leases.acquire("x", f"p{n}", TERM_S) for n, leases in enumerate(processes))
    )

    assert sorted(filter(None, taken)) == [1]
    assert await processes[0].acquire("y", "p0", TERM_S) == 1


async def test_a_lease_that_is_renewed_stays_where_it_is(store: SqlStore) -> None:
    (holder, _), (other, clock) = process(store), process(store)
    epoch = await holder.acquire("x", "holder", TERM_S)
    assert epoch == 1

    for _ in range(5):
        assert await other.acquire("x", "other", TERM_S) is None
        await clock.sleep(TERM_S)
        assert await holder.renew("x", epoch, TERM_S)
    assert await other.acquire("x", "other", TERM_S) is None


async def test_one_that_is_not_is_taken_after_a_whole_term_by_one_and_with_a_new_epoch(
    store: SqlStore,
) -> None:
    (holder, _), (other, clock), (third, far) = process(store), process(store), process(store, 9e6)
    first = await holder.acquire("x", "holder", TERM_S)
    assert first == 1
    for leases in (other, third):
        assert await leases.acquire("x", "one", TERM_S) is None

    await clock.sleep(TERM_S - 0.001)
    assert await other.acquire("x", "one", TERM_S) is None
    await clock.sleep(0.001)
    await far.sleep(TERM_S)
    taken = await asyncio.gather(*(each.acquire("x", "one", TERM_S) for each in (other, third)))

    assert sorted(filter(None, taken)) == [2]
    assert not await holder.renew("x", first, TERM_S)
    await holder.release("x", first)
    assert not (await process(store)[0].acquire("x", "late", TERM_S))


async def test_who_has_just_started_waits_a_whole_term_whatever_its_clock_says(
    store: SqlStore,
) -> None:
    await process(store)[0].acquire("x", "holder", TERM_S)
    newcomer, clock = process(store, 1e9)

    assert await newcomer.acquire("x", "holder", TERM_S) is None
    await clock.sleep(TERM_S)
    assert await newcomer.acquire("x", "holder", TERM_S) == 2


async def test_the_time_that_a_question_takes_does_not_count(store: SqlStore) -> None:
    """An answer tells how things stood at some time between the question and itself."""
    await process(store)[0].acquire("x", "holder", TERM_S)
    clock = StoppedClock()
    slow = SqlLeases(store._database, clock)
    ask = slow._database.write

    class Slow:
        async def write(self, *args: Any) -> Any:
            answer = await ask(*args)
            await clock.sleep(TERM_S)
            return answer

    slow._database = Slow()  # type: ignore[assignment]
    assert await slow.acquire("x", "other", TERM_S) is None
    assert await slow.acquire("x", "other", TERM_S) is None
    assert await slow.acquire("x", "other", TERM_S) == 2


async def test_one_that_is_given_up_needs_no_waiting(store: SqlStore) -> None:
    (holder, _), (other, _) = process(store), process(store)
    epoch = await holder.acquire("x", "holder", TERM_S)
    assert epoch == 1
    assert await other.acquire("x", "other", TERM_S) is None
    await holder.release("x", epoch)

    assert not await holder.renew("x", epoch, TERM_S)
    assert await other.acquire("x", "other", TERM_S) == 2
    await holder.release("x", epoch)
    assert await other.renew("x", 2, TERM_S)


async def test_a_lease_that_changes_hands_between_look_and_grasp_is_not_taken(
    store: SqlStore,
) -> None:
    (holder, _), (other, _) = process(store), process(store)
    write = other._database.write
    quicker = iter([holder.acquire("x", "holder", TERM_S)])

    class Late:
        async def write(self, *args: Any) -> Any:
            answer = await write(*args)
            for taking in quicker:
                assert await taking == 1
            return answer

    other._database = Late()  # type: ignore[assignment]
    assert await other.acquire("x", "other", TERM_S) is None


async def test_a_lease_is_a_row_that_says_who_holds_it(store: SqlStore) -> None:
    await store.leases.acquire("x", "me", TERM_S)
    await store.leases.renew("x", 1, TERM_S)

    query = tables.leases.select()
    rows = await store._database.read(Connection.rows, query)
    assert [tuple(row) for row in rows] == [("x", "me", 1, 2)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["acquire", "renew", "release", "sleep"]), st.integers(0, 2)),
    max_size=30,
)


def test_no_two_processes_hold_a_lease_as_long_as_they_keep_their_terms(tmp_path: Any) -> None:
    """Each lets go a little before its term is over, as its holder does."""
    with asyncio.Runner() as runner:
        store = runner.run(opened(tmp_path))

        @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
        @given(STEPS)
        def check(steps: list[tuple[str, int]]) -> None:
            runner.run(walk(store, steps, f"lease-{next(NAMES)}"))

        try:
            check()
        finally:
            runner.run(store.close())


async def walk(store: SqlStore, steps: list[tuple[str, int]], name: str) -> None:
    # Clocks go at one pace, from wherever each began.
    processes = [process(store, start) for start in (0, 1e6, 5e8)]
    held: dict[int, tuple[int, int]] = {}
    epochs, now = [], 0
    for step, number in steps:
        leases, _ = processes[number]
        held = {each: (epoch, until) for each, (epoch, until) in held.items() if now < until}
        match step:
            case "acquire" if number not in held:
                if (epoch := await leases.acquire(name, str(number), TERM_S)) is not None:
                    assert not held
                    held[number] = epoch, now + int(TERM_S)
                    epochs.append(epoch)
            case "renew" if number in held:
                assert await leases.renew(name, held[number][0], TERM_S)
                held[number] = held[number][0], now + int(TERM_S)
            case "release" if number in held:
                await leases.release(name, held.pop(number)[0])
            case "sleep":
                now += 2 * number
                for _, clock in processes:
                    await clock.sleep(2 * number)
            case _:
                pass
    assert epochs == sorted(set(epochs))


@pytest.mark.services
@pytest.mark.parametrize("kind", ["postgresql"])
async def test_leases_are_kept_while_no_order_gets_a_connection(store: SqlStore) -> None:
    async def hold() -> None:
        async with store.transaction() as transaction:
            await transaction.lock([])
            begun.release()
            await enough.wait()

    begun, enough = asyncio.Semaphore(0), asyncio.Event()
    holding = [asyncio.create_task(hold()) for _ in range(6)]
    for _ in holding:
        await begun.acquire()
    assert await store.leases.acquire("x", "me", TERM_S) == 1
    assert await store.leases.renew("x", 1, TERM_S)
    enough.set()
    await asyncio.gather(*holding)
