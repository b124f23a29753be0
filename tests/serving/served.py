"""A socket endpoint behind the server's own protocol, and a client that speaks in raw frames."""

from __future__ import annotations

import asyncio
import base64
import json
import socket as sockets
import struct
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from resolvers.root import Schema
from security.credentials import Credentials
from serving.hub import Hub
from serving.protocol import SocketProtocol
from serving.socket import House, Limits
from serving.websocket import SocketEndpoint
from tests.resolvers.fakes import (
    NOON,
    FakeClock,
    FakeIds,
    FakeStreams,
    World,
    a_principal,
    a_report,
)
from tests.serving.asgi import operations
from trading.execution import ExecType, Report
from trading.ids import AccountID, InstrumentID
from trading.outcome import Unauthenticated
from trading.permission import Principal
from trading.probe import NO_PROBE, Probe
from trading.quote import Quote

SECOND = 1_000_000_000
MESSAGE_MAX = 65_536
PROTOCOL = "graphql-transport-ws"
REPORTS = 'subscription { orderReports(accountId: "ours") { seq } }'
SCHEMA = Schema()


class LiveStreams(FakeStreams):
    """Reports that a test adds to the log, followed as long as somebody wants to."""

    def __init__(self, reads: Any) -> None:
        super().__init__(reads)
        self.news = asyncio.Event()
        self.market_closes = asyncio.Event()
        """While it is clear quotes go on, though there are no new ones."""
        self.market_closes.set()
        self.open = 0

    def tell(self, report: Report | None = None) -> None:
        log, accounts = self.reads.log, self.reads.all_accounts
        log.append(report or a_report(log[-1].seq + 1, ExecType.NEW))
        accounts[0] = replace(accounts[0], last_seq=log[-1].seq)
        self.ring()

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        self.ring()

    def ring(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    async def reports(self, account_id: AccountID, after_seq: int | None) -> AsyncIterator[Report]:
        self.opened.append(("reports", account_id, after_seq))
        self.open += 1
        last = self.reads.log[-1].seq if after_seq is None else after_seq
        try:
            while self.failure is None:
                news = self.news
                for report in [each for each in self.reads.log if each.seq > last]:
                    last = report.seq
                    yield report
                if self.reads.log[-1].seq <= last:
                    await news.wait()
            raise self.failure
        finally:
            self.open -= 1
            self.closed += 1

    async def quotes(self, symbols: Collection[InstrumentID]) -> AsyncIterator[Quote]:
        async for quote in super().quotes(symbols):
            yield quote
        await self.market_closes.wait()


@dataclass
class Callers:
    """Who is let in, by the token `Bearer NAME`."""

    known: dict[str, Principal] = field(default_factory=dict)
    failure: Exception | None = None
    wait: asyncio.Event | None = None
    shown: list[Credentials] = field(default_factory=list)

    async def authenticate(self, credentials: Credentials) -> Principal:
        self.shown.append(credentials)
        if self.wait is not None:
            await self.wait.wait()
        if self.failure is not None:
            raise self.failure
        name = (credentials.authorization or "").removeprefix("Bearer ")
        if name not in self.known:
            raise Unauthenticated("the token is refused")
        return self.known[name]


@dataclass(slots=True)
class Served:
    """What is served, and where."""

    world: World
    streams: LiveStreams
    callers: Callers
    house: House
    state: ServerState
    port: int
    clients: list[Raw] = field(default_factory=list)

    async def raw(self, **options: Any) -> Raw:
        self.clients.append(client := await Raw.connected(self.port, **options))
        return client

    async def client(self, token: str = "trader", **options: Any) -> Raw:
        """Connect and say who is there."""
        client = await self.raw(**options)
        await client.send(
            {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}
        )
        assert await client.next() == {"type": "connection_ack"}
        return client

    @property
    def connections(self) -> list[SocketProtocol]:
        return [each for each in self.state.connections if isinstance(each, SocketProtocol)]

    async def over(self) -> None:
        """Wait until the server has let go of all sockets."""
        await asyncio.gather(*self.state.tasks)


@asynccontextmanager
async def serving(limits: Limits | None = None, probe: Probe = NO_PROBE) -> AsyncIterator[Served]:
    world, callers, state = World(), Callers(), ServerState()
    streams = LiveStreams(world.reads)
    world.streams = streams
    callers.known["trader"] = replace(a_principal(), expires_at=NOON + 3_600 * SECOND)
    house = House(
        operations=operations(world, SCHEMA, probe=probe),
        authenticate=callers.authenticate,
        ids=FakeIds(),
        clock=FakeClock(NOON),
        hub=Hub(FakeIds()),
        limits=limits or Limits(),
    )
    config = uvicorn.Config(
        SocketEndpoint(house),
        log_config=None,
        lifespan="off",
        ws=SocketProtocol,
        ws_max_size=MESSAGE_MAX,
        ws_per_message_deflate=False,
    )
    config.load()
    protocol_class: Any = config.http_protocol_class
    protocol = partial(protocol_class, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with asyncio.timeout(60), server:
        port = server.sockets[0].getsockname()[1]
        served = Served(world, streams, callers, house, state, port)
        yield served
        for connection in served.connections:
            connection.abort()
        await served.over()
        for client in served.clients:
            client.writer.close()
        assert len(house.hub) == 0
        assert streams.open == 0


class Closed(Exception):
    """The server has closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Raw:
    """A client that sends what it is told to, sound or not, and hides nothing that it hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = ""

    @classmethod
    async def connected(
        cls,
        port: int,
        protocol: str | None = PROTOCOL,
        receive_buffer: int | None = None,
        *,
        wait: bool = True,
        **headers: str,
    ) -> Self:
        peer = sockets.socket()
        peer.setblocking(False)  # noqa: FBT003 - it has no keyword
        if receive_buffer is not None:
            peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
        client = cls(*await asyncio.open_connection(sock=peer, limit=1024))
        wanted = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
            "Sec-WebSocket-Version": "13",
        }
        if protocol is not None:
            wanted["Sec-WebSocket-Protocol"] = protocol
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
        client.writer.write(f"GET /graphql HTTP/1.1\r\n{lines}\r\n".encode())
        if wait:
            client.head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        return client

    async def send(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self.frame(text.encode())

    async def frame(
        self,
        payload: bytes,
        opcode: int = 1,
        *,
        final: bool = True,
        masked: bool = True,
        reserved: int = 0,
    ) -> None:
        length = len(payload)
        first = (0x80 if final else 0) | reserved | opcode
        bit = 0x80 if masked else 0
        if length < 126:
            head = struct.pack("!BB", first, bit | length)
        elif length < 65_536:
            head = struct.pack("!BBH", first, bit | 126, length)
        else:
            head = struct.pack("!BBQ", first, bit | 127, length)
        # A mask of zeros is one.
        self.writer.write(head + (b"\0\0\0\0" if masked else b"") + payload)
        await self.writer.drain()

    async def heard(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and payload."""
        first, length = await self.reader.readexactly(2)
        assert first & 0x70 == 0, "no extension was agreed on"
        assert length < 128, "a server masks nothing"
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly({126: 2, 127: 8}[length]))
        return first & 0x0F, await self.reader.readexactly(length)

    async def any(self) -> Any:
        """Return the next message, and answer a ping of the WebSocket's own. Raises Closed."""
        while (frame := await self.heard())[0] == 9:
            await self.frame(frame[1], 10)
        opcode, payload = frame
        match opcode:
            case 1:
                return json.loads(payload)
            case 8:
                raise Closed(int.from_bytes(payload[:2]), payload[2:].decode())
            case _:
                raise AssertionError(opcode, payload)

    async def next(self) -> Any:
        """Return the next message that is no ping. Raises Closed."""
        while (message := await self.any())["type"] == "ping":
            pass
        return message

    async def forever(self) -> None:
        """Hear everything. Raises Closed, or what the connection ends with."""
        while True:
            await self.any()

    async def closed(self) -> tuple[int, str]:
        """Wait for the server to close."""
        try:
            await self.forever()
        except Closed as closed:
            return closed.code, closed.reason
        raise AssertionError("it hears forever")

    async def subscribe(self, query: str, name: str = "1", **more: Any) -> None:
        payload = {"query": query} | more
        await self.send({"type": "subscribe", "id": name, "payload": payload})

    async def still(self) -> None:
        """Show that the socket is open, and that nothing else was on its way."""
        await self.send('{"type": "ping"}')
        assert await self.next() == {"type": "pong"}
