"""Session calendars: when a day order ends."""

import pytest

from trading.calendar import DAY_NS, calendar

HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("name", "at", "end"),
    [
        ("24/7", 0, DAY_NS),
        ("24/7", DAY_NS - 1, DAY_NS),
        ("24/7-2100", 0, 21 * HOUR),
        ("24/7-2100", 21 * HOUR - 1, 21 * HOUR),
        ("24/7-2100", 21 * HOUR, DAY_NS + 21 * HOUR),
        ("24/7-2100", 23 * HOUR, DAY_NS + 21 * HOUR),
    ],
)
def test_a_session_ends_at_the_next_end(name: str, at: int, end: int) -> None:
    assert calendar(name).session_end(at) == end


def test_an_unknown_calendar_names_those_there_are() -> None:
    with pytest.raises(LookupError, match="known are 24/7, 24/7-2100"):
        calendar("XNAS")
