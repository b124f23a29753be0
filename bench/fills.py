"""The subscriber: places orders that fill at once, and takes the time until each fill is heard of.

A process of its own, with a `Load` on standard input and a `Measured` on standard output. The fills
come over a WebSocket, from the request's first byte to the fill's last; the protocol is spoken by
hand, as for the orders.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import struct
import sys
import time
from collections.abc import AsyncIterator

import orjson
import uvloop

from bench.load import ACCEPTED, Load, Measured, Requests, measured

_FILLS = "subscription Fills($id: ID!) { fills(accountId: $id) { seq clOrdId lastQty lastPx } }"
_PATIENCE_S = 30
_TEXT, _PONG = 1, 10


class Socket:
    """A WebSocket that speaks graphql-transport-ws, to a server that splits no message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def opened(cls, load: Load) -> Socket:
        """Connect, shake hands, and say who is there."""
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode())
        socket = cls(reader, writer)
        bearer = {"authorization": f"Bearer {load.token}"}
        socket.send({"type": "connection_init", "payload": bearer})
        await anext(aiter(socket.messages()))
        return socket

    def send(self, message: object) -> None:
        """Send a message."""
        self._frame(_TEXT, orjson.dumps(message))

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else _long(len(payload))
        # A mask of zeros leaves the payload as it is, and is a mask all the same.
        self._writer.write(bytes([0x80 | opcode]) + size + bytes(4) + payload)

    async def messages(self) -> AsyncIterator[dict[str, object]]:
        """Yield what the server says, without its pings."""
        while True:
            first, size = await self._reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
            payload = await self._reader.readexactly(size)
            match first & 0x0F:
                case 1:
                    yield orjson.loads(payload)
                case 9:
                    self._frame(_PONG, payload)
                case _:
                    raise ConnectionError(payload[2:].decode(errors="replace"))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def _long(size: int) -> bytes:
    return struct.pack("!BH", 0x80 | 126, size)


class Path:
    """Orders under way: when each was sent, and how long its fill took."""

    def __init__(self, load: Load) -> None:
        """Take the load."""
        self._load = load
        self._requests = Requests(load)
        self._sent: dict[str, int] = {}
        self._took: list[int] = []
        self._all_heard = asyncio.Event()

    async def run(self) -> Measured:
        """Place orders until it is time, and wait for the last fill."""
        socket = await Socket.opened(self._load)
        payload = {"query": _FILLS, "variables": {"id": self._load.accounts[0]}}
        socket.send({"id": "1", "type": "subscribe", "payload": payload})
        hearing = asyncio.create_task(self._hear(socket))
        # A subscription is not confirmed: the first fill shows that it is there.
        await self._place(0)
        await self._hear_all()
        self._took.clear()
        began = time.perf_counter_ns()
        ends = began + int(self._load.seconds * 1e9)
        await asyncio.gather(*(self._place(ends) for _ in range(self._load.in_flight)))
        await self._hear_all()
        took = time.perf_counter_ns() - began
        hearing.cancel()
        socket.close()
        return measured(self._took, took, [])

    async def _place(self, ends: int) -> None:
        """Place one order after another until it is time, and one at least."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._load.port)
        while True:
            request = self._requests.next()
            self._all_heard.clear()
            self._sent[f"{self._load.name}-{self._requests.made}"] = time.perf_counter_ns()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if ACCEPTED not in answer:
                raise ValueError(answer.decode())
            if time.perf_counter_ns() >= ends or self._requests.made >= self._load.orders:
                break
        writer.close()

    async def _hear_all(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._all_heard.wait()

    async def _hear(self, socket: Socket) -> None:
        async for message in socket.messages():
            match message:
                case {"type": "next", "payload": {"data": {"fills": {"clOrdId": str(cl_ord_id)}}}}:
                    if (sent := self._sent.pop(cl_ord_id, None)) is not None:
                        self._took.append(time.perf_counter_ns() - sent)
                case _:
                    raise ConnectionError(str(message))
            if not self._sent:
                self._all_heard.set()


def main() -> None:
    """Do what standard input says."""
    load = Load(**json.load(sys.stdin))
    json.dump(dataclasses.asdict(uvloop.run(Path(load).run())), sys.stdout)


if __name__ == "__main__":
    main()
