"""What leaves, and when, on the sockets of either event loop: a permit holds for one call alone."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from brokers.paper.client import Address, Dialogue, ExchangeLink
from tests.brokers.link import until
from tests.brokers.market import LOOPBACK
from tests.brokers.peer import WELCOME, line
from tests.brokers.world import FakeClock, settle
from trading.ports import Environment, Unavailable

BODY = {"new": {"wire_id": "late"}}

type Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run on the event loop of the tests, or on that of the gateway."""
    chosen: Run = request.param
    return chosen


@dataclass(frozen=True, slots=True)
class Linked:
    """A link, and the other end of its socket, where nothing is read unless the test does."""

    link: ExchangeLink
    peer: socket.socket

    @property
    def dialogue(self) -> Dialogue:
        assert self.link._dialogue is not None
        return self.link._dialogue

    def arrived(self) -> bytes:
        """Return what has arrived by now."""
        try:
            return self.peer.recv(1 << 20)
        except BlockingIOError:
            return b""

    async def rest(self) -> bytes:
        """Read whatever still comes until the connection has ended."""
        data = b""
        while part := await asyncio.get_running_loop().sock_recv(self.peer, 1 << 20):
            data += part
        return data

    def reset(self) -> None:
        """End the connection without a word."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


@asynccontextmanager
async def linked() -> AsyncIterator[Linked]:
    async with asyncio.timeout(10), _linked() as here:
        yield here


@asynccontextmanager
async def _linked() -> AsyncIterator[Linked]:
    loop = asyncio.get_running_loop()

    async def ready(_: Dialogue) -> None:
        pass

    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(0)
        link = ExchangeLink(
            address=Address(LOOPBACK, listener.getsockname()[1]),
            environment=Environment.SIM,
            clock=FakeClock(),
            ready=ready,
            push=lambda _message, _line: None,
        )
        opening = asyncio.create_task(link.open(None))
        peer, _ = await loop.sock_accept(listener)
    with peer:
        await loop.sock_recv(peer, 1 << 20)
        await loop.sock_sendall(peer, line(WELCOME))
        await opening
        try:
            yield Linked(link, peer)
        finally:
            peer.close()
            await link.close()


def stuff(dialogue: Dialogue) -> None:
    """Fill the socket to the last byte, behind the back of the event loop."""
    assert dialogue._transport is not None
    fd = dialogue._transport.get_extra_info("socket").fileno()
    for piece in (b"\n" * 65_536, b"\n"):
        try:
            while True:
                os.write(fd, piece)
        except BlockingIOError:
            pass


def test_a_permitted_request_has_left_before_the_call_returns(run: Run) -> None:
    async def work() -> None:
        async with linked() as here:
            answer = here.dialogue.call(BODY, now=True)
            # Not one turn of the loop lies in between.
            arrived = json.loads(here.arrived())

            assert arrived["new"] == BODY["new"]
            answer.cancel()

    run(work())


def test_a_permitted_request_that_the_kernel_does_not_take_never_leaves(run: Run) -> None:
    async def work() -> None:
        async with linked() as here:
            for _ in range(3):
                stuff(here.dialogue)
                await settle()
            checked: list[bool] = []
            # What can be read again in the same turn is what makes room for it.
            sending = asyncio.create_task(here.link.command(BODY, lambda: checked.append(True)))
            await asyncio.sleep(0)
            arrived = b"".join(iter(here.arrived, b""))

            with pytest.raises(Unavailable, match="takes nothing"):
                await sending
            assert checked == [True]
            assert b"late" not in arrived + await here.rest()

    run(work())


def test_a_cancel_that_the_kernel_does_not_take_leaves_when_it_can(run: Run) -> None:
    async def work() -> None:
        async with linked() as here:
            for _ in range(3):
                stuff(here.dialogue)
                await settle()
            sending = asyncio.create_task(here.link.command({"cancel": {}}, None))
            await settle()
            heard = b""
            while b"cancel" not in heard:
                heard += await asyncio.get_running_loop().sock_recv(here.peer, 1 << 20)
            number = json.loads(heard.splitlines()[-1])["id"]
            here.peer.sendall(line({"id": number, "ok": {}}))

            assert await sending == {}

    run(work())


def test_sending_on_a_connection_that_was_reset_is_never_a_defect(run: Run) -> None:
    """uvloop raises RuntimeError for a transport that is closed, and asyncio does not."""

    async def work() -> None:
        async with linked() as here:
            dialogue = here.dialogue
            here.reset()
            for _ in range(3):
                dialogue.send({"beat": {}})
            await until(dialogue.closed.is_set)
            for _ in range(3):
                assert not dialogue.send({"beat": {}})
                await settle()
            here.link.tell({"beat": {}})

            with pytest.raises(Unavailable):
                await here.link.command(BODY, lambda: None)

    run(work())
