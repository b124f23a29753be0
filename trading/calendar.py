"""Trading sessions: when a day order ends and whether a market is open."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple, Protocol

DAY_NS = 86_400_000_000_000


class Period(NamedTuple):
    """A time of trading, from when it opens until just before it closes; UTC nanoseconds."""

    opens_at: int
    closes_at: int


class Calendar(Protocol):
    """When a market trades."""

    @property
    def name(self) -> str:
        """The name that instruments give it."""

    def session_end(self, at: int) -> int:
        """Return the first session end after an instant; both in UTC nanoseconds."""

    def period(self, at: int) -> Period | None:
        """Return the time of trading at an instant, else the next; None where it is not known."""


@dataclass(frozen=True, slots=True)
class SessionCalendar:
    """A market that is always open, and whose session ends at one time of the UTC day.

    The end of a session ends DAY orders and nothing else.
    """

    name: str
    session_end_ns: int

    def period(self, at: int) -> Period:
        """Return the session at an instant."""
        end = self.session_end(at)
        return Period(end - DAY_NS, end)

    def session_end(self, at: int) -> int:
        """Return the first session end after an instant; both in UTC nanoseconds."""
        end = at - at % DAY_NS + self.session_end_ns
        return end if end > at else end + DAY_NS


@dataclass(frozen=True, slots=True)
class ExchangeCalendar:
    """The times of trading of an exchange, in order, and the ends of its sessions among them.

    Too near its last session nothing is known any more: a calendar must be made anew before that.
    """

    name: str
    periods: tuple[Period, ...]
    session_ends: tuple[int, ...]

    def session_end(self, at: int) -> int:
        """Return the first session end after an instant. Raises LookupError after the last."""
        index = bisect_right(self.session_ends, at)
        if index == len(self.session_ends):
            raise LookupError(f"the calendar {self.name} ends before: restart to load it anew")
        return self.session_ends[index]

    def period(self, at: int) -> Period | None:
        """Return the time of trading at an instant, else the next; None near either end."""
        if not self.periods or at >= self.periods[-1].closes_at - KNOWN_AHEAD_NS:
            return None
        if at < self.periods[0].opens_at:
            return None
        return self.periods[bisect_right(self.periods, at, key=lambda each: each.closes_at)]


KNOWN_AHEAD_NS = 30 * DAY_NS
"""How far ahead a calendar must reach to be relied on: an old one knows no new holiday."""

_CALENDARS: dict[str, Calendar] = {
    calendar.name: calendar
    for calendar in (
        SessionCalendar("24/7", 0),
        SessionCalendar("24/7-2100", 21 * 3_600_000_000_000),
    )
}


def learn(calendar: Calendar) -> None:
    """Take in a calendar, in place of one of the same name."""
    _CALENDARS[calendar.name] = calendar


def is_known(name: str) -> bool:
    """Whether there is a calendar of that name."""
    return name in _CALENDARS


def calendar(name: str) -> Calendar:
    """Return the calendar of that name. Raises LookupError for one that is not known."""
    try:
        return _CALENDARS[name]
    except KeyError:
        known = ", ".join(sorted(_CALENDARS))
        raise LookupError(f"no calendar {name}: known are {known}") from None
