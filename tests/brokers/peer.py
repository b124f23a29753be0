"""The two ends of the socket protocol written by hand, so that each can misbehave to the other."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from brokers.paper.client import Address
from tests.brokers.market import LOOPBACK

WAIT_S = 20


class Peer:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[Any] = []

    @classmethod
    @asynccontextmanager
    async def connected(cls, address: Address, *, buffer: int | None = None) -> AsyncIterator[Self]:
        """Connect, with a receive buffer of so many bytes if it is to be slow."""
        connection = socket.socket()
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, (address.host, address.port))
        limit = 2 if buffer is not None else 1 << 20
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def say(self, *messages: Any) -> None:
        """Write messages at once, in one piece."""
        self.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def greet(self, **terms: Any) -> Any:
        self.say({"hello": {"protocol": 1, "environment": "sim"} | terms})
        return await self.hear()

    async def hear(self) -> Any:
        """Wait for the next message, beats aside; None is the end."""
        async with asyncio.timeout(WAIT_S):
            while line := await self._line():
                if "beat" not in (message := json.loads(line)):
                    return message
        return None

    async def hear_beat(self) -> Any:
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.reader.readline())

    async def ask(self, **body: Any) -> Any:
        """Ask, and wait for the answer, which must be the next message."""
        self.say({"id": 7} | body)
        answer = await self.hear()
        assert answer["id"] == 7
        return answer

    async def _line(self) -> bytes:
        try:
            return await self.reader.readline()
        except ConnectionError:
            return b""

    async def rest(self) -> bytes:
        """Read whatever still comes until the connection has ended."""
        data = b""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    part = await self.reader.read(1 << 16)
                except ConnectionError:
                    return data
                if not part:
                    return data
                data += part


def accounts(name: str = "a") -> dict[str, Any]:
    return {"accounts": [name]}


def limit_order(wire_id: str, side: str, qty: str, price: str, **other: str) -> dict[str, Any]:
    """Make the body of a new order, as a client in another language would."""
    return {
        "wire_id": wire_id,
        "account_id": "a",
        "symbol": "ABC@XNAS",
        "side": side,
        "ord_type": "LIMIT",
        "time_in_force": "GOOD_TILL_CANCEL",
        "order_qty": qty,
        "price": price,
    } | other


type Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def impostor(script: Script) -> AsyncIterator[Address]:
    """Run something that is no exchange where one is expected."""
    server = await asyncio.start_server(script, LOOPBACK, 0)
    try:
        yield Address(LOOPBACK, server.sockets[0].getsockname()[1])
    finally:
        server.close()


WELCOME = {
    "welcome": {
        "protocol": 1,
        "environment": "sim",
        "exchange": "x",
        "last_event": 0,
        "market_time": 1,
    }
}


def line(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"
