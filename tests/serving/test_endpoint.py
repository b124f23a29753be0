"""Sockets that end while something is sent over them end without a word of complaint."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from resolvers.root import Schema
from serving.endpoint import Endpoint
from tests.resolvers.fakes import NOON, FakeClock, FakeStreams, World, a_principal, a_report
from trading.execution import ExecType, Report
from trading.ids import AccountID
from trading.permission import Principal

HOUR = 3_600_000_000_000
FOLLOW = 'subscription { orderReports(accountId: "ours") { seq } }'


class Told(FakeStreams):
    """Reports as the test tells them, until it is done."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[Report] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def reports(
        self,
        account_id: AccountID,  # noqa: ARG002
        after_seq: int | None,  # noqa: ARG002
    ) -> AsyncIterator[Report]:
        try:
            while True:
                yield await self.news.get()
        finally:
            self.ended.set()


@dataclass(slots=True)
class Served:
    """An endpoint behind the server's own protocol, and one client that follows it."""

    streams: Told
    state: ServerState
    client: ClientConnection
    endpoint: Endpoint
    seq: int = field(default=0)

    @property
    def connection(self) -> WebSocketsSansIOProtocol:
        [connection] = self.state.connections
        assert isinstance(connection, WebSocketsSansIOProtocol)
        return connection

    def tell(self) -> None:
        self.seq += 1
        self.streams.news.put_nowait(a_report(self.seq, ExecType.NEW))

    async def received(self) -> Any:
        return json.loads(await self.client.recv())

    async def over(self) -> None:
        """Wait until the server has let go of the stream and of the socket."""
        await self.streams.ended.wait()
        await asyncio.gather(*self.state.tasks)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with asyncio.timeout(30), serving() as served:
        yield served


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    world, streams, state = World(), Told(), ServerState()
    world.streams = streams

    async def authenticate(_: str | None) -> Principal:
        return a_principal()

    endpoint = Endpoint(
        Schema(),
        authenticate=authenticate,
        new_context=world.context,
        clock=FakeClock(NOON - HOUR),
    )
    config = uvicorn.Config(endpoint, log_config=None, lifespan="off")
    config.load()
    protocol = partial(WebSocketsSansIOProtocol, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    named = [Subprotocol("graphql-transport-ws")]
    async with server, connect(f"ws://127.0.0.1:{port}", subprotocols=named, proxy=None) as client:
        await client.send('{"type": "connection_init"}')
        served = Served(streams, state, client, endpoint)
        assert await served.received() == {"type": "connection_ack"}
        await client.send(
            json.dumps({"id": "1", "type": "subscribe", "payload": {"query": FOLLOW}})
        )
        served.tell()
        assert (await served.received())["payload"] == {"data": {"orderReports": {"seq": "1"}}}
        yield served


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "end",
    [
        WebSocketsSansIOProtocol.shutdown,  # as on SIGTERM
        WebSocketsSansIOProtocol.keepalive_timeout,
    ],
    ids=["the server ends", "the peer is silent"],
)
async def test_an_operation_whose_peer_goes_as_it_is_sent_something_ends_without_a_word(
    served: Served,
    end: Callable[[WebSocketsSansIOProtocol], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The news is under way before the socket's own task hears that it has ended.
    served.tell()
    end(served.connection)
    await served.over()

    with pytest.raises(ConnectionClosed):
        await served.client.recv()
    assert complaints(caplog) == []


async def test_a_defect_is_still_an_error(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise TypeError("no JSON")

    monkeypatch.setattr("serving.endpoint.orjson.dumps", broken)
    served.tell()
    await served.streams.ended.wait()

    assert complaints(caplog) == ["Exception in worker task"]
