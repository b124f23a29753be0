"""Instants in files, to the nanosecond."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.instants import from_datetime, parse_instant, to_datetime


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:01.5z", 1_500_000_000),
        ("1970-01-01t02:00:00+02:00", 0),
        ("1969-12-31T18:30:00.25-05:30", 250_000_000),
        ("2024-07-01T23:58:01.218485389Z", 1_719_878_281_218_485_389),
    ],
)
def test_an_instant_is_read_exactly(text: str, instant: int) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-07-01",
        "2024-07-01T23:58:01",
        "2024-07-01 23:58:01Z",
        "2024-07-01T23:58:01.Z",
        "2024-07-01T23:58:01.0000000001Z",
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-07-01T24:00:00Z",
        "٢٠٢٤-07-01T23:58:01Z",
        "1719878281",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an"):
        parse_instant(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001
def test_dates_and_instants_are_two_writings_of_one_thing(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)

    assert to_datetime(from_datetime(whole)) == whole
    assert to_datetime(from_datetime(whole) + 999_999_999) == whole
    assert parse_instant(whole.isoformat().replace("+00:00", "Z")) == from_datetime(whole)
    assert from_datetime(whole + timedelta(seconds=1)) - from_datetime(whole) == 1_000_000_000
