"""A circuit breaker: after several failures in a row nothing is tried for a while, save cancels."""

from __future__ import annotations

from trading.ports import Clock, Unavailable

_SECOND_NS = 1_000_000_000


class Breaker:
    """Closed while requests are answered. Open, it lets one through now and then, to see."""

    def __init__(self, clock: Clock, *, failures: int = 5, pause_s: float = 5.0) -> None:
        """Open after so many failures in a row, for `pause_s` between two attempts."""
        self._clock = clock
        self._most = failures
        self._pause_ns = round(pause_s * _SECOND_NS)
        self._failures = 0
        self._next_try = 0

    @property
    def is_open(self) -> bool:
        """Whether the broker is taken to be down."""
        return self._failures >= self._most

    def check(self) -> None:
        """Raise Unavailable while open, except for the one that is to see whether it is better."""
        now = self._clock.monotonic()
        if self.is_open and now < self._next_try:
            raise Unavailable(f"the broker has failed {self._failures} times in a row")
        self._next_try = now + self._pause_ns

    def succeeded(self) -> None:
        """Take in that the broker has answered, whatever it said."""
        self._failures = 0

    def failed(self) -> None:
        """Take in that it has not."""
        self._failures += 1
        self._next_try = self._clock.monotonic() + self._pause_ns
