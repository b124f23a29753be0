"""Trading sessions: when a day order ends and whether a market is open."""

from __future__ import annotations

from dataclasses import dataclass

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class SessionCalendar:
    """A market whose session ends at one time of the UTC day, every day of the week.

    The paper exchange is always open, so the end of a session ends DAY orders and nothing else.
    """

    name: str
    session_end_ns: int

    def session_end(self, at: int) -> int:
        """Return the first session end after an instant; both in UTC nanoseconds."""
        end = at - at % DAY_NS + self.session_end_ns
        return end if end > at else end + DAY_NS


_CALENDARS = {
    calendar.name: calendar
    for calendar in (
        SessionCalendar("24/7", 0),
        SessionCalendar("24/7-2100", 21 * 3_600_000_000_000),
    )
}


def calendar(name: str) -> SessionCalendar:
    """Return the calendar of that name. Raises LookupError for one that is not known."""
    try:
        return _CALENDARS[name]
    except KeyError:
        known = ", ".join(sorted(_CALENDARS))
        raise LookupError(f"no calendar {name}: known are {known}") from None
