"""A RabbitMQ that is down, killed, frozen, short of memory or repeats itself costs time alone."""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from events.codec import ReportBatch, Reports, decode, encode
from tests.events.fakes import ONE, OTHER, batch
from tests.events.gateway import Process, World, following, pair, running
from tests.events.services import RabbitNode, ScratchTopology, channel_at, free_port, until
from trading.execution import Report
from trading.ids import AccountID
from trading.mounted import Mounted
from trading.ports import Environment
from trading.store import SHARDS

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    with RabbitNode(tmp_path_factory.mktemp("rabbit"), free_port()) as node:
        node.start()
        yield node


@pytest.fixture
def world(node: RabbitNode) -> World:
    return World.of(node.url, ScratchTopology(Environment.SIM, os.urandom(4).hex()))


class Outsider:
    """A consumer outside that keeps the rule: nothing twice, and nothing past a gap."""

    def __init__(self) -> None:
        self.heard: list[tuple[AccountID, int]] = []
        self.last: dict[AccountID, int] = {ONE: 0, OTHER: 0}
        self.gaps = 0

    async def take(self, message: AbstractIncomingMessage) -> None:
        news = decode(message.body)
        assert isinstance(news, Reports)
        for each in news.batches:
            self._take(each)

    def _take(self, theirs: ReportBatch) -> None:
        last = self.last[theirs.account_id]
        self.heard.append((theirs.account_id, theirs.reports[0].seq))
        if theirs.reports[0].seq > last + 1:
            self.gaps += 1
        else:
            self.last[theirs.account_id] = max(last, theirs.last_seq)


async def consumed(world: World, *lasts: int) -> Outsider:
    """Consume the durable queue until both accounts' last reports have come."""
    outsider = Outsider()
    async with channel_at(world.url) as channel:
        queue = await channel.get_queue(world.topology.outside)
        await queue.consume(outsider.take, no_ack=True)
        await until(lambda: tuple(outsider.last.values()) == lasts)
    return outsider


async def drained(process: Process) -> None:
    await until(lambda: not process.store.rows)


async def test_a_gateway_starts_without_it_and_publishes_once_it_is_there(
    world: World, node: RabbitNode
) -> None:
    await node.control("stop_app")
    async with (
        running(world, "relaying", up=False) as relaying,
        running(world, "other", up=False) as other,
        following(relaying) as here,
        following(other) as there,
    ):
        await until(lambda: len(relaying.shards.held) + len(other.shards.held) == SHARDS)
        for _ in range(5):
            other.commit(2)
            relaying.commit(1, OTHER)
        await until(lambda: len(here) == len(there) == 10)
        assert len(world.store.rows) == 10
        assert not relaying.bus.is_up
        await node.control("start_app")
        await until(lambda: relaying.bus.is_up and other.bus.is_up)
        await drained(relaying)
        outsider = await consumed(world, 10, 5)
        assert here == there == world.store.log[ONE]
    assert outsider.gaps == 0


async def test_a_kill_while_publishing_loses_nothing_and_keeps_the_order(
    world: World, node: RabbitNode
) -> None:
    async with pair(world) as (relaying, other), following(other) as there:
        # RabbitMQ 3.10.8 forgets a quorum queue that was declared less than half a second before
        # it is killed; stopping and starting writes it down.
        await node.control("stop_app")
        await until(lambda: not relaying.bus.is_up)
        await node.control("start_app")
        await until(lambda: relaying.bus.is_up and other.bus.is_up)
        for count in range(400):
            other.commit(1, OTHER if count % 4 == 0 else ONE)
        await until(lambda: len(there) >= 20)
        node.kill()
        assert world.store.rows
        other.commit(1)
        await until(lambda: len(there) == 301)
        node.start()
        await drained(relaying)
        outsider = await consumed(world, 301, 100)
        assert there == world.store.log[ONE]
    # The queue lasts, so that what was confirmed before the kill is there after it.
    assert outsider.gaps == 0


async def test_while_it_is_short_of_memory_rows_wait_and_streams_go_on(
    world: World, node: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair(world) as (relaying, other), following(other) as there:
        relaying.commit(1)
        await drained(relaying)
        await node.block()
        try:
            for _ in range(20):
                other.commit(1)
            await until(lambda: "short of memory" in caplog.text)
            await until(lambda: len(there) == 21)
            assert world.store.rows
            assert relaying.bus.is_up
        finally:
            await node.unblock()
        await drained(relaying)
        outsider = await consumed(world, 21, 0)
        assert there == world.store.log[ONE]
    assert outsider.gaps == 0


async def test_when_it_freezes_the_line_is_given_up_and_opened_again(
    world: World, node: RabbitNode
) -> None:
    async with pair(world) as (relaying, other), following(other) as there:
        node.signal(signal.SIGSTOP)
        try:
            relaying.commit(3)
            await until(lambda: not relaying.bus.is_up)
            await until(lambda: len(there) == 3)
        finally:
            node.signal(signal.SIGCONT)
        await drained(relaying)
        await until(lambda: relaying.bus.is_up)
        assert there == world.store.log[ONE]


async def test_a_deleted_queue_is_declared_again(world: World, node: RabbitNode) -> None:
    async with pair(world) as (relaying, other):
        for number in (1, 2):
            await until(lambda: other.bus.is_up)
            await node.control("delete_queue", world.topology._name(f"process.other.{number}"))
            await until(lambda: not other.bus.is_up)
        assert relaying.bus.is_up


def pieces(log: Sequence[Report], chance: random.Random) -> Iterator[Reports]:
    """Cut a log into batches."""
    first = 0
    while first < len(log):
        last = first + chance.randint(1, 5)
        yield batch(*log[first:last])
        first = last


@pytest.mark.parametrize("seed", range(3))
async def test_what_comes_twice_or_out_of_order_is_told_once_in_order(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    async with running(world, "one") as one, following(one) as reports:
        for _ in range(100):
            world.store.commit(chance.randint(1, 3))
        messages = [encode(some) for some in pieces(world.store.log[ONE], chance)] * 2
        chance.shuffle(messages)
        async with channel_at(world.url) as channel:
            exchange = await channel.get_exchange(world.topology.exchange)
            for message in messages:
                await exchange.publish(aio_pika.Message(message), "reports")
        await until(lambda: len(reports) == len(world.store.log[ONE]))
        await drained(one)
        assert reports == world.store.log[ONE]


async def test_a_users_password_is_replaced_while_reports_are_published(
    node: RabbitNode, tmp_path: Path
) -> None:
    await node.control("add_user", "first", "of-first")
    await node.control("add_user", "second", "of-second")
    for user in ("first", "second"):
        await node.control("set_permissions", user, ".*", ".*", ".*")
    file = tmp_path / "amqp-url"
    file.write_text(node.url.replace("guest:guest", "first:of-first"))
    topology = ScratchTopology(Environment.SIM, os.urandom(4).hex())
    world = World.of(Mounted.of(file, str), topology)

    async with pair(world) as (relaying, other), following(other) as there:
        for _ in range(50):
            other.commit(1)
        await drained(relaying)
        file.write_text(node.url.replace("guest:guest", "second:of-second"))
        other.commit(50)
        # It ends the first one's connections, and then the first one itself.
        await node.control("close_all_user_connections", "first", "rotated")
        await node.control("delete_user", "first")
        await until(lambda: relaying.bus.is_up and other.bus.is_up)
        other.commit(50)
        await drained(relaying)
        await until(lambda: len(there) == 150)
        assert there == world.store.log[ONE]
