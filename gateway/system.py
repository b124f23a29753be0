"""The real clock and the real randomness: the only place that touches them."""

from __future__ import annotations

import asyncio
import secrets
import time

_RANDOM_BITS = 64
_CEILING = (1 << 128) - 1


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        """Return the wall clock in UTC nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> int:
        """Return nanoseconds on a clock that never goes back, also while the machine sleeps."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class TimeOrderedIds:
    """128-bit ids of the wall clock's nanoseconds before 64 random bits.

    They rise with time, so that an index by id is one by time too; within this process they rise
    even if the clock goes back.
    """

    def __init__(self, clock: SystemClock) -> None:
        """Take the clock."""
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """Return a new id, greater than those before."""
        fresh = self._clock.now() << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        self._last = min(max(fresh, self._last + 1), _CEILING)
        return self._last
