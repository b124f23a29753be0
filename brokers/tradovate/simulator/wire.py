"""How Tradovate writes JSON, instants and trade dates, and the frames of its sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from brokers.instants import format_instant, to_datetime

_MILLIS = len("2024-07-01T23:58:01.218")
_PARTS = 4


class Frame(NamedTuple):
    """A request over a socket, as it came."""

    endpoint: str
    number: int
    query: Mapping[str, str]
    body: str


def written(document: object) -> str:
    """Write JSON, with decimals as numbers."""
    return json.dumps(document, default=_plain, separators=(",", ":"))


def read(text: str | bytes) -> Any:
    """Read JSON, with decimals kept. Raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def frame(text: str) -> Frame:
    """Read a request: endpoint, number, query and body, a line each. Raises ValueError."""
    endpoint, number, query, body = (text.split("\n", _PARTS - 1) + [""] * _PARTS)[:_PARTS]
    return Frame(endpoint.strip().lower(), int(number), dict(parse_qsl(query)), body.strip())


def told(*messages: object) -> str:
    """Write a frame of messages."""
    return f"a{written(messages)}"


def at_text(instant: int) -> str:
    """Write an instant as RFC 3339 in UTC, to the millisecond."""
    return f"{format_instant(instant)[:_MILLIS]}Z"


def trade_date(instant: int) -> Mapping[str, int]:
    """Write the day of an instant; that it begins in the evening in Chicago is left out."""
    day = to_datetime(instant)
    return {"year": day.year, "month": day.month, "day": day.day}


def _plain(value: object) -> int | float:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{value!r} is not of JSON")
