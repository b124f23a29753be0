"""Processes that share a store and a broker, each striving to own the broker's session."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.trading.builders import account
from tests.trading.fakes import Bell, ManualClock, NoQuotes, OpenGate, ScriptedBroker, Sequential
from tests.trading.memory import MemoryStore
from trading.answers import Answers
from trading.batch import CommandQueue, Settled
from trading.clerk import Clerk
from trading.command import OrderCommand
from trading.owner import SessionOwner
from trading.permit import Permits
from trading.recorder import Recorder
from trading.session import BrokerSession
from trading.store import StoreUnavailable


@dataclass
class Lease:
    holder: str | None = None
    epoch: int = 0
    beat: int = 0


@dataclass
class SharedLeases:
    """Leases as a store would keep them: rows that change, and no wall clock."""

    clock: ManualClock
    leases: dict[str, Lease] = field(default_factory=dict)
    seen: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    is_down: bool = False

    async def acquire(self, name: str, holder: str, ttl_s: float) -> int | None:
        lease = self._lease(name)
        if lease.holder is not None and not self._has_run_out(name, holder, lease, ttl_s):
            return None
        lease.holder, lease.epoch, lease.beat = holder, lease.epoch + 1, 0
        return lease.epoch

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        del ttl_s
        lease = self._lease(name)
        lease.beat += lease.epoch == epoch
        return lease.epoch == epoch

    async def release(self, name: str, epoch: int) -> None:
        lease = self._lease(name)
        if lease.epoch == epoch:
            lease.holder = None

    def _lease(self, name: str) -> Lease:
        if self.is_down:
            raise StoreUnavailable("down")
        return self.leases.setdefault(name, Lease())

    def _has_run_out(self, name: str, holder: str, lease: Lease, ttl_s: float) -> bool:
        now = self.clock.monotonic()
        epoch, beat, since = self.seen.get((name, holder), (0, 0, now))
        if (epoch, beat) != (lease.epoch, lease.beat):
            since = now
        self.seen[name, holder] = (lease.epoch, lease.beat, since)
        return now - since >= ttl_s * 1_000_000_000


class World:
    """What all processes share."""

    def __init__(self) -> None:
        self.store, self.broker = MemoryStore(account()), ScriptedBroker()
        self.clock, self.ids, self.bell, self.gate = ManualClock(), Sequential(), Bell(), OpenGate()
        self.leases = SharedLeases(self.clock)


class Process:
    """One process: a desk, and an owner of the session if it can."""

    def __init__(self, world: World, name: str, *, strives: bool = True) -> None:
        self.world, self.name, self.strives = world, name, strives
        self.permits = Permits(world.clock)
        self.answers = Answers(world.store, world.clock)
        self.owner = SessionOwner(
            broker="fake",
            holder=name,
            leases=world.leases,
            store=world.store,
            permits=self.permits,
            clock=world.clock,
            open_session=self._session,
            answers=self.answers,
        )
        self.queue = CommandQueue(
            store=world.store,
            clerk=Clerk(world.gate, world.ids),
            catalogue=world.store.catalogue,
            sessions={"fake": self.owner},
            quotes=NoQuotes(),
            doorbell=world.bell,
            clock=world.clock,
        )
        self.sessions: list[BrokerSession] = []
        self.tasks: list[asyncio.Task[None]] = []

    def _session(self, epoch: int) -> BrokerSession:
        session = BrokerSession(
            broker=self.world.broker,
            store=self.world.store,
            reads=self.world.store,
            recorder=Recorder(self.world.gate, resends=True),
            permits=self.permits,
            doorbell=self.world.bell,
            clock=self.world.clock,
            epoch=epoch,
        )
        self.sessions.append(session)
        return session

    @contextmanager
    def running(self) -> Iterator["Process"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        self.queue.start()
        works = [self.answers.run(), *([self.owner.run()] if self.strives else [])]
        self.tasks = [asyncio.create_task(work) for work in works]

    def kill(self) -> None:
        """End all its tasks where they stand, as the end of the process would."""
        worker = self.queue._worker
        sessions = [t for each in self.sessions for t in each._tasks | each._sends]
        for task in [*self.tasks, *sessions, *([worker] if worker else [])]:
            task.cancel()

    async def put(self, command: OrderCommand, *, awaits_broker: bool = False) -> Settled:
        return await self.queue.put(command, "fake", awaits_broker=awaits_broker)
