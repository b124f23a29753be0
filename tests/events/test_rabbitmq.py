"""Over a real RabbitMQ: what one process records reaches the others, and consumers outside."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from events.codec import Channel, QuoteFrame, Ring, StateChanges, decode, encode
from events.relay import BusUnavailable
from events.topology import DELIVERIES_MAX, Topology
from tests.events.fakes import AAPL, MSFT, ONE, batch, change, quote
from tests.events.gateway import Process, World, following, pair, running
from tests.events.services import ScratchTopology, channel_at, swept, until
from tests.standing import RABBITMQ, found
from trading.ports import Environment
from trading.store import SHARDS

pytestmark = pytest.mark.services

NEVER_S = 3600.0


@pytest.fixture
def topology() -> Topology:
    return ScratchTopology(Environment.SIM, os.urandom(4).hex())


@pytest.fixture
async def channel(topology: Topology) -> AsyncIterator[AbstractChannel]:
    async with swept(found(RABBITMQ), topology) as lent:
        yield lent


@pytest.fixture
async def world(topology: Topology, channel: AbstractChannel) -> World:
    del channel
    return World.of(found(RABBITMQ), topology)


@pytest.fixture
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing but the bus to bring news."""
    monkeypatch.setattr("events.relay.POLL_S", NEVER_S)
    monkeypatch.setattr("events.streams.POLL_S", NEVER_S)


async def taken(channel: AbstractChannel, name: str, count: int) -> list[AbstractIncomingMessage]:
    """Take messages off a queue as a consumer does, waiting for so many."""
    messages: list[AbstractIncomingMessage] = []

    async def take(message: AbstractIncomingMessage) -> None:
        messages.append(message)

    queue = await channel.get_queue(name)
    tag = await queue.consume(take, no_ack=True)
    await until(lambda: len(messages) >= count)
    await queue.cancel(tag)
    return messages


@pytest.mark.usefixtures("unpolled")
async def test_what_one_process_commits_reaches_subscribers_of_both(world: World) -> None:
    async with pair(world) as (relaying, other):
        async with following(relaying) as here, following(other) as there:
            for committer in (relaying, other, other, relaying):
                committer.commit(2)
            await until(lambda: len(here) == len(there) == 8)
        assert here == there == world.store.log[ONE]
        assert [report.seq for report in here] == list(range(1, 9))


async def test_without_a_connection_a_message_is_refused_and_yet_heard_here(world: World) -> None:
    process = Process(world, "one")
    listening = asyncio.create_task(process.news.run())
    try:
        frame = encode(QuoteFrame((quote(AAPL, "1"),)))
        await until(lambda: bool(process.handoff._channels))
        with pytest.raises(BusUnavailable, match="there is no connection to RabbitMQ"):
            await process.bus.publish(Channel.QUOTES, frame)
        await until(lambda: process.news.last(AAPL) == quote(AAPL, "1"))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.usefixtures("unpolled")
async def test_a_session_owned_elsewhere_is_woken(world: World) -> None:
    async with pair(world) as (relaying, other):
        woken: list[str] = []
        relaying.doorbell.answer("paper", lambda: woken.append("paper"))
        other.doorbell.ring_session("paper")
        other.doorbell.ring_session("elsewhere")
        await until(lambda: woken == ["paper"])


@pytest.mark.usefixtures("unpolled")
async def test_a_halt_is_heard_in_every_process(world: World) -> None:
    async with pair(world) as (relaying, other):
        changes = relaying.streams.trading_states({ONE})
        heard = asyncio.ensure_future(anext(changes))
        await until(lambda: relaying.news.watches_states)
        world.store.changes.append(change(1))
        other.doorbell.ring_states([change(1)])
        async with asyncio.timeout(20):
            assert await heard == change(1)


async def test_a_process_does_not_hear_its_own_message_twice(world: World) -> None:
    async with pair(world) as (one, two):
        with one.news.quotes_of({AAPL, MSFT}) as inbox:
            await one.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
            await until(lambda: one.news.last(AAPL) is not None)
            assert inbox.take() == quote(AAPL, "1")
            # What comes after the copy from RabbitMQ shows that it was passed over.
            await two.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(MSFT, "2"),))))
            await until(lambda: one.news.last(MSFT) is not None)
            assert inbox.take() == quote(MSFT, "2")
            assert inbox.take() is None


async def test_outside_hears_of_reports_and_states_alone(
    world: World, channel: AbstractChannel
) -> None:
    async with running(world, "one") as one:
        await one.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
        await one.bus.publish(Channel.RINGS, encode(Ring((ONE,))))
        await one.bus.publish(Channel.STATES, encode(StateChanges((change(1),))))
        one.commit(2)
        halted, reports = await taken(channel, world.topology.outside, 2)
    assert decode(halted.body) == StateChanges((change(1),))
    assert decode(reports.body) == batch(*world.store.log[ONE])
    assert (reports.routing_key, reports.type) == ("reports", "reports")
    assert reports.content_type == "application/json"
    assert reports.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert reports.headers == {"database": "ours"}


