"""JSON for brokers: an exact decimal is written as a number, digit by digit, never as a float."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from trading.quantity import plain


def encode(document: object) -> bytes:
    """Write a document. Raises TypeError for what JSON does not have, floats among it."""
    return _text(document).encode()


def _text(value: object) -> str:
    match value:
        case Decimal():
            return plain(value)
        case Mapping():
            members = (f"{json.dumps(str(name))}:{_text(each)}" for name, each in value.items())
            return f"{{{','.join(members)}}}"
        case None | bool() | int() | str():
            return json.dumps(value)
        case Sequence():
            return f"[{','.join(map(_text, value))}]"
        case _:
            raise TypeError(f"{value!r} is not of JSON")
