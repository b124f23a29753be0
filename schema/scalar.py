"""Scalars: exact numbers, instants and sequence numbers, strict on the way in."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from trading.quantity import parse, plain

Instant = NewType("Instant", int)
"""UTC nanoseconds in the core, RFC 3339 on the wire."""

Sequence = NewType("Sequence", int)
"""A place in an account's log of reports."""

_INT64_MAX = 2**63 - 1
_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"(?P<local>[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(\.(?P<fraction>[0-9]{1,9}))?"
    r"([Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-5][0-9]))"
)


def read_decimal(value: object) -> Decimal:
    """Read a string of plain digits. Raises ValueError, for a JSON number too."""
    if not isinstance(value, str):
        raise ValueError('write it as a string, such as "1.5": a JSON number loses digits')  # noqa: TRY004 - a client's mistake
    return parse(value)


def write_decimal(value: object) -> str:
    """Write plain digits. Raises TypeError for what is not a finite Decimal."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{value!r} is not a finite Decimal")
    return plain(value)


def read_instant(value: object) -> Instant:
    """Read RFC 3339 with its offset, to the nanosecond. Raises ValueError."""
    found = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "not an RFC 3339 instant with its offset, such as 2030-01-31T21:00:00.000000001Z"
        )
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    zone = timezone(-offset if found["sign"] == "-" else offset)
    since = datetime.fromisoformat(found["local"]).replace(tzinfo=zone) - _EPOCH
    seconds = since // timedelta(seconds=1)
    instant = seconds * _SECOND_NS + int((found["fraction"] or "").ljust(9, "0"))
    if not -_INT64_MAX <= instant <= _INT64_MAX:
        raise ValueError("out of range: the years 1678 to 2261 can be told to the nanosecond")
    return Instant(instant)


def write_instant(value: object) -> str:
    """Write RFC 3339 in UTC, with a fraction of 3, 6 or 9 digits where there is one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an instant")
    seconds, rest = divmod(value, _SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09}"
    while fraction.endswith("000"):
        fraction = fraction.removesuffix("000")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def read_sequence(value: object) -> Sequence:
    """Read a sequence number, as a string or a JSON integer. Raises ValueError."""
    digits = str(value) if isinstance(value, int | str) else ""
    if not re.fullmatch(r"[0-9]{1,19}", digits) or int(digits) > _INT64_MAX:
        raise ValueError('not a sequence number, such as "42": digits, at most 2^63 - 1')
    return Sequence(int(digits))


def write_sequence(value: object) -> str:
    """Write a sequence number as a string, since JavaScript rounds large integers."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a sequence number")
    return str(value)


SCALARS: Mapping[object, ScalarDefinition] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description=(
            'An exact number: a string of plain digits, such as `"1.5"`, at most 15 before and 12'
            " after the point. JSON numbers, exponents, NaN and infinities are refused."
        ),
        serialize=write_decimal,
        parse_value=read_decimal,
    ),
    Instant: strawberry.scalar(
        name="DateTime",
        description=(
            "An instant in RFC 3339. Coming in it must carry an offset, going out it is in UTC;"
            " nanoseconds are kept."
        ),
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_instant,
        parse_value=read_instant,
    ),
    Sequence: strawberry.scalar(
        name="Sequence",
        description=(
            "A 64-bit sequence number of an account's reports, a string on the wire; 0 stands"
            " before the first. Coming in, a JSON integer is accepted too."
        ),
        serialize=write_sequence,
        parse_value=read_sequence,
    ),
}
