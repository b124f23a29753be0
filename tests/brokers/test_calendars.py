"""Exchanges' calendars: hours, breaks, early closes and holidays become periods of trading."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from brokers.calendars import provide
from brokers.instants import from_datetime
from trading import calendar as calendars
from trading.calendar import DAY_NS, KNOWN_AHEAD_NS, ExchangeCalendar, Period, calendar


def at(month: int, day: int, hour: int, minute: int = 0) -> int:
    return from_datetime(datetime(2026, month, day, hour, minute, tzinfo=UTC))


MARKET_TIME = at(11, 20, 15)


@pytest.fixture(scope="module", autouse=True)
def provided() -> Iterator[None]:
    """Provide two exchanges, and leave the process as it was."""
    before = dict(calendars._CALENDARS)
    provide(["XNYS", "XHKG", "24/7"], MARKET_TIME)
    yield
    calendars._CALENDARS.clear()
    calendars._CALENDARS.update(before)


@pytest.mark.parametrize(
    ("when", "opens_at", "closes_at"),
    [
        (at(11, 20, 15), at(11, 20, 14, 30), at(11, 20, 21)),
        (at(11, 20, 14, 30), at(11, 20, 14, 30), at(11, 20, 21)),
        (at(11, 20, 21), at(11, 23, 14, 30), at(11, 23, 21)),
        (at(11, 26, 15), at(11, 27, 14, 30), at(11, 27, 18)),
    ],
    ids=["open", "opening", "over the weekend", "Thanksgiving, and the early close after it"],
)
def test_new_york_trades_in_its_hours(when: int, opens_at: int, closes_at: int) -> None:
    assert calendar("XNYS").period(when) == Period(opens_at, closes_at)


def test_a_break_parts_a_day_in_two() -> None:
    hong_kong = calendar("XHKG")
    morning, afternoon = hong_kong.period(at(11, 23, 2)), hong_kong.period(at(11, 23, 4, 30))

    assert morning == Period(at(11, 23, 1, 30), at(11, 23, 4))
    assert afternoon == Period(at(11, 23, 5), at(11, 23, 8))
    assert hong_kong.session_end(at(11, 23, 2)) == at(11, 23, 8)


def test_a_calendar_says_nothing_of_times_too_near_its_ends() -> None:
    last = 100 * DAY_NS
    known = ExchangeCalendar("X", (Period(DAY_NS, 2 * DAY_NS), Period(last - 9, last)), (last,))

    assert known.period(2 * DAY_NS - 1) is not None
    assert known.period(last - KNOWN_AHEAD_NS - 1) is not None
    assert known.period(last - KNOWN_AHEAD_NS) is None
    with pytest.raises(LookupError, match="X ends before"):
        known.session_end(last)


def test_a_calendar_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(LookupError, match="no calendar MOON: known are 24/7"):
        provide(["MOON"], MARKET_TIME)


def test_what_takes_long_to_load_is_not_loaded_for_markets_that_never_close() -> None:
    code = (
        "import sys; from brokers.calendars import provide; provide(['24/7', '24/7-2100'], 0);"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
