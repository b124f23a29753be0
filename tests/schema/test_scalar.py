"""Scalars: what comes in is exact or refused, what goes out comes back in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.scalar import (
    read_decimal,
    read_instant,
    read_sequence,
    write_decimal,
    write_instant,
    write_sequence,
)

INT64_MAX = 2**63 - 1


@given(st.decimals(min_value=Decimal(-(10**15) + 1), max_value=Decimal(10**15 - 1), places=12))
def test_a_number_comes_back_as_it_went(value: Decimal) -> None:
    assert read_decimal(write_decimal(value)) == value


@given(st.integers(-INT64_MAX, INT64_MAX))
def test_an_instant_comes_back_to_the_nanosecond(value: int) -> None:
    assert read_instant(write_instant(value)) == value


@given(st.integers(0, INT64_MAX))
def test_a_sequence_number_comes_back_as_it_went(value: int) -> None:
    assert read_sequence(write_sequence(value)) == read_sequence(value) == value


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 - the offset is given apart
def test_an_offset_is_taken_off(local: datetime, minutes: int) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    expected = (local - timedelta(minutes=minutes)).replace(tzinfo=UTC)

    found = read_instant(f"{local.isoformat()}{sign}{hours:02}:{rest:02}")

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert found == (expected - epoch) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.000000001z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("1970-01-01T00:00:00-00:00", 0),
    ],
)
def test_instants_are_rfc_3339(text: str, expected: int) -> None:
    assert read_instant(text) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.500Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_instants_are_written_as_short_as_they_are(value: int, text: str) -> None:
    assert write_instant(value) == text


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01T00:00:00",
        "2030-01-01",
        "2030-01-01 00:00:00Z",
        "2030-13-01T00:00:00Z",
        "2030-01-01T24:00:01Z",
        "2030-01-01T00:00:60Z",
        "2030-01-01T00:00:00+24:00",
        "2030-01-01T00:00:00+01:60",
        "2030-01-01T00:00:00.1234567890Z",
        "2030-01-01T00:00:00.Z",
        "٢030-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "",
        0,
        None,
        True,
    ],
)
def test_a_doubtful_instant_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_instant(value)


@pytest.mark.parametrize("value", [1, 1.5, True, None, b"1"])
def test_only_a_string_is_a_number(value: object) -> None:
    with pytest.raises(ValueError, match="write it as a string"):
        read_decimal(value)


@pytest.mark.parametrize(
    "value",
    [
        *("", "NaN", "Infinity", "1e3", "1_000", " 1", "1 ", "+1", ".5", "1.", "1,5", "0x1"),
        *("1" * 16, "0." + "1" * 13, "\u0663"),
    ],
)
def test_a_doubtful_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_decimal(value)


@pytest.mark.parametrize(
    "value", [-1, "-1", 1.0, True, None, "", "1.0", "٣", 2**63, "9" * 20, " 1"]
)
def test_a_doubtful_sequence_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_sequence(value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), 1, 1.5, "1", None])
def test_only_a_finite_decimal_is_written(value: object) -> None:
    with pytest.raises(TypeError):
        write_decimal(value)


@pytest.mark.parametrize("value", [1.5, True, "1", None])
def test_only_an_integer_is_an_instant_or_a_sequence_number(value: object) -> None:
    with pytest.raises(TypeError):
        write_instant(value)
    with pytest.raises(TypeError):
        write_sequence(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.50", "1.5"), ("100", "100"), ("0.000", "0"), ("-0", "0"), ("1E+3", "1000")],
)
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    assert write_decimal(Decimal(value)) == text
