"""Event ids that are ULIDs, as Alpaca's are: their time first, then which event it was."""

from __future__ import annotations

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME = 10
_COUNT = 16
_PARTS = 4


def event_id(at: int, number: int, part: int) -> str:
    """Write the id of a part of the exchange's event of a number, at an instant in nanoseconds."""
    return _base32(at // 1_000_000, _TIME) + _base32(number * _PARTS + part, _COUNT)


def numbered(text: str) -> tuple[int, int]:
    """Return the number and the part that an id is of. Raises ValueError."""
    if len(text) != _TIME + _COUNT or any(each not in _CROCKFORD for each in text):
        raise ValueError(f"{text!r} is no id of an event")
    count = 0
    for each in text[_TIME:]:
        count = count * 32 + _CROCKFORD.index(each)
    return divmod(count, _PARTS)


def _base32(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))
