"""Entries of the journal as lines of JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from brokers.paper.messages import Cancel, CancelReject, Entry, Event, NewOrder, Replace, Report
from trading.execution import ExecType
from trading.order import OrdType, Side, TimeInForce
from trading.quantity import plain
from trading.reject import CxlRejReason, OrdRejReason

_REQUESTS = {"new": NewOrder, "replace": Replace, "cancel": Cancel}
_EVENTS = {"report": Report, "cancel_reject": CancelReject}
_NAMES = {kind: name for name, kind in (_REQUESTS | _EVENTS).items()}


def encode(entry: Entry) -> bytes:
    """Write an entry as one line."""
    document: dict[str, object] = {"events": [_tagged(event) for event in entry.events]}
    if entry.request is not None:
        document = {"request": _tagged(entry.request)} | document
    return _dump(document) + b"\n"


def encode_event(event: Event) -> bytes:
    """Write one event as it stands in its entry."""
    return _dump(_tagged(event))


def decode(line: bytes) -> Entry:
    """Read a line. Raises ValueError, which says what cannot be read."""
    match json.loads(line):
        case {"events": list(events), **rest} if rest.keys() <= {"request"}:
            return Entry(
                request=_untagged(rest["request"], _REQUESTS) if rest else None,
                events=tuple(_untagged(event, _EVENTS) for event in events),
            )
        case _:
            raise ValueError("not an entry of the journal")


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tagged(message: Any) -> dict[str, object]:
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    return {
        _NAMES[type(message)]: {
            name: plain(value) if isinstance(value, Decimal) else value
            for name, value in values.items()
            if value is not None
        }
    }


def _untagged(document: object, kinds: Mapping[str, type[Any]]) -> Any:
    if not isinstance(document, dict) or len(document) != 1:
        raise ValueError("not a message of one kind")
    ((kind, values),) = document.items()
    if kind not in kinds or not isinstance(values, dict):
        raise ValueError(f"no such kind of message: {kind}")
    try:
        return kinds[kind](**{name: _READ[name](value) for name, value in values.items()})
    except KeyError as error:
        raise ValueError(f"{kind} has no field {error}") from None
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"{kind} cannot be read: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value


def _decimal(value: object) -> Decimal:
    number = Decimal(_text(value))
    if not number.is_finite():
        raise TypeError(f"{value!r} is not a number")
    return number


_READ: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("wire_id", "orig_wire_id", "request_wire_id", "order_id"), _text),
    **dict.fromkeys(("account_id", "symbol", "text"), _text),
    **dict.fromkeys(("exec_id", "exec_ref_id", "contra_exec_id"), _text),
    **dict.fromkeys(("order_qty", "price", "stop_px", "last_qty", "last_px"), _decimal),
    **dict.fromkeys(("number", "transact_time", "expire_time"), _number),
    "side": Side,
    "ord_type": OrdType,
    "time_in_force": TimeInForce,
    "exec_type": ExecType,
    "ord_rej_reason": OrdRejReason,
    "cxl_rej_reason": CxlRejReason,
}
