"""The last quote of each symbol, kept in Redis for the processes that have no source of quotes.

Risk does not read it. Without Redis a quote is known when it is next published.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import batched

from redis import CredentialProvider
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from events.codec import VERSION, QuoteFrame, Unreadable, decode, encode
from trading.ids import InstrumentID
from trading.ports import Clock, Environment
from trading.quote import Quote

logger = logging.getLogger(__name__)

LASTS_S = 4 * 24 * 3600
WRITE_EVERY_S = 0.25
ANSWER_WITHIN_S = 1.0
CONNECTIONS_MAX = 4
SYMBOLS_PER_CALL = 500

# uvloop says with a RuntimeError that the other end has reset a connection which is written to.
_GONE = (RedisError, OSError, RuntimeError)


class QuoteCache:
    """The cache of one environment and database. Quotes last four days there, a long weekend.

    Only `run` and `read` wait for Redis, each call for about a second at most; neither fails
    without it.
    """

    def __init__(self, redis: Redis, environment: Environment, database: str, clock: Clock) -> None:
        """Take the connection, and the identity of the database whose quotes these are."""
        self._redis, self._clock = redis, clock
        self._prefix = f"drawbridge:{environment}:{database}:v{VERSION}:quote:"
        self._unwritten: dict[InstrumentID, Quote] = {}
        self._is_failing = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        url: str,
        environment: Environment,
        database: str,
        clock: Clock,
        credentials: CredentialProvider | None = None,
    ) -> AsyncIterator[QuoteCache]:
        """Use the Redis at `redis://user:password@host/number`; it is connected to when needed.

        `credentials` stand for those of the address, which then has none.
        """
        redis = Redis.from_url(
            url,
            credential_provider=credentials,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            # Once more, because the first try may meet a connection that a restart has ended.
            retry=Retry(NoBackoff(), 1),
            max_connections=CONNECTIONS_MAX,
            # Its answers are plain; the newer protocol's notices of maintenance are of no use here.
            protocol=2,
        )
        async with redis:
            yield cls(redis, environment, database, clock)

    def keep(self, quotes: Sequence[Quote]) -> None:
        """Take quotes to be written soon, each in place of the one before. Never waits."""
        self._unwritten.update((quote.symbol, quote) for quote in quotes)

    async def run(self) -> None:
        """Write what is to be kept, four times a second, until canceled."""
        while True:
            await self._clock.sleep(WRITE_EVERY_S)
            quotes, self._unwritten = self._unwritten, {}
            try:
                await self._write(quotes)
            except _GONE as error:
                self._unwritten = quotes | self._unwritten
                self._tell(error)

    async def _write(self, quotes: Mapping[InstrumentID, Quote]) -> None:
        for some in batched(quotes.values(), SYMBOLS_PER_CALL):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for quote in some:
                    pipeline.set(self._key(quote.symbol), encode(QuoteFrame((quote,))), ex=LASTS_S)
                await pipeline.execute()
            self._is_failing = False

    async def read(self, symbols: Collection[InstrumentID]) -> Sequence[Quote]:
        """Return those quotes that are kept; none where Redis does not answer."""
        found: list[Quote] = []
        try:
            for some in batched(symbols, SYMBOLS_PER_CALL):
                values = await self._redis.mget([self._key(symbol) for symbol in some])
                found.extend(quote for value in values for quote in _quotes(value))
                self._is_failing = False
        except _GONE as error:
            self._tell(error)
        return found

    def _key(self, symbol: InstrumentID) -> str:
        return f"{self._prefix}{symbol}"

    def _tell(self, error: Exception) -> None:
        # Once for each outage, because it is tried several times a second.
        if not self._is_failing:
            logger.warning("Redis: the last quotes are not shared: %s", error)
        self._is_failing = True


def _quotes(value: bytes | str | None) -> Sequence[Quote]:
    if value is None:
        return ()
    try:
        message = decode(value)
    except Unreadable as error:
        logger.warning("a quote in Redis is passed over: %s", error)
        return ()
    return message.quotes if isinstance(message, QuoteFrame) else ()
