"""Tradovate's weekly maintenance: when it takes no orders, and puts those of the day away.

Source: Tradovate's page on maintenance windows. Its two versions of 2026 differ on Friday, of which
the earlier begin is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from brokers.instants import from_datetime, to_datetime

PUBLISHED = (
    "Mon 16:00-Mon 17:00, Tue 16:00-Tue 17:00, Wed 16:00-Wed 17:00, Thu 16:00-Thu 17:00,"
    " Fri 16:00-Fri 20:00, Sat 22:00-Sun 06:30"
)
"""In Central Time, as of 2026-08."""

_ZONE = ZoneInfo("America/Chicago")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK = timedelta(days=7)
_TIME = rf"({'|'.join(_DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])"
_WINDOW = re.compile(f"{_TIME}-{_TIME}")


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week: from when it begins, since Monday's midnight, and how long it is."""

    begins: timedelta
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Windows of the week, by the wall clock of Chicago."""

    windows: Sequence[Window] = ()

    @classmethod
    def read(cls, text: str) -> Maintenance:
        """Read windows such as `Fri 16:00-Fri 20:00`, with commas; `none` is none.

        Raises ValueError, which says what is wrong.
        """
        if text.strip() == "none":
            return cls()
        return cls([_window(each.strip()) for each in text.split(",")])

    def until(self, at: int) -> int | None:
        """Return when the window ends that an instant is in, or None. Both in UTC nanoseconds."""
        for window in self.windows:
            begin = _last_begin(window, at)
            if at < (end := _instant(begin + window.lasts)):
                return end
        return None

    def last_begin(self, at: int) -> int:
        """Return when the last window before an instant began, in UTC nanoseconds, or 0."""
        return max((_instant(_last_begin(each, at)) for each in self.windows), default=0)


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time of maintenance: say one such as Fri 16:00-Fri 20:00")
    begins, ends = _of_week(*match.group(1, 2, 3)), _of_week(*match.group(4, 5, 6))
    return Window(begins, (ends - begins) % _WEEK or _WEEK)


def _of_week(day: str, hour: str, minute: str) -> timedelta:
    return timedelta(days=_DAYS.index(day), hours=int(hour), minutes=int(minute))


def _last_begin(window: Window, at: int) -> datetime:
    """Return the last begin of a window by an instant, as a date and time of Chicago."""
    now = to_datetime(at).astimezone(_ZONE).replace(tzinfo=None)
    monday = datetime(now.year, now.month, now.day) - timedelta(days=now.weekday())  # noqa: DTZ001
    begin = monday + window.begins
    return begin if begin <= now else begin - _WEEK


def _instant(local: datetime) -> int:
    return from_datetime(local.replace(tzinfo=_ZONE))
