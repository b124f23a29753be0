"""Who does not read is cut off within its bounds, told where it was, and nobody else notices."""

import asyncio
import resource
from collections.abc import Iterator
from dataclasses import replace

import pytest

from serving.mailbox import HELD_BYTES_MAX, Mailbox
from serving.mailbox import Limits as MailboxLimits
from serving.protocol import WRITE_BUFFER_MAX, SocketProtocol
from serving.socket import Limits
from tests.resolvers.fakes import a_report
from tests.serving.served import REPORTS, Raw, Served, serving
from trading.execution import ExecutionReport

HEALTHY = 500
TEXT = REPORTS.replace("seq", "seq ... on ExecutionReport { text }")
LARGE = "x" * 8_192


def tell(served: Served, text: str = LARGE) -> int:
    report = a_report(served.world.reads.log[-1].seq + 1)
    assert isinstance(report, ExecutionReport)
    served.streams.tell(replace(report, text=text))
    return report.seq


def seq(message: object) -> int:
    match message:
        case {"type": "next", "payload": {"data": {"orderReports": {"seq": str() as found}}}}:
            return int(found)
        case _:
            raise AssertionError(message)


def mailbox(connection: SocketProtocol) -> Mailbox:
    bound = getattr(connection.on_writable, "__self__", None)
    assert isinstance(bound, Mailbox)
    return bound


async def told(client: Raw, last: int) -> list[int]:
    """Read reports up to one."""
    found: list[int] = []
    while not found or found[-1] < last:
        found.append(seq(await client.next()))
    return found


async def stuck(served: Served) -> tuple[Raw, SocketProtocol]:
    """Follow reports, and stop to read."""
    before = set(served.connections)
    client = await served.client(receive_buffer=4_096)
    await client.subscribe(TEXT, "stuck")
    await client.still()
    [connection] = set(served.connections) - before
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return client, connection


async def until_ended(served: Served, connection: SocketProtocol, healthy: list[Raw]) -> int:
    """Tell reports until a connection has been ended; return the last one."""
    box = mailbox(connection)
    bound = box.limits.held_bytes + WRITE_BUFFER_MAX + 2 * len(LARGE)
    last, largest = 0, 0
    while not connection.close_sent:
        last = tell(served)
        await asyncio.sleep(0)
        for client in healthy:
            assert seq(await client.next()) == last
        largest = max(largest, box._bytes + connection.transport.get_write_buffer_size())
        assert largest <= bound
    return last


async def test_who_stops_reading_is_told_where_it_was() -> None:
    limits = Limits(mailbox=MailboxLimits(in_line=20))
    async with serving(limits) as served:
        client, connection = await stuck(served)
        other = await served.client()
        await other.subscribe(TEXT)
        await other.still()
        last = await until_ended(served, connection, [other])

        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        code, reason = await client.closed()
        assert code == 4290
        # The one that was written last, and not the first that was held.
        assert reason == f'too slow: resume after {{"stuck":{last - 21}}}'

        again = await served.client()
        await again.subscribe(TEXT.replace('"ours"', f'"ours", afterSeq: "{last - 21}"'))
        assert await told(again, last) == list(range(last - 20, last + 1))


async def test_who_never_reads_again_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.protocol.GRACE_S", 0.01)
    limits = Limits(mailbox=MailboxLimits(in_line=20))
    async with serving(limits) as served:
        client, connection = await stuck(served)
        await until_ended(served, connection, [])
        assert len(served.house.hub) == 0, "it has left, though its peer has not heard of it"

        lost = asyncio.Event()
        connection.on_writable = lost.set
        await lost.wait()
        assert connection.disconnected
        assert not client.writer.is_closing()


async def test_a_slow_reader_of_the_log_is_waited_for() -> None:
    limits = Limits(mailbox=MailboxLimits(in_line=20))
    async with serving(limits) as served:
        for _ in range(200):
            last = tell(served)
        client = await served.client(receive_buffer=4_096)
        await client.subscribe(TEXT.replace('"ours"', '"ours", afterSeq: "4"'))

        assert await told(client, last) == list(range(5, last + 1))


async def test_what_waits_of_a_completed_operation_is_not_sent() -> None:
    async with serving() as served:
        client, connection = await stuck(served)
        while len(mailbox(connection)._held) < 10:
            last = tell(served)
            await asyncio.sleep(0)
        await client.send({"type": "complete", "id": "stuck"})
        await client.send({"type": "ping"})
        while len(mailbox(connection)._held) > 1:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]

        found = 0
        while (message := await client.next()) != {"type": "pong"}:
            found = seq(message)
        assert 0 < found <= last - 10
        await client.still()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.crowd
@pytest.mark.usefixtures("many_files")
async def test_one_stuck_among_many_is_cut_off_and_the_others_see_nothing() -> None:
    async with serving() as served:
        _, connection = await stuck(served)
        assert mailbox(connection).limits.held_bytes == HELD_BYTES_MAX
        healthy = [await served.client() for _ in range(HEALTHY)]
        for client in healthy:
            await client.subscribe(TEXT)
            await client.still()
        first = served.world.reads.log[-1].seq + 1

        async def read(client: Raw) -> list[int]:
            found: list[int] = []
            while not ended.is_set() or found[-1] < last:
                found.append(seq(await client.next()))
            return found

        ended, last = asyncio.Event(), first
        readers = [asyncio.create_task(read(client)) for client in healthy[1:]]
        last = await until_ended(served, connection, healthy[:1])
        ended.set()
        last = tell(served)
        for found in await asyncio.gather(*readers):
            assert found == list(range(first, last + 1))
        await healthy[0].next()
        await healthy[0].still()
        assert len(served.connections) - 1 <= HEALTHY
