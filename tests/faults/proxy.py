"""A TCP proxy that does to a connection what networks do, whenever a test tells it to.

It knows no protocol, so it can stand before an exchange, PostgreSQL, RabbitMQ or Redis alike:

    async with FaultProxy("127.0.0.1", 5432) as proxy:
        connect("127.0.0.1", proxy.port)
        proxy.freeze()  # half-open: both ends believe in a connection on which nothing moves
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum, unique
from types import TracebackType
from typing import Self

_CHUNK = 65_536
# Switched on with no time to linger, so that a close is a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


@unique
class Way(Enum):
    """A direction."""

    UP = "from client to server"
    DOWN = "from server to client"


class FaultProxy:
    """Stands before one server. What is told to it holds for all connections, also later ones."""

    def __init__(self, host: str, port: int, *, listen_port: int = 0) -> None:
        """Stand before the server at this address; port 0 listens on any that is free."""
        self._upstream = host, port
        self._listen_port = listen_port
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self.delay_s = 0.0
        """How long every chunk is held, in its order."""
        self.lost: set[Way] = set()
        """Ways on which bytes vanish, and so do the news that an end has closed."""
        self.stalled: set[Way] = set()
        """Ways on which nothing is read, so that the sender's buffers fill."""
        self.passed = dict.fromkeys(Way, 0)
        """How many bytes got through."""
        self.accepted = 0
        """How many connections there were."""
        self._resets_at: dict[Way, int] = {}
        self._moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything."""
        self.refuse()
        for link in list(self._links):
            link.reset()
        await asyncio.gather(*(link.ended() for link in list(self._links)))

    @property
    def host(self) -> str:
        """Where clients connect to."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """Where clients connect to; the same for the whole life of the proxy."""
        return self._listen_port

    # --- what a test may do ---

    def freeze(self) -> None:
        """Make all connections half-open: both ends are there, and nothing gets through."""
        self.lost = set(Way)

    def reset_after(self, count: int, way: Way) -> None:
        """Reset the connection that carries one byte more than so many from now on that way.

        With 0 not one byte of what comes next arrives.
        """
        self._resets_at[way] = self.passed[way] + count

    def heal(self) -> None:
        """Let everything through again. A connection that has lost bytes is reset instead."""
        self.lost, self.delay_s = set(), 0.0
        self.stalled.clear()
        self._resets_at.clear()
        for link in list(self._links):
            if link.has_lost:
                link.reset()
        self.move()

    def move(self) -> None:
        """Have what is stalled look again whether it still is."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def reset(self) -> None:
        """Reset all connections (RST)."""
        for link in list(self._links):
            link.reset()

    def close(self) -> None:
        """Close all connections in order (FIN)."""
        for link in list(self._links):
            link.close()

    def refuse(self) -> None:
        """Listen no more: who connects is refused by the system."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def listen(self) -> None:
        """Listen, or listen again, on the same port."""
        self._server = await asyncio.start_server(self._accept, self.host, self._listen_port)
        self._listen_port = self._server.sockets[0].getsockname()[1]

    # --- how it does it ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(self, writer)
        self._links.add(link)
        try:
            await link.run(reader, *self._upstream)
        finally:
            self._links.discard(link)

    def allowance(self, way: Way) -> int | None:
        """Return how many more bytes may pass before a reset; None is any number."""
        at = self._resets_at.get(way)
        return None if at is None else at - self.passed[way]

    def used_up(self, way: Way) -> None:
        """Note that a reset was due and done."""
        self._resets_at.pop(way, None)

    async def until_open(self, way: Way) -> None:
        """Wait while a way is stalled."""
        while way in self.stalled:
            await self._moved.wait()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = [client]
        self._pumps: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()
        self.has_lost = False

    async def run(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        (client,) = self._writers
        try:
            upstream, server = await asyncio.open_connection(host, port)
        except OSError:
            self.reset()
        else:
            self._writers.append(server)
            self._pumps = [
                asyncio.ensure_future(self._pump(reader, server, Way.UP)),
                asyncio.ensure_future(self._pump(upstream, client, Way.DOWN)),
            ]
            await asyncio.gather(*self._pumps, return_exceptions=True)
        finally:
            await self._let_go()

    async def ended(self) -> None:
        await self._is_over.wait()

    def reset(self) -> None:
        for writer in self._writers:
            connection: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        self._stop()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._stop()

    def _stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()

    async def _let_go(self) -> None:
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._is_over.set()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        try:
            while True:
                await self._proxy.until_open(way)
                data = await reader.read(_CHUNK)
                await self._proxy.until_open(way)
                await asyncio.sleep(self._proxy.delay_s)
                if way in self._proxy.lost:
                    self.has_lost = True
                    if not data:
                        await asyncio.Event().wait()
                elif not data:
                    break
                elif not await self._pass(data, writer, way):
                    return
        except OSError:
            self.reset()
        else:
            self.close()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, way: Way) -> bool:
        """Forward what may pass; False if the connection was reset for the rest."""
        allowance = self._proxy.allowance(way)
        part = data if allowance is None else data[:allowance]
        self._proxy.passed[way] += len(part)
        if part:
            writer.write(part)
            await writer.drain()
        if len(part) == len(data):
            return True
        # What may pass has left for the kernel; a reset must not overtake it on loopback.
        await asyncio.sleep(0)
        self._proxy.used_up(way)
        self.reset()
        return False
