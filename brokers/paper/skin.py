"""A broker's wire over the paper exchange behind a socket: HTTP and WebSocket on one port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from brokers.paper.venue import Venue

_STOP_S = 1


class _Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


@asynccontextmanager
async def served(
    application: Starlette, venue: Venue, listener: socket.socket
) -> AsyncIterator[None]:
    """Serve on a socket that listens, until the exit; the exchange is closed then."""
    server = _Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            timeout_graceful_shutdown=_STOP_S,
            server_header=False,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        # Streams end with the exchange, and the server with its streams.
        await venue.close()
        await asyncio.gather(serving, return_exceptions=True)
