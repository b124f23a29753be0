"""A paper exchange and an adapter to it: in one process, or at the two ends of a real socket."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path
from typing import Protocol

from brokers.faults import FaultScript
from brokers.paper.broker import PaperBroker
from brokers.paper.client import Address
from brokers.paper.remote import RemotePaperBroker
from brokers.paper.server import ExchangeServer
from brokers.paper.venue import Venue
from tests.brokers.world import LISTED, FakeClock, catalogue
from trading.ids import AccountID
from trading.ports import Broker, Environment
from trading.quote import Quote

A = AccountID("a")
LOOPBACK = "127.0.0.1"


@unique
class Adapter(Enum):
    """The two adapters to the paper exchange."""

    IN_PROCESS = "in process"
    OVER_A_SOCKET = "over a socket"


@dataclass(slots=True)
class Market:
    """One exchange, and a broker whose session with it is open."""

    broker: PaperBroker | RemotePaperBroker
    venue: Venue
    show: Callable[[Quote], None]
    clock: FakeClock
    close: Callable[[], Awaitable[None]]


class Opening(Protocol):
    """Opens a market through the adapter under test, which is closed when the test has ended."""

    async def __call__(
        self,
        clock: FakeClock | None = None,
        *,
        folder: Path | None = None,
        resume_from: str | None = None,
        seed: int = 0,
        latency_ms: tuple[int, int] = (0, 0),
        faults: FaultScript | None = None,
    ) -> Market: ...


def venue(
    folder: Path,
    clock: FakeClock,
    *,
    environment: Environment = Environment.SIM,
    seed: int = 0,
    latency_ms: tuple[int, int] = (0, 0),
    faults: FaultScript | None = None,
) -> Venue:
    return Venue(
        journal=folder / "paper.journal",
        environment=environment,
        catalogue=catalogue(),
        clock=clock,
        market=clock,
        seed=seed,
        latency_ms=latency_ms,
        faults=faults,
    )


class Hall:
    """An exchange that listens on a real socket, in this process; where it was it can be again."""

    def __init__(self, made: Venue, clock: FakeClock, port: int = 0) -> None:
        self.clock = clock
        self.venue = made
        self.environment = made._environment
        self.server = ExchangeServer(made, LISTED, self.environment, clock)
        self._listener = socket.create_server((LOOPBACK, port))
        self.port: int = self._listener.getsockname()[1]
        self._stack = AsyncExitStack()

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.port)

    async def open(self) -> None:
        await self._stack.enter_async_context(self.server.listening(self._listener))
        self.venue.start(self.venue.keep_time())

    async def close(self) -> None:
        await self._stack.aclose()

    def broker(self, *, port: int | None = None) -> RemotePaperBroker:
        """Make an adapter to it, by way of another port if one is given."""
        return RemotePaperBroker(
            address=Address(LOOPBACK, port or self.port),
            environment=self.environment,
            clock=self.clock,
        )


async def opened(adapter: Adapter, made: Venue, clock: FakeClock) -> Market:
    """Open an exchange, with a broker to it whose session is not open yet."""
    if adapter is Adapter.IN_PROCESS:
        local = PaperBroker(made, clock)
        return Market(local, made, local.on_quote, clock, local.close)
    hall = Hall(made, clock)
    await hall.open()
    remote = hall.broker()

    async def close() -> None:
        await remote.close()
        await hall.close()

    return Market(remote, made, hall.server.show, clock, close)


async def held(broker: Broker) -> list[tuple[str, str, int]]:
    return [(a, symbol, int(qty)) for a, symbol, qty in (await broker.positions([A])).items]


async def patiently[T](clock: FakeClock, work: Awaitable[T]) -> T:
    """Let time pass until something is done that waits for time as well as for sockets."""
    task = asyncio.ensure_future(work)
    for _ in range(1000):
        if task.done():
            return task.result()
        await asyncio.wait({task}, timeout=0.01)
        await clock.advance(0.2)
    task.cancel()
    raise TimeoutError("it is not done, however much time passes")
