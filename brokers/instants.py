"""Instants in files: RFC 3339 text as integer UTC nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_NS = 1_000_000_000


def parse_instant(text: str) -> int:
    """Read an RFC 3339 instant of up to nine fraction digits. Raises ValueError."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 instant, such as 2024-07-01T23:58:01.5Z")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, hours, minutes = match.group(7, 8, 9, 10)
    try:
        instant = from_datetime(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an instant: {error}") from None
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        instant += (offset if sign == "-" else -offset) * SECOND_NS
    return instant + int((fraction or "0").ljust(9, "0"))


def format_instant(instant: int) -> str:
    """Write an instant as RFC 3339 in UTC, with nine fraction digits."""
    return f"{to_datetime(instant):%Y-%m-%dT%H:%M:%S}.{instant % SECOND_NS:09d}Z"


def to_datetime(instant: int) -> datetime:
    """Return the UTC date and time of an instant, to the second."""
    return _EPOCH + timedelta(seconds=instant // SECOND_NS)


def from_datetime(moment: datetime) -> int:
    """Return the instant of a date and time of whole seconds."""
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND_NS
