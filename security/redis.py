"""The connection to Redis for what processes share about callers: proofs seen, and rates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import CredentialProvider
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

__all__ = ["GONE", "Redis", "connected"]

ANSWER_WITHIN_S = 0.25
"""A caller waits for it, and there is always another way."""

CONNECTIONS_MAX = 8

# uvloop says with a RuntimeError that the other end has reset a connection which is written to.
GONE = (RedisError, OSError, RuntimeError)


@asynccontextmanager
async def connected(
    url: str, credentials: CredentialProvider | None = None
) -> AsyncIterator[Redis]:
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
        protocol=2,
    )
    async with redis:
        yield redis
