"""The exchange's process is killed again and again, and its clients lose and double nothing."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from brokers.paper.client import Address
from brokers.paper.journal import Journal, Stamp
from brokers.paper.ledger import Ledger
from brokers.paper.messages import Entry, Event, Report
from brokers.paper.remote import RemotePaperBroker
from gateway.system import SystemClock
from tests.brokers.market import LOOPBACK
from tests.brokers.world import Permit, approved, new
from trading.execution import BrokerEvent, BrokerReport
from trading.ids import WireID
from trading.order import ApprovedOrder, Side
from trading.ports import Ack, Environment, InDoubt, Unavailable

ROOT = Path(__file__).parents[2]
ROUNDS = 5
TRADERS = 4


class Killable:
    """An exchange in a process of its own, always at the same address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: Process | None = None
        self.port = 0

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.brokers.exchange_process",
            str(self._directory),
            str(self.port),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None


class Trader:
    """Sends orders one after the other, each until it is answered, whatever happens meanwhile."""

    def __init__(self, broker: RemotePaperBroker, name: str, random: Random) -> None:
        self.broker, self.name, self.random = broker, name, random
        self.acked: dict[WireID, Ack] = {}
        self.doubts = 0
        self.is_over = False

    async def trade(self) -> None:
        while not self.is_over:
            wire_id = WireID(f"{self.name}-{len(self.acked)}")
            side, qty = self.random.choice([*Side]), self.random.randint(1, 5)
            request = approved(new(wire_id, side, qty, 100, account=self.name))
            self.acked[wire_id] = await self.answered(request)

    async def answered(self, request: ApprovedOrder) -> Ack:
        while True:
            try:
                return await self.broker.submit(request, Permit())
            except InDoubt:
                self.doubts += 1
            except Unavailable:
                await asyncio.sleep(0.01)


class Listener:
    """Hears everything that its broker is told."""

    def __init__(self, broker: RemotePaperBroker) -> None:
        self.heard: list[BrokerEvent] = []
        self.hearing = asyncio.create_task(self._hear(broker))

    async def _hear(self, broker: RemotePaperBroker) -> None:
        async for event in broker.events():
            self.heard.append(event)

    def knows(self, wire_ids: set[WireID]) -> bool:
        return wire_ids <= {event.wire_id for event in self.heard}


@pytest.mark.crash
async def test_an_exchange_that_is_killed_and_started_again_is_the_same_for_all_its_clients(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        exchange = Killable(tmp_path)
        stack.push_async_callback(exchange.kill)
        await exchange.start()
        brokers = [await connected(exchange.port, stack) for _ in range(2)]
        listeners = [Listener(broker) for broker in brokers]
        traders = [Trader(brokers[n % 2], f"t{n}", Random(n)) for n in range(TRADERS)]
        trading = [asyncio.create_task(trader.trade()) for trader in traders]

        for round_ in range(ROUNDS):
            goal = sum(len(trader.acked) for trader in traders) + 100 + 17 * round_
            await until(lambda goal=goal: sum(len(t.acked) for t in traders) >= goal)  # type: ignore[misc]
            await exchange.kill()
            await exchange.start()

        for trader in traders:
            trader.is_over = True
        await asyncio.gather(*trading)
        acked = {wire_id: ack for trader in traders for wire_id, ack in trader.acked.items()}
        await until(lambda: all(listener.knows(set(acked)) for listener in listeners))
        await exchange.kill()

    assert sum(trader.doubts for trader in traders) > 0
    ledger, events = await restored(tmp_path)
    assert {wire_id: order.order_id for wire_id, order in ledger.orders.items()} == {
        wire_id: ack.secondary_order_id for wire_id, ack in acked.items()
    }
    for listener in listeners:
        assert told(listener.heard) == recorded(events)[: len(listener.heard)]


async def connected(port: int, stack: AsyncExitStack) -> RemotePaperBroker:
    broker = RemotePaperBroker(
        address=Address(LOOPBACK, port), environment=Environment.PAPER, clock=SystemClock()
    )
    stack.push_async_callback(broker.close)
    await broker.connect(None)
    return broker


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it does not become so")


async def restored(directory: Path) -> tuple[Ledger, list[Event]]:
    ledger, events = Ledger(), list[Event]()

    def restore(entry: Entry) -> None:
        ledger.restore(entry)
        events.extend(entry.events)

    stamp = Stamp("", Environment.PAPER)
    await Journal(directory / "paper.journal", restore, stamp).close()
    return ledger, events


def told(events: list[BrokerEvent]) -> list[tuple[object, ...]]:
    return [
        (e.key, e.wire_id, e.exec_type, e.last_qty, e.last_px)
        for e in events
        if isinstance(e, BrokerReport)
    ]


def recorded(events: list[Event]) -> list[tuple[object, ...]]:
    return [
        (f"paper:{e.number}", e.wire_id, e.exec_type, e.last_qty, e.last_px)
        for e in events
        if isinstance(e, Report)
    ]
