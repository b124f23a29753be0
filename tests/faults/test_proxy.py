"""The fault proxy does what it is told, byte for byte: other tests rest on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import FaultProxy, Way

WAIT_S = 20
QUIET_S = 0.05


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy before a server that says again whatever it hears."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with FaultProxy(*server.sockets[0].getsockname()) as between:
        yield between
    server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echoed(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.heard(len(data))

    async def heard(self, count: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def is_quiet(self) -> bool:
        """Tell whether nothing comes for a while, not even an end."""
        reading = asyncio.ensure_future(self.reader.read(1))
        done, _ = await asyncio.wait({reading}, timeout=QUIET_S)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return not done


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_it_lets_everything_through_until_told_otherwise(proxy: FaultProxy) -> None:
    async with connected(proxy) as one, connected(proxy) as other:
        big = bytes(range(256)) * 4096

        assert await one.echoed(b"hello") == b"hello"
        assert await other.echoed(big) == big

    assert proxy.accepted == 2
    assert proxy.passed == {Way.UP: 5 + len(big), Way.DOWN: 5 + len(big)}


async def test_a_delay_keeps_the_order(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.delay_s = 0.5
        client.writer.write(b"a")
        assert await client.is_quiet()
        client.writer.write(b"b")
        assert await client.heard(2) == b"ab"


@pytest.mark.parametrize(("way", "count"), [(Way.UP, 0), (Way.UP, 3), (Way.DOWN, 0), (Way.DOWN, 3)])
async def test_a_reset_comes_after_so_many_bytes(proxy: FaultProxy, way: Way, count: int) -> None:
    async with connected(proxy) as client:
        await client.echoed(b"before")
        proxy.reset_after(count, way)
        client.writer.write(b"after")

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await client.rest()

    assert proxy.passed[way] == len(b"before") + count
    async with connected(proxy) as again:
        assert await again.echoed(b"hello") == b"hello"


async def test_a_frozen_connection_tells_neither_end_anything(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.echoed(b"before")

        proxy.freeze()
        client.writer.write(b"after")

        assert await client.is_quiet()
        async with connected(proxy) as late:
            late.writer.write(b"hello")
            assert await late.is_quiet()
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                await late.rest()
    async with connected(proxy) as again:
        assert await again.echoed(b"hello") == b"hello"


async def test_one_way_alone_can_be_lost(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.lost = {Way.DOWN}
        client.writer.write(b"after")

        assert await client.is_quiet()
    assert proxy.passed == {Way.UP: 5, Way.DOWN: 0}


async def test_what_is_stalled_goes_on_where_it_was(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.stalled = {Way.UP}
        client.writer.write(b"held")
        assert await client.is_quiet()
        assert proxy.passed[Way.UP] == 0

        proxy.heal()

        assert await client.heard(4) == b"held"


async def test_connections_are_closed_in_order_or_reset(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.echoed(b"hello")
        proxy.close()
        assert await client.rest() == b""
    async with connected(proxy) as client:
        await client.echoed(b"hello")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_it_refuses_until_it_listens_again_at_the_same_place(proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(proxy.host, proxy.port)

    await proxy.listen()

    async with connected(proxy) as client:
        assert await client.echoed(b"hello") == b"hello"


async def test_where_nobody_is_behind_it_a_client_is_cut_off() -> None:
    async with FaultProxy("127.0.0.1", 1) as proxy, connected(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.rest()