async def test_a_message_bears_the_trace_that_it_is_published_in(
    world: World, channel: AbstractChannel
) -> None:
    async with running(world, "one") as one:
        body = encode(StateChanges((change(1),)))
        await one.bus.publish(Channel.STATES, body, "00-trace-span-01")
        await one.bus.publish(Channel.STATES, body)
        traced, untraced = await taken(channel, world.topology.outside, 2)
    assert traced.headers == {"database": "ours", "traceparent": "00-trace-span-01"}
    assert untraced.headers == {"database": "ours"}


async def test_what_is_refused_again_and_again_is_laid_aside(
    world: World, channel: AbstractChannel
) -> None:
    async with running(world, "one") as one:
        one.commit(1)
        queue = await channel.get_queue(world.topology.outside)
        refused = 0

        async def refuse(message: AbstractIncomingMessage) -> None:
            nonlocal refused
            refused += 1
            await message.reject(requeue=True)

        await queue.consume(refuse)
        (dead,) = await taken(channel, world.topology.dead, 1)
    assert decode(dead.body) == batch(*world.store.log[ONE])
    assert refused == DELIVERIES_MAX + 1


def test_names_bear_environment_and_version() -> None:
    names = {Topology(each).exchange for each in Environment}
    assert names == {
        "drawbridge.sim.v2.news",
        "drawbridge.paper.v2.news",
        "drawbridge.live.v2.news",
    }


async def test_environments_do_not_hear_one_another(world: World, topology: Topology) -> None:
    paper = replace(topology, environment=Environment.PAPER)
    async with (
        swept(found(RABBITMQ), paper),
        running(world, "one") as one,
        running(world, "two") as two,
        running(World.of(found(RABBITMQ), paper), "paper") as other,
    ):
        await one.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
        await until(lambda: two.news.last(AAPL) is not None)
        await other.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(MSFT, "1"),))))
        await until(lambda: other.news.last(MSFT) is not None)
        assert other.news.last(AAPL) is None
        assert two.news.last(MSFT) is None


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"nonsense", b"", b'{"v":1,"kind":"weather"}'])
async def test_garbage_is_passed_over(
    world: World, channel: AbstractChannel, garbage: bytes
) -> None:
    async with running(world, "one") as one:
        exchange = await channel.get_exchange(world.topology.exchange)
        for key in ("quotes", "weather"):
            await exchange.publish(aio_pika.Message(garbage), key)
        good = encode(QuoteFrame((quote(AAPL, "1"),)))
        await exchange.publish(aio_pika.Message(good), "quotes")
        await until(lambda: one.news.last(AAPL) == quote(AAPL, "1"))


@pytest.mark.usefixtures("unpolled")
async def test_what_another_database_tells_is_passed_over_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its accounts, symbols and brokers have the same names, for nobody agreed on them."""
    theirs = World.of(found(RABBITMQ), world.topology, "theirs")
    async with running(theirs, "their relay") as stranger, running(world, "our relay") as ours:
        await until(lambda: len(stranger.shards.held) == len(ours.shards.held) == SHARDS)
        async with following(stranger) as there, following(ours) as here:
            stranger.commit(3)
            await stranger.bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
            ours.commit(1)
            await until(lambda: len(there) == 3 and len(here) == 1)
            await until(lambda: ours.bus.foreign == 2)
            assert ours.news.last(AAPL) is None
            ours.commit(1)
            await until(lambda: len(here) == 2)
        assert here == world.store.log[ONE]
    assert caplog.text.count("messages of another database, theirs, are passed over") == 1


async def test_what_the_release_before_tells_is_heard(
    world: World, channel: AbstractChannel
) -> None:
    """It does not name its database; in a deploy it runs beside us."""
    async with running(world, "one") as one:
        exchange = await channel.get_exchange(world.topology.exchange)
        frame = encode(QuoteFrame((quote(AAPL, "1"),)))
        await exchange.publish(aio_pika.Message(frame, app_id="before"), "quotes")
        await until(lambda: one.news.last(AAPL) == quote(AAPL, "1"))


async def test_the_queue_of_a_process_goes_with_it(world: World) -> None:
    queue = world.topology._name("process.one.1")
    async with running(world, "one"):
        pass
    async with channel_at(found(RABBITMQ)) as channel:
        with pytest.raises(ChannelNotFoundEntity):
            await channel.get_queue(queue)


async def test_another_declaration_is_refused_and_told(
    world: World, channel: AbstractChannel, caplog: pytest.LogCaptureFixture
) -> None:
    await channel.declare_queue(world.topology.outside, durable=True)
    async with running(world, "one", up=False) as one:
        await until(lambda: "PRECONDITION_FAILED" in caplog.text)
        assert not one.bus.is_up
    with pytest.raises(ChannelPreconditionFailed):
        await channel.declare_queue(world.topology.outside, durable=False)
