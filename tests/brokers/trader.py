"""A process that trades on the paper exchange without end, and prints each order it is told of."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from brokers.paper.broker import PaperBroker
from tests.brokers.market import venue
from tests.brokers.world import NOON, FakeClock, Permit, approved, new, quote
from trading.order import Side


async def trade(path: Path) -> None:
    clock = FakeClock()
    broker = PaperBroker(venue(path.parent, clock), clock)
    await broker.connect(None)
    for n in count():
        broker.on_quote(quote(99, 2, 100, 2, at=NOON + n))
        requests = [new(f"o{n}-{k}", Side.BUY, 1, 100 - k % 3) for k in range(8)]
        await asyncio.gather(*(broker.submit(approved(r), Permit()) for r in requests))
        print(*(request.wire_id for request in requests), flush=True)  # noqa: T201 - for the parent


if __name__ == "__main__":
    asyncio.run(trade(Path(sys.argv[1])))
