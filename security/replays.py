"""What has been seen once and must not be seen again, by any process."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Protocol

from security.redis import GONE, Redis
from trading.ports import Clock

logger = logging.getLogger(__name__)

SEEN_MAX = 100_000
_SECOND_NS = 1_000_000_000


class Replays(Protocol):
    """Remembers names for a while."""

    async def first(self, name: str, seconds: int) -> tuple[bool, bool]:
        """Remember a name for so long; tell whether it is new, and known to this process alone."""


class LocalReplays:
    """The memory of one process, bounded: the oldest are forgotten first."""

    def __init__(self, clock: Clock, *, is_alone: bool = False) -> None:
        """Say whether it stands in for what processes share."""
        self._clock, self._is_alone = clock, is_alone
        self._until: OrderedDict[str, int] = OrderedDict()

    async def first(self, name: str, seconds: int) -> tuple[bool, bool]:
        """Remember a name."""
        now = self._clock.monotonic()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if name in self._until:
            return False, self._is_alone
        if len(self._until) >= SEEN_MAX:
            # To forget one that still counts would let it pass again.
            return False, self._is_alone
        self._until[name] = now + seconds * _SECOND_NS
        return True, self._is_alone


class SharedReplays:
    """The memory that all processes share, in Redis; without it each has but its own.

    What is seen is always kept here too, so that the loss of Redis forgets nothing of this process.
    """

    def __init__(self, redis: Redis, prefix: str, clock: Clock) -> None:
        """Take the connection, and what names of this deployment begin with."""
        self._redis, self._prefix = redis, f"{prefix}:seen:"
        self._local = LocalReplays(clock, is_alone=True)
        self._is_failing = False

    async def first(self, name: str, seconds: int) -> tuple[bool, bool]:
        """Remember a name."""
        is_first, _ = await self._local.first(name, seconds)
        if not is_first:
            return False, True
        try:
            is_first = bool(await self._redis.set(self._prefix + name, b"", nx=True, ex=seconds))
        except GONE as error:
            if not self._is_failing:
                logger.warning("Redis: proofs are remembered by this process alone: %s", error)
            self._is_failing = True
            return True, True
        self._is_failing = False
        return is_first, False
