"""The markets that tests open: through both adapters, or behind a socket and a fault proxy."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from brokers.paper.remote import RemotePaperBroker
from tests.brokers.market import LOOPBACK, Adapter, Hall, Market, Opening, opened, venue
from tests.brokers.peer import Peer
from tests.brokers.world import FakeClock, quote
from tests.faults.proxy import FaultProxy


@pytest.fixture(params=Adapter, ids=lambda adapter: adapter.value)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    chosen: Adapter = request.param
    return chosen


@pytest.fixture
async def open_market(adapter: Adapter, tmp_path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as markets:

        async def open_one(
            clock: FakeClock | None = None,
            *,
            folder: Path | None = None,
            resume_from: str | None = None,
            **terms: Any,
        ) -> Market:
            clock = clock or FakeClock()
            market = await opened(adapter, venue(folder or tmp_path, clock, **terms), clock)
            markets.push_async_callback(market.close)
            await market.broker.connect(resume_from)
            return market

        yield open_one


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    """An exchange behind a socket."""
    clock = FakeClock()
    open_hall = Hall(venue(tmp_path, clock), clock)
    await open_hall.open()
    open_hall.server.show(quote(99, 5, 100, 3))
    yield open_hall
    await open_hall.close()


@pytest.fixture
async def peer(hall: Hall) -> AsyncIterator[Peer]:
    """A client of it, written by hand."""
    async with Peer.connected(hall.address) as connected:
        await connected.greet()
        yield connected


@pytest.fixture
async def proxy(hall: Hall) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(LOOPBACK, hall.port) as between:
        yield between


@pytest.fixture
async def broker(hall: Hall, proxy: FaultProxy) -> AsyncIterator[RemotePaperBroker]:
    """The adapter, connected to it by way of the proxy."""
    made = hall.broker(port=proxy.port)
    await made.connect(None)
    yield made
    await made.close()
