"""A simulator of Tradovate on a real socket."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from brokers.faults import FaultScript
from brokers.paper.venue import Venue
from brokers.tradovate.simulator.server import served
from brokers.tradovate.simulator.sessions import Login
from brokers.tradovate.simulator.simulator import Simulator
from gateway.system import SystemClock
from trading.instrument import Catalogue
from trading.ports import Clock, Environment

LOGIN = Login("simulated", "made-up-password", "7", "made-up-secret")


@asynccontextmanager
async def simulated(
    folder: Path,
    catalogue: Catalogue,
    faults: FaultScript | None = None,
    *,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Simulator, int]]:
    """Serve a simulator with a journal in this folder; give it and its port."""
    now = clock or SystemClock()
    venue = Venue(
        journal=folder / "paper.journal",
        environment=Environment.SIM,
        catalogue=catalogue,
        clock=now,
        market=now,
        faults=faults,
    )
    fresh = partial(secrets.token_urlsafe, 16)
    simulator = Simulator(venue, catalogue, now, LOGIN, fresh, **settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with served(simulator, listener):
            yield simulator, listener.getsockname()[1]
