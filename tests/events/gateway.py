"""What a gateway process has of events, over RabbitMQ, in one store with the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from events.broadcaster import Handoff, News
from events.doorbell import SharedDoorbell
from events.rabbitmq import RabbitBus
from events.relay import Relay
from events.shards import LeasedOutbox, Shards
from events.streams import LiveStreams
from events.topology import Topology
from gateway.system import SystemClock
from tests.events.fakes import ONE, FakeLeases, FakeQuotes, FakeStore
from tests.events.services import until
from trading.execution import Report
from trading.ids import AccountID
from trading.store import SHARDS, Reads


@dataclass(frozen=True, kw_only=True)
class World:
    """What the processes share."""

    url: str
    topology: Topology
    store: FakeStore
    leases: FakeLeases
    database: str

    @classmethod
    def of(cls, url: str, topology: Topology, database: str = "ours") -> World:
        leases = FakeLeases(SystemClock())
        return cls(url=url, topology=topology, store=FakeStore(), leases=leases, database=database)


class Process:
    """The parts of one process, wired as a gateway wires them."""

    def __init__(self, world: World, name: str) -> None:
        clock, self.handoff = SystemClock(), Handoff()
        reads = cast("Reads", world.store)
        self.store = world.store
        self.bus = RabbitBus(
            url=world.url,
            topology=world.topology,
            handoff=self.handoff,
            clock=clock,
            process=name,
            database=world.database,
        )
        self.shards = Shards(leases=world.leases, clock=clock, process=name)
        relay = Relay(
            outbox=LeasedOutbox(world.store, self.shards), reads=reads, bus=self.bus, clock=clock
        )
        self.doorbell = SharedDoorbell(bus=self.bus, relay=relay, shards=self.shards, clock=clock)
        self.news = News(self.handoff, clock, self.doorbell.hear)
        self.streams = LiveStreams(reads=reads, quotes=FakeQuotes(), news=self.news, clock=clock)
        self.works: list[Callable[[], Coroutine[None, None, None]]] = [
            self.bus.run,
            self.shards.run,
            relay.run,
            self.doorbell.run,
            self.news.run,
            self.streams.run,
        ]

    def commit(self, count: int = 1, account_id: AccountID = ONE) -> None:
        """Record reports and ring, as the core does."""
        self.store.commit(count, account_id)
        self.doorbell.ring({account_id})


@asynccontextmanager
async def running(world: World, name: str, *, up: bool = True) -> AsyncIterator[Process]:
    """Run a process; it is the relay of all shards that no other holds."""
    process = Process(world, name)
    tasks = [asyncio.create_task(work()) for work in process.works]
    try:
        await until(lambda: process.bus.is_up or not up)
        yield process
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def pair(world: World) -> AsyncIterator[tuple[Process, Process]]:
    """Run a process that relays, and one that does not."""
    async with running(world, "relaying") as relaying:
        await until(lambda: len(relaying.shards.held) == SHARDS)
        async with running(world, "other") as other:
            yield relaying, other


@asynccontextmanager
async def following(process: Process, account_id: AccountID = ONE) -> AsyncIterator[list[Report]]:
    """Collect an account's reports from the first, as a subscriber of a process."""
    reports: list[Report] = []

    async def collect() -> None:
        async for report in process.streams.reports(account_id, 0):
            reports.append(report)  # noqa: PERF401 - the list is read while it grows

    task = asyncio.create_task(collect())
    try:
        await until(lambda: account_id in process.news.watched)
        yield reports
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
