"""The last quotes are kept in Redis, and nothing fails without it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from events.quotecache import LASTS_S, SYMBOLS_PER_CALL, QuoteCache
from gateway.system import SystemClock
from tests.events.fakes import AAPL, MSFT, quote
from tests.events.services import RedisServer, free_port, until
from tests.standing import REDIS, found
from trading.ids import InstrumentID
from trading.ports import Environment

pytestmark = pytest.mark.services


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with Redis.from_url(found(REDIS), protocol=2) as redis:
        yield redis
        async for key in redis.scan_iter("drawbridge:sim:*"):
            await redis.delete(key)


@asynccontextmanager
async def cache_at(url: str, database: str = "one") -> AsyncIterator[QuoteCache]:
    """Open a cache that writes."""
    async with QuoteCache.opened(url, Environment.SIM, database, SystemClock()) as cache:
        task = asyncio.create_task(cache.run())
        try:
            yield cache
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def written(cache: QuoteCache) -> None:
    await until(lambda: not cache._unwritten)


async def kept(cache: QuoteCache, *symbols: InstrumentID, count: int) -> list[str]:
    """Read until so many quotes are there, and return their bids."""
    async with asyncio.timeout(20):
        while len(quotes := await cache.read(symbols)) < count:  # noqa: ASYNC110 - only Redis knows
            await asyncio.sleep(0.01)
    return [str(each.bid) for each in quotes]


@pytest.mark.usefixtures("redis")
async def test_what_one_process_keeps_another_reads() -> None:
    async with cache_at(found(REDIS)) as feed, cache_at(found(REDIS)) as other:
        feed.keep([quote(AAPL, "1"), quote(MSFT, "5")])
        feed.keep([quote(AAPL, "2")])
        assert await kept(other, AAPL, MSFT, InstrumentID("none"), count=2) == ["2", "5"]
        feed.keep([quote(AAPL, "3")])
        async with asyncio.timeout(20):
            while await kept(other, AAPL, count=1) != ["3"]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


async def test_it_outlasts_a_long_weekend_and_no_more(redis: Redis) -> None:
    async with cache_at(found(REDIS)) as cache:
        cache.keep([quote(AAPL, "1")])
        await kept(cache, AAPL, count=1)
        assert 0 < await redis.ttl("drawbridge:sim:one:v2:quote:AAPL@XNAS") <= LASTS_S


async def test_many_symbols_take_several_calls(redis: Redis) -> None:
    del redis
    symbols = [InstrumentID(f"S{number}") for number in range(2 * SYMBOLS_PER_CALL + 1)]
    async with cache_at(found(REDIS)) as cache:
        cache.keep([quote(symbol, "1") for symbol in symbols])
        assert len(await kept(cache, *symbols, count=len(symbols))) == len(symbols)


async def test_environments_do_not_meet(redis: Redis) -> None:
    del redis
    async with (
        cache_at(found(REDIS)) as cache,
        QuoteCache.opened(found(REDIS), Environment.PAPER, "one", SystemClock()) as other,
    ):
        cache.keep([quote(AAPL, "1")])
        await kept(cache, AAPL, count=1)
        assert await other.read([AAPL]) == []


@pytest.mark.usefixtures("redis")
async def test_databases_do_not_meet() -> None:
    async with cache_at(found(REDIS)) as cache, cache_at(found(REDIS), "another") as other:
        cache.keep([quote(AAPL, "1")])
        await kept(cache, AAPL, count=1)
        assert await other.read([AAPL]) == []
        other.keep([quote(AAPL, "2")])
        assert await kept(other, AAPL, count=1) == ["2"]
        assert await kept(cache, AAPL, count=1) == ["1"]


@pytest.mark.parametrize("garbage", [b"", b"{", b'{"v":2,"kind":"states","changes":[]}', b"\xff"])
async def test_what_cannot_be_read_is_passed_over(redis: Redis, garbage: bytes) -> None:
    await redis.set("drawbridge:sim:one:v2:quote:AAPL@XNAS", garbage)
    async with cache_at(found(REDIS)) as cache:
        cache.keep([quote(MSFT, "1")])
        assert await kept(cache, AAPL, MSFT, count=1) == ["1"]


async def test_without_redis_nothing_is_read_and_nothing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cache_at(f"redis://127.0.0.1:{free_port()}/0") as cache:
        cache.keep([quote(AAPL, "1")])
        assert await cache.read([AAPL]) == []
        assert await cache.read([MSFT]) == []
        await until(lambda: "the last quotes are not shared" in caplog.text)
        assert caplog.text.count("the last quotes are not shared") == 1


@pytest.mark.faults
async def test_a_redis_that_is_killed_and_started_again_fills_itself(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as server:
        async with cache_at(server.url) as cache:
            cache.keep([quote(AAPL, "1")])
            server.start()
            assert await kept(cache, AAPL, count=1) == ["1"]
            server.kill()
            assert await cache.read([AAPL]) == []
            cache.keep([quote(AAPL, "2")])
            server.start()
            assert await kept(cache, AAPL, count=1) == ["2"]
            await written(cache)


@pytest.mark.faults
async def test_a_redis_that_freezes_holds_nobody_up(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as server:
        server.start()
        async with cache_at(server.url) as cache:
            cache.keep([quote(AAPL, "1")])
            await kept(cache, AAPL, count=1)
            server.signal(signal.SIGSTOP)
            async with asyncio.timeout(20):
                assert await cache.read([AAPL]) == []
            server.signal(signal.SIGCONT)
            assert await kept(cache, AAPL, count=1) == ["1"]
