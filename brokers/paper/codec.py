"""Messages as JSON, for the lines of the journal and of the socket protocol, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

import orjson

from brokers.paper.messages import Cancel, CancelReject, Entry, Event, NewOrder, Replace, Report
from trading.execution import ExecType
from trading.instrument import SecurityType
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.ports import BrokerOrder
from trading.quantity import parse, plain
from trading.quote import Quote
from trading.reject import CxlRejReason, OrdRejReason

REQUESTS: Mapping[str, type[Any]] = {"new": NewOrder, "replace": Replace, "cancel": Cancel}
EVENTS: Mapping[str, type[Any]] = {"report": Report, "cancel_reject": CancelReject}
_SIZE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,128})?")
_NAMES = {kind: name for name, kind in (*REQUESTS.items(), *EVENTS.items())}


def encode(entry: Entry) -> bytes:
    """Write an entry of the journal as one line."""
    document: dict[str, object] = {"events": [tagged(event) for event in entry.events]}
    if entry.request is not None:
        document = {"request": tagged(entry.request)} | document
    return orjson.dumps(document) + b"\n"


def encode_event(event: Event) -> bytes:
    """Write one event as it stands in its entry."""
    return orjson.dumps(tagged(event))


def decode(line: bytes) -> Entry:
    """Read a line of the journal. Raises ValueError, which says what cannot be read."""
    match orjson.loads(line):
        case {"events": list(events), **rest} if rest.keys() <= {"request"}:
            return Entry(
                request=untagged(rest["request"], REQUESTS) if rest else None,
                events=tuple(untagged(event, EVENTS) for event in events),
            )
        case _:
            raise ValueError("not an entry of the journal")


def tagged(message: Any) -> dict[str, dict[str, object]]:
    """Turn a request or an event into an object with one key, which names its kind."""
    return {_NAMES[type(message)]: values(message)}


def untagged(document: object, kinds: Mapping[str, type[Any]]) -> Any:
    """Read an object with one key of these kinds. Raises ValueError."""
    if not isinstance(document, dict) or len(document) != 1:
        raise ValueError("not a message of one kind")
    ((kind, given),) = document.items()
    if kind not in kinds:
        raise ValueError(f"no such kind of message: {kind}")
    return made(kinds[kind], given)


def values(message: Any) -> dict[str, object]:
    """Return what a flat dataclass with slots holds: decimals as texts, and nothing for None."""
    found = {}
    for name in message.__slots__:
        if (value := getattr(message, name)) is not None:
            found[name] = plain(value) if isinstance(value, Decimal) else value
    return found


def made[T](kind: type[T], given: object) -> T:
    """Make a flat dataclass of what JSON holds. Raises ValueError, which names the field."""
    if not isinstance(given, dict):
        raise ValueError(f"{kind.__name__} is not an object")  # noqa: TRY004 - it is data
    read = {name: _read(name, value) for name, value in given.items()}
    try:
        return kind(**{**_ABSENT.get(kind, {}), **read})
    except TypeError as error:
        raise ValueError(f"{kind.__name__} cannot be made: {error}") from None


def _read(name: str, value: object) -> object:
    if (reader := _READ.get(name)) is None:
        raise ValueError(f"no such field: {name}")
    try:
        return reader(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _decimal(value: object) -> Decimal:
    return parse(_text(value))


def _size(value: object) -> Decimal:
    """Read a displayed size, which recorders give with more digits than can be traded."""
    if not _SIZE.fullmatch(text := _text(value)):
        raise ValueError(f"{value!r} is not a size in plain digits")
    return Decimal(text)


# What may be None and has no default is left out of JSON all the same.
_ABSENT: Mapping[type, Mapping[str, None]] = {
    kind: {each.name: None for each in fields(kind) if "None" in str(each.type)}
    for kind in (BrokerOrder, Quote)
}
_READ: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("wire_id", "orig_wire_id", "request_wire_id", "last_request_wire_id"), _text),
    **dict.fromkeys(("account_id", "symbol", "text", "order_id", "secondary_order_id"), _text),
    **dict.fromkeys(("exec_id", "exec_ref_id", "contra_exec_id"), _text),
    **dict.fromkeys(("mic", "description", "currency", "calendar", "source"), _text),
    **dict.fromkeys(("order_qty", "cum_qty", "last_qty", "net_qty", "lot", "multiplier"), _decimal),
    **dict.fromkeys(("price", "stop_px", "last_px", "avg_px", "tick"), _decimal),
    **dict.fromkeys(("bid", "ask", "last", "initial_margin", "maintenance_margin"), _decimal),
    "shortable": _flag,
    **dict.fromkeys(("bid_size", "ask_size", "last_size"), _size),
    **dict.fromkeys(("number", "transact_time", "expire_time", "expiry", "time"), _number),
    "received_at": _number,
    "delayed": _flag,
    "side": Side,
    "ord_type": OrdType,
    "time_in_force": TimeInForce,
    "exec_type": ExecType,
    "status": OrdStatus,
    "security_type": SecurityType,
    "ord_rej_reason": OrdRejReason,
    "cxl_rej_reason": CxlRejReason,
}
