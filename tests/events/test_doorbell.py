"""The doorbell rings here at once, elsewhere once for many, and never holds anybody up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from events.broadcaster import Handoff
from events.codec import Channel, Ring, StateChanges, decode
from events.doorbell import HELD_MAX, REST_S, SharedDoorbell
from events.relay import Relay
from events.shards import LeasedOutbox, Shards
from tests.events.fakes import (
    ONE,
    OTHER,
    FakeClock,
    FakeLeases,
    FakeStore,
    FaultyBus,
    change,
    settle,
)
from trading.ids import AccountID
from trading.store import Reads, shard_of


class Bench:
    """A doorbell in a process that relays the shard of ONE, and no other."""

    def __init__(self) -> None:
        self.clock, self.store, self.bus = FakeClock(), FakeStore(), FaultyBus(Handoff())
        self.leases = FakeLeases(self.clock)
        self.shards = Shards(leases=self.leases, clock=self.clock, process="one")
        self.relay = Relay(
            outbox=LeasedOutbox(self.store, self.shards),
            reads=cast("Reads", self.store),
            bus=self.bus,
            clock=self.clock,
        )
        self.doorbell = SharedDoorbell(
            bus=self.bus, relay=self.relay, shards=self.shards, clock=self.clock
        )

    def rings(self) -> Sequence[Ring]:
        sent = (decode(message) for channel, message in self.bus.sent if channel == Channel.RINGS)
        return [each for each in sent if isinstance(each, Ring)]

    def channels(self) -> Sequence[Channel]:
        return [channel for channel, _ in self.bus.sent]


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    each = Bench()
    for shard in {shard_of(OTHER)}:
        await each.leases.acquire(f"relay/{shard}", "another", 3600)
    works = (each.shards.run(), each.relay.run(), each.doorbell.run())
    tasks = [asyncio.create_task(work) for work in works]
    await settle()
    try:
        yield each
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_account_that_is_relayed_here_is_relayed_and_not_rung_elsewhere() -> None:
    async with bench() as each:
        each.store.commit(1, ONE)
        each.doorbell.ring({ONE})
        await settle()
        assert each.channels() == [Channel.REPORTS]


async def test_an_account_that_is_relayed_elsewhere_is_rung_there() -> None:
    async with bench() as each:
        each.store.commit(1, OTHER)
        each.doorbell.ring({OTHER, ONE})
        await settle()
        assert each.rings() == [Ring(accounts=(OTHER,))]
        assert each.channels() == [Channel.RINGS]


async def test_what_is_rung_in_quick_succession_is_one_message() -> None:
    async with bench() as each:
        each.doorbell.ring({OTHER})
        await settle()
        for _ in range(100):
            each.doorbell.ring({OTHER})
            each.doorbell.ring_session("paper")
            await settle()
        assert len(each.rings()) == 1
        await each.clock.advance(REST_S)
        assert each.rings()[1:] == [Ring(accounts=(OTHER,), brokers=("paper",))]
        await each.clock.advance(1)
        assert len(each.rings()) == 2


async def test_a_session_here_is_woken_here() -> None:
    async with bench() as each:
        woken: list[str] = []
        each.doorbell.answer("paper", lambda: woken.append("paper"))
        each.doorbell.ring_session("paper")
        assert woken == ["paper"]
        each.doorbell.hear(Ring(brokers=("paper", "elsewhere")))
        assert woken == ["paper", "paper"]
        await settle()
        assert each.rings() == []


async def test_a_ring_from_elsewhere_starts_the_relay() -> None:
    async with bench() as each:
        each.store.commit(1, ONE)
        each.doorbell.hear(Ring(accounts=(ONE,)))
        await settle()
        assert each.channels() == [Channel.REPORTS]


async def test_a_change_of_state_is_sent_by_the_relay_that_committed_it() -> None:
    async with bench() as each:
        each.doorbell.ring_states([change(1)])
        await settle()
        assert decode(each.bus.sent[0][1]) == StateChanges((change(1),))
        assert each.channels() == [Channel.STATES]


async def test_a_ring_is_lost_where_the_bus_fails_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as each:
        each.bus.fate = "refuse"
        for _ in range(5):
            each.doorbell.ring({OTHER})
            await each.clock.advance(REST_S)
        each.bus.fate = "drop"
        await each.clock.advance(1)
        assert each.rings() == []
        assert caplog.text.count("doorbells are not heard elsewhere: refused") == 1
        each.doorbell.ring({OTHER})
        await each.clock.advance(REST_S)
        assert each.rings() == [Ring(accounts=(OTHER,))]


async def test_what_is_held_while_the_bus_hangs_is_bounded() -> None:
    async with bench() as each:
        hangs = asyncio.Event()

        async def hang(*_: object) -> None:
            await hangs.wait()

        each.bus.publish = hang  # type: ignore[assignment, method-assign]
        shard = shard_of(OTHER)
        foreign = [AccountID(str(n)) for n in range(40_000) if shard_of(AccountID(str(n))) == shard]
        assert len(foreign) > 2 * HELD_MAX
        for account_id in foreign:
            each.doorbell.ring({account_id})
        await settle()
        for account_id in foreign:
            each.doorbell.ring({account_id})
        assert len(each.doorbell._accounts) == HELD_MAX
