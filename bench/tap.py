"""A tap on the broker's line: passes on what an exchange and its client say, and notes when.

It runs in a thread of the process that waits for the load. What it notes is the last instant before
an event is written to the gateway's socket, and so no part of what is measured.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import orjson
import uvloop

_START_S = 10


class Tap:
    """What has been passed on to the client, and when."""

    def __init__(self, port: int) -> None:
        """Name the port that the client connects to."""
        self.port = port
        self._passed: list[tuple[int, int, bytes]] = []
        self._rests: dict[int, bytes] = {}

    def note(self, connection: int, data: bytes) -> None:
        """Note what is passed on now."""
        self._passed.append((time.monotonic_ns(), connection, data))

    def told(self) -> Mapping[str, int]:
        """Return when each execution was told, by its ExecID, in monotonic nanoseconds.

        It forgets what it returns.
        """
        passed, self._passed = self._passed, []
        told: dict[str, int] = {}
        for at, connection, data in passed:
            *lines, rest = (self._rests.get(connection, b"") + data).split(b"\n")
            self._rests[connection] = rest
            told |= {exec_id: at for line in lines if (exec_id := _exec_id(line))}
        return told


def _exec_id(line: bytes) -> str | None:
    if not line.startswith(b'{"event"'):
        return None
    match orjson.loads(line):
        case {"event": {"report": {"exec_id": str(exec_id)}}}:
            return exec_id
        case _:
            return None


class _End(asyncio.Protocol):
    """One end of a connection that is passed on, which may be opened before the other."""

    def __init__(self, tap: Tap | None) -> None:
        self._tap = tap
        self._early = b""
        self._other: asyncio.Transport | None = None

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early += data
            return
        if self._tap is not None:
            self._tap.note(id(self), data)
        self._other.write(data)

    def pass_to(self, other: asyncio.Transport) -> None:
        """Pass on what comes, and what has come already."""
        self._other, early, self._early = other, self._early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._other is not None:
            self._other.close()


class _Client(_End):
    """The client's end, which opens the other."""

    def __init__(self, tap: Tap, exchange: int) -> None:
        super().__init__(None)
        self._to_exchange, self._exchange = _End(tap), exchange
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect(client))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            exchange, _ = await loop.create_connection(
                lambda: self._to_exchange, "127.0.0.1", self._exchange
            )
        except OSError:
            client.abort()
            return
        self._to_exchange.pass_to(client)
        self.pass_to(exchange)
        if client.is_closing():
            exchange.close()


@contextmanager
def tapped(exchange: int, port: int) -> Iterator[Tap]:
    """Stand between an exchange and whoever connects to the port."""
    tap, is_up = Tap(port), threading.Event()
    loop = uvloop.new_event_loop()

    async def serve() -> None:
        server = await loop.create_server(lambda: _Client(tap, exchange), "127.0.0.1", port)
        loop.call_soon(is_up.set)
        async with server:
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        if not is_up.wait(_START_S):
            raise OSError(f"the tap does not listen on port {port}")
        yield tap
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(_START_S)
        loop.close()
