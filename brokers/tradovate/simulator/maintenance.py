"""The hours of maintenance, in which nothing is answered and no socket is open."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brokers.instants import SECOND_NS
from trading.ports import Clock

REASON = "Maintenance"
_MINUTE_NS = 60 * SECOND_NS
_DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(slots=True)
class Maintenance:
    """A span of every day, in minutes UTC, and one that began unannounced until an instant."""

    clock: Clock
    begin: int = 0
    end: int = 0
    until: int = 0

    @classmethod
    def read(cls, clock: Clock, span: str | None) -> Maintenance:
        """Read a span such as 21:00-22:00, in UTC. Raises ValueError."""
        if span is None:
            return cls(clock)
        if (match := _SPAN.fullmatch(span)) is None:
            raise ValueError(f"{span} is not a span of the UTC day, such as 21:00-22:00")
        hours = [int(each) for each in match.groups()]
        return cls(clock, hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])

    def start(self, seconds: float) -> None:
        """Close for so long, from now on."""
        self.until = self.clock.now() + round(seconds * SECOND_NS)

    @property
    def is_on(self) -> bool:
        """Whether it is closed now."""
        now = self.clock.now()
        minute = now // _MINUTE_NS % _DAY_MINUTES
        if self.begin <= self.end:
            daily = self.begin <= minute < self.end
        else:
            daily = minute >= self.begin or minute < self.end
        return daily or now < self.until
