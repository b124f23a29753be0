"""A WebSocket client, by hand: a library would cost more than the server that is measured."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator

import orjson

_TEXT, _PONG = 1, 10


class Socket:
    """A WebSocket that speaks graphql-transport-ws, to a server that splits no message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def opened(cls, port: int, token: str) -> Socket:
        """Connect, shake hands, and say who is there."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode())
        socket = cls(reader, writer)
        bearer = {"authorization": f"Bearer {token}"}
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
