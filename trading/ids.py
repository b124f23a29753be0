"""Identifiers, and the one encoding that carries them to brokers."""

from __future__ import annotations

import string
from typing import NewType

TenantID = NewType("TenantID", str)
AccountID = NewType("AccountID", str)
UserID = NewType("UserID", str)

OrderID = NewType("OrderID", str)
"""OrderID(37): ours, assigned when an order is recorded."""

ClOrdID = NewType("ClOrdID", str)
"""ClOrdID(11): the client's own id of a command, and the key of its idempotency."""

SecondaryOrderID = NewType("SecondaryOrderID", str)
"""SecondaryOrderID(198): the broker's id of an order."""

ExecID = NewType("ExecID", str)
"""ExecID(17): of one execution report; the broker's own for its fills."""

WireID = NewType("WireID", str)
"""A command's 128-bit id in 22 characters of base62: what the broker knows it by."""

InstrumentID = NewType("InstrumentID", str)
"""`symbol@MIC`, with the market identifier code of ISO 10383."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_WIDTH = 22

CL_ORD_ID_MAX = 64


def base62(value: int) -> str:
    """Encode an unsigned 128-bit integer in 22 characters, which fits every broker's client id."""
    if not 0 <= value < 1 << 128:
        raise ValueError("an id has 128 bits")
    digits = []
    for _ in range(_WIDTH):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
