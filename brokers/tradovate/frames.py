"""The frames of Tradovate's sockets, in the manner of SockJS.

The server opens with `o`, beats with `h`, closes with `c[...]`, and sends messages in `a[...]`:
answers `{"s": status, "i": number, "d": …}` and events `{"e": kind, "d": …}`. We send requests of
four lines (endpoint, number, query, body), and beat with `[]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from brokers.link.body import encode
from trading.ports import Unavailable

BEAT = "[]"
_SIGNS = frozenset({"o", "h"})


def request(endpoint: str, number: int, body: Mapping[str, Any] | str) -> str:
    """Write a request; a body that is a text goes as it is, as tokens do."""
    written = body if isinstance(body, str) else encode(body).decode()
    return f"{endpoint}\n{number}\n\n{written}"


def messages(frame: str) -> Sequence[Mapping[str, Any]]:
    """Return the messages of a frame; none for a sign of life.

    Raises Unavailable for the frame that closes, and ValueError for what is no frame.
    """
    if frame in _SIGNS:
        return []
    if frame.startswith("c"):
        raise Unavailable(f"Tradovate has closed the socket: {frame[1:200] or 'without a word'}")
    if not frame.startswith("a"):
        raise ValueError(f"not a frame: {frame!r:.100}")
    found = json.loads(frame[1:], parse_float=Decimal, parse_constant=_refuse)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"not messages: {frame!r:.100}")
    return found


def _refuse(constant: str) -> object:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{constant} is no number")
