"""A simulator of Alpaca on a real socket, and the adapter to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from brokers.alpaca.broker import AlpacaBroker
from brokers.alpaca.fence import Credentials
from brokers.alpaca.link import AlpacaSettings
from brokers.alpaca.simulator.server import served
from brokers.alpaca.simulator.simulator import Simulator
from brokers.faults import FaultScript
from brokers.link.http import Timeouts
from brokers.link.keys import Key
from brokers.paper.venue import Venue
from gateway.system import SystemClock
from trading.execution import BrokerEvent, LinkEvent
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.ports import Broker, Environment

KEY = Credentials("SIMKEY", "made-up-secret")
PATIENT = Timeouts(pool_s=10, connect_s=10, write_s=10, read_s=10)
HASTY = Timeouts(pool_s=10, connect_s=10, write_s=10, read_s=0.3)


def timeouts(faults: FaultScript | None) -> Timeouts:
    """Wait briefly for answers, where some are never to come."""
    return HASTY if faults is not None and faults.faults else PATIENT


@dataclass(frozen=True, slots=True)
class Alpaca:
    """A simulator that is served; brokers are made to it."""

    simulator: Simulator
    port: int
    folder: Path
    catalogue: Catalogue
    timeouts: Timeouts = PATIENT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def broker(
        self, account: str = "a", watermark_s: float = 0.3, key: Key[Credentials] = KEY
    ) -> AlpacaBroker:
        settings = AlpacaSettings(
            environment=Environment.SIM,
            url=self.url,
            credentials=key,
            account_id=AccountID(account),
            directory=self.folder / "adapter",
            timeouts=self.timeouts,
            watermark_s=watermark_s,
            arrival_s=1.0,
        )
        return AlpacaBroker(settings, self.catalogue, SystemClock())


@asynccontextmanager
async def simulated(
    folder: Path,
    catalogue: Catalogue,
    faults: FaultScript | None = None,
    *,
    replays: bool = True,
    rate_limit: int = 1_000_000,
) -> AsyncIterator[Alpaca]:
    """Serve a simulator with a journal in this folder."""
    clock = SystemClock()
    venue = Venue(
        journal=folder / "paper.journal",
        environment=Environment.SIM,
        catalogue=catalogue,
        clock=clock,
        market=clock,
        faults=faults,
    )
    simulator = Simulator(venue, catalogue, clock, KEY, replays=replays, rate_limit=rate_limit)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with served(simulator, listener):
            port = listener.getsockname()[1]
            yield Alpaca(simulator, port, folder, catalogue, timeouts(faults))


class Heard:
    """What an adapter's stream has told so far."""

    def __init__(self, broker: Broker) -> None:
        self.events: list[BrokerEvent | LinkEvent] = []
        self._listening = asyncio.create_task(self._listen(broker))

    async def _listen(self, broker: Broker) -> None:
        async for event in broker.events():
            self.events.append(event)

    @property
    def said(self) -> list[str]:
        """What happened, in a word each; what was told twice is there once, as it counts."""
        words = {
            event.key if isinstance(event, BrokerEvent) else f"link {number}": getattr(
                event, "exec_type", type(event).__name__
            )
            for number, event in enumerate(self.events)
        }
        return [str(word) for word in words.values()]

    async def until(self, *words: str) -> None:
        await until(lambda: self.said == [*words], lambda: str(self.said))


async def until(
    done: Callable[[], bool], shown: Callable[[], str] = str, patience_s: float = 10
) -> None:
    """Wait until something is so, for real time."""
    for _ in range(round(patience_s / 0.01)):
        if done():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(shown())
