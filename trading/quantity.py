"""Exact decimal quantities, prices and money."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from functools import lru_cache

type Qty = Decimal
type Px = Decimal
type Money = Decimal

ZERO = Decimal(0)
ONE = Decimal(1)

# A price times a quantity times a multiplier stays exact: three numbers of 20 digits fit in 64.
_PRECISION = 64
_INTEGER_DIGITS = 15
_FRACTION_DIGITS = 12
_PLAIN = re.compile(rf"-?[0-9]{{1,{_INTEGER_DIGITS}}}(\.[0-9]{{1,{_FRACTION_DIGITS}}})?")
_AVERAGE = Decimal(1).scaleb(-10)
_WRITTEN_KEPT = 4096


def use_exact_arithmetic() -> None:
    """Give this thread, and every one started later, 64 digits and errors instead of NaN."""
    decimal.DefaultContext.prec = _PRECISION
    decimal.setcontext(decimal.Context(prec=_PRECISION))


def parse(text: str) -> Decimal:
    """Read a plain decimal number of at most 15 integer and 12 fraction digits.

    Raises ValueError for anything else: exponents, NaN, infinities, spaces, other scripts' digits.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(
            f"not a plain decimal number of at most {_INTEGER_DIGITS} integer"
            f" and {_FRACTION_DIGITS} fraction digits"
        )
    return Decimal(text)


@lru_cache(_WRITTEN_KEPT)
def plain(value: Decimal) -> str:
    """Write a number in plain digits without needless zeros: `1.5`, `100`, `0`."""
    # Equal numbers are written alike, and most come again: limits, margins, nothing at all.
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether a value lies on the grid of a tick or lot."""
    return value % step == 0


def average(total: Decimal, quantity: Qty) -> Px | None:
    """Divide a value by a quantity, to ten decimals; None where there is no quantity."""
    if quantity == 0:
        return None
    return (total / quantity).quantize(_AVERAGE).normalize() + ZERO


def share(total: Money, part: Qty, whole: Qty) -> Money:
    """Return `total * part / whole` to ten decimals; all of it where the part is the whole."""
    if part == whole:
        return total
    return (total * part / whole).quantize(_AVERAGE)
