"""Exchanges' calendars: their hours, breaks, early closes and holidays, as plain instants.

They come from exchange_calendars, which takes seconds to load, so that this is done once, at start,
and only for the calendars that some instrument names. It counts pre- and post-market sessions and
auctions as closed, and knows no halts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from brokers.instants import to_datetime
from trading.calendar import ExchangeCalendar, Period, calendar, is_known, learn

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar as Theirs

_BACK = timedelta(days=7)
_AHEAD = timedelta(days=400)


def provide(names: Iterable[str], at: int) -> None:
    """Make calendars known from a week before an instant, in UTC nanoseconds, to a year after it.

    Raises LookupError for one that there is not, and says which there are.
    """
    for name in sorted({name for name in names if not is_known(name)}):
        found = _load(name, at)
        # What is not known to anybody raises here, and is told apart from those that are.
        learn(found or calendar(name))


def _load(name: str, at: int) -> ExchangeCalendar | None:
    with warnings.catch_warnings():
        # What pandas will change one day is between the two of them.
        warnings.simplefilter("ignore")
        # Imported here, because it takes as long as all the rest of a start.
        from exchange_calendars import errors, get_calendar  # noqa: PLC0415

        day = to_datetime(at).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        try:
            theirs = get_calendar(name, start=day - _BACK, end=day + _AHEAD)
        except errors.InvalidCalendarName:
            return None
        return ExchangeCalendar(name, tuple(_periods(theirs)), tuple(_nanos(theirs, "close")))


def _periods(theirs: Theirs) -> Iterator[Period]:
    """Go through the times of trading: a session with a break has two."""
    columns = [_nanos(theirs, each) for each in ("open", "break_start", "break_end", "close")]
    for opens_at, pauses_at, resumes_at, closes_at in zip(*columns, strict=True):
        # Where a session has none, theirs is "not a time", the least integer there is.
        if pauses_at > opens_at:
            yield Period(opens_at, pauses_at)
            yield Period(resumes_at, closes_at)
        else:
            yield Period(opens_at, closes_at)


def _nanos(theirs: Theirs, column: str) -> list[int]:
    return [stamp.value for stamp in theirs.schedule[column]]
