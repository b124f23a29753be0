"""The simulator's rate limit: so many requests a minute, said in the headers of every answer."""

from __future__ import annotations

from trading.ports import Clock

_MINUTE_NS = 60_000_000_000
_SECOND_NS = 1_000_000_000


class Window:
    """Counts requests in the present minute."""

    def __init__(self, clock: Clock, limit: int) -> None:
        """Allow so many in a minute."""
        self._clock = clock
        self._limit = limit
        self._minute = 0
        self._taken = 0

    @property
    def allows(self) -> bool:
        """Whether the request that was counted last is within the limit."""
        return self._taken <= self._limit

    def take(self) -> dict[str, str]:
        """Count a request, and return what the headers of its answer say."""
        minute = self._clock.now() // _MINUTE_NS
        if minute != self._minute:
            self._minute, self._taken = minute, 0
        self._taken += 1
        return {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": str(max(self._limit - self._taken, 0)),
            "x-ratelimit-reset": str((minute + 1) * _MINUTE_NS // _SECOND_NS),
        }
