"""What a long command says on the way, so that nobody wonders whether it still runs."""

from __future__ import annotations

import sys

from trading.ports import Clock

EVERY_S = 5
_NS_PER_S = 1_000_000_000


class Progress:
    """Prints a line to standard error every five seconds, and nothing for what is shorter."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock."""
        self._clock = clock
        self._next = clock.monotonic() + EVERY_S * _NS_PER_S

    def tell(self, line: str) -> None:
        """Say how far it is, unless that was said a moment ago."""
        if (now := self._clock.monotonic()) >= self._next:
            self._next = now + EVERY_S * _NS_PER_S
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
