"""A paper exchange in a process of its own, on the real clock; it prints where it listens."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from brokers.paper.server import run_exchange
from gateway.system import SystemClock
from tests.brokers.market import LOOPBACK
from tests.brokers.world import LISTED, quote
from trading.instrument import Instrument
from trading.ports import Environment, MarketClock
from trading.quote import Quote


class SmallQuotes:
    """Shows a little of one stock again and again, so that orders fill in parts."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock

    @property
    def instruments(self) -> Sequence[Instrument]:
        return LISTED

    @property
    def clock(self) -> MarketClock:
        return self._clock

    async def quotes(self) -> AsyncIterator[Quote]:
        while True:
            yield quote(99, 3, 100, 3, at=self._clock.now())
            await self._clock.sleep(0.002)


def tell(_host: str, port: int) -> None:
    print(port, flush=True)  # noqa: T201 - for the parent


async def serve(directory: Path, port: int) -> None:
    clock = SystemClock()
    await run_exchange(
        host=LOOPBACK,
        port=port,
        directory=directory,
        environment=Environment.PAPER,
        source=SmallQuotes(clock),
        clock=clock,
        ready=tell,
    )


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
