"""A crowd of subscribers: a process of raw sockets that counts what it is told, and how late.

It reads a `Crowd` as JSON from standard input, says `ready` when everybody has subscribed, and for
each line that it then reads listens for so many seconds and writes a `Heard`. All deliveries are
counted, by their bytes; how late they are is looked up on some of the sockets.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

import uvloop

QUERY = (
    "subscription Q($symbols: [String!]!)"
    " { quotes(symbols: $symbols) { symbol bid bidSize ask askSize } }"
)
_SAMPLED = 50
_CONNECTING = 50
_STAMP = b'"bidSize":'
_KEY = base64.b64encode(b"0123456789abcdef").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Whom to subscribe where: each socket to the symbols of one of the sets, in turn."""

    port: int
    sockets: int
    sets: list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came in a while: deliveries of all, latencies of some in milliseconds."""

    deliveries: float
    seconds: float
    p50_ms: float
    p99_ms: float


class Follower(asyncio.Protocol):
    """One socket, and one operation with an id of its own."""

    def __init__(self, crowd: Crowd, number: int, *, is_sampled: bool) -> None:
        """Take what to subscribe to."""
        self._port, self._symbols = crowd.port, crowd.sets[number % len(crowd.sets)]
        # Ids differ in length too, as those of real clients do.
        self.id = f"{number}-{'x' * (number % 20)}"
        self._is_sampled = is_sampled
        self._transport: Any = None
        self._buffer = b""
        self._data = False
        self.bytes = 0
        self.size: int | None = None
        self.is_lost = False
        self.late: list[int] = []
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport
        self._transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or count."""
        if not self._data:
            self._greet(data)
        elif self._is_sampled:
            self._look(data)
        else:
            self.bytes += len(data)

    def _greet(self, data: bytes) -> None:
        self._buffer += data
        if b"\r\n\r\n" in self._buffer:
            self._buffer = b""
            self._send({"type": "connection_init", "payload": {"authorization": "Bearer bench"}})
        elif b"connection_ack" in self._buffer:
            self._buffer, self._data = b"", True
            payload = {"query": QUERY, "variables": {"symbols": self._symbols}}
            self._send({"type": "subscribe", "id": self.id, "payload": payload})
            self.ready.set_result(None)

    def _look(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.bytes += len(data)
        buffer = self._buffer + data
        while (size := _frame_size(buffer)) and len(buffer) >= size:
            framed, buffer = buffer[:size], buffer[size:]
            at = framed.find(_STAMP)
            if at < 0:
                continue
            start = framed.index(b'"', at + len(_STAMP)) + 1
            self.late.append(now - int(framed[start : framed.index(b'"', start)]))
            self.size = size
        self._buffer = buffer

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b""
        head = head or bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2)
        self._transport.write(head + b"\0\0\0\0" + text)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail loudly: nobody is to be lost."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"the server hung up: {exc}"))
        self.is_lost = True


def _frame_size(buffer: bytes) -> int:
    if len(buffer) < 4:
        return 0
    short = buffer[1]
    return 2 + short if short < 126 else 4 + int.from_bytes(buffer[2:4])


async def run(crowd: Crowd) -> None:
    """Subscribe everybody, and listen as often as we are told to."""
    followers = await _subscribed(crowd)
    print("ready", flush=True)  # noqa: T201 - it is how we speak
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        heard = await _listen(followers, float(line))
        print(json.dumps(dataclasses.asdict(heard)), flush=True)  # noqa: T201


async def _subscribed(crowd: Crowd) -> list[Follower]:
    every = max(1, crowd.sockets // _SAMPLED)
    loop = asyncio.get_running_loop()
    followers: list[Follower] = []
    for start in range(0, crowd.sockets, _CONNECTING):
        numbers = range(start, min(start + _CONNECTING, crowd.sockets))
        some = [Follower(crowd, number, is_sampled=number % every == 0) for number in numbers]
        for each in some:
            await loop.create_connection(lambda each=each: each, "127.0.0.1", crowd.port)  # type: ignore[misc]
        await asyncio.gather(*(each.ready for each in some))
        followers += some
    return followers


async def _listen(followers: list[Follower], seconds: float) -> Heard:
    for each in followers:
        each.bytes, each.late = 0, []
    began = time.monotonic_ns()
    await asyncio.sleep(seconds)
    took = (time.monotonic_ns() - began) / 1e9
    if any(each.is_lost for each in followers):
        raise ConnectionError("the server hung up on somebody")
    late = sorted(ns for each in followers for ns in each.late) or [int(3600e9)]
    return Heard(
        deliveries=_deliveries(followers),
        seconds=took,
        p50_ms=late[len(late) // 2] / 1e6,
        p99_ms=late[len(late) * 99 // 100] / 1e6,
    )


def _deliveries(followers: list[Follower]) -> float:
    """Count messages: all are of one length but for the id."""
    bare = next((each.size - len(each.id) for each in followers if each.size), None)
    return sum(each.bytes / (bare + len(each.id)) for each in followers) if bare else 0.0


def main() -> None:
    """Do what standard input says."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(Crowd(**json.loads(sys.stdin.readline()))))


if __name__ == "__main__":
    main()
