"""Short ways to use an adapter's link over a real socket, and to wait for it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from brokers.paper.remote import RemotePaperBroker
from tests.brokers.market import Hall, patiently
from tests.brokers.world import Permit, approved, new
from trading.ids import WireID
from trading.order import Side
from trading.ports import Ack, Unavailable

RESTING = new("a", Side.BUY, 1, 98)


def submit(broker: RemotePaperBroker, permit: Permit | None = None) -> Awaitable[Ack]:
    return broker.submit(approved(RESTING), permit or Permit())


async def recovered(hall: Hall, broker: RemotePaperBroker) -> None:
    """Let time pass until the link is up again."""

    async def up() -> None:
        while True:
            with contextlib.suppress(Unavailable):
                await broker.find_order(WireID("nobody"))
                return
            await hall.clock.sleep(0.1)

    await patiently(hall.clock, up())


def is_up(broker: RemotePaperBroker) -> bool:
    dialogue = broker._link._dialogue
    return dialogue is not None and dialogue.why_ended is None


async def until(condition: Callable[[], bool]) -> None:
    """Let sockets work until something is so."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError("it does not become so")
