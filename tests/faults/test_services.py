"""The services that gateways stand on are restarted, cut off and brought back under them."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from events.codec import Reports, decode
from events.topology import Topology
from tests.events.services import BOUND_S, channel_at
from tests.faults import house as houses
from tests.faults.house import House
from tests.faults.load import Follower, following, traders, trading
from tests.faults.services import PostgresServer, Proxy, Services, until
from trading.ids import AccountID
from trading.ports import Environment

pytestmark = pytest.mark.faults

OUTSIDE = Topology(Environment.SIM).outside


@pytest.fixture
def proxies(services: Services) -> Iterator[dict[str, Proxy]]:
    made = {"amqp": Proxy(services.amqp), "redis": Proxy(services.redis)}
    yield made
    for proxy in made.values():
        proxy.close()


async def emptied(amqp: str) -> None:
    async with channel_at(amqp) as channel:
        await (await channel.get_queue(OUTSIDE)).purge()


async def taken(amqp: str, head: int) -> list[int]:
    """Consume what is kept for those outside, up to a number; what comes twice is passed over."""
    heard: list[int] = []
    async with asyncio.timeout(BOUND_S), channel_at(amqp) as channel:
        queue = await channel.get_queue(OUTSIDE)
        async with queue.iterator() as messages:
            async for message in messages:
                news = decode(message.body.decode())
                assert isinstance(news, Reports)
                seqs = [each.seq for batch in news.batches for each in batch.reports]
                heard += [seq for seq in seqs if seq not in heard]
                await message.ack()
                if len(heard) >= head:
                    break
    return heard


def test_a_database_that_is_restarted_has_lost_nothing(tmp_path: Path, services: Services) -> None:
    with (
        PostgresServer.running() as server,
        houses.opened(tmp_path, replace(services, postgres=server.url)) as house,
    ):
        gateways = [house.start(), house.start()]
        house.fenced(1)
        traded = traders(house.client, gateways)
        follower = Follower([house.client(gateways[0])])

        with following(follower):
            with trading(*traded):
                until(lambda: len(follower.items) > 10)
                # It ends at once, as in a crash, and recovers from its log.
                server.stop(signal.SIGQUIT)
                server.start()
            house.followed(follower, traded)


@pytest.mark.parametrize("gone", [["amqp"], ["redis"], ["amqp", "redis"]])
def test_trading_and_streams_go_on_without(
    house: House, services: Services, proxies: dict[str, Proxy], gone: list[str]
) -> None:
    before = replace(services, **{name: proxy.url for name, proxy in proxies.items()})
    gateways = [house.start(services=before), house.start(services=before)]
    house.fenced(1)
    asyncio.run(emptied(services.amqp))
    traded = traders(house.client, gateways)
    follower = Follower([house.client(gateways[1])])

    with following(follower):
        until(lambda: follower.connections)
        for name in gone:
            proxies[name].cut()
        with trading(*traded):
            pass
        # The streams are level before anything is back.
        case = house.case()
        follower.reaches(case.records.accounts[AccountID("equity")].last_seq)
        for name in gone:
            proxies[name].mend()
        house.followed(follower, traded)
    head = len(follower.items)
    assert asyncio.run(taken(services.amqp, head)) == list(range(1, head + 1))
