"""What Alpaca says of orders, fills and its stream, read strictly; numbers stay exact.

Source: Alpaca's trading OpenAPI, and its page on streaming, as of 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.instants import parse_instant
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.quantity import ZERO, Px, Qty, plain

ORD_TYPES = {
    OrdType.MARKET: "market",
    OrdType.LIMIT: "limit",
    OrdType.STOP: "stop",
    OrdType.STOP_LIMIT: "stop_limit",
}
TIMES_IN_FORCE = {
    TimeInForce.DAY: "day",
    TimeInForce.GOOD_TILL_CANCEL: "gtc",
    TimeInForce.IMMEDIATE_OR_CANCEL: "ioc",
    TimeInForce.FILL_OR_KILL: "fok",
}
SIDES = {Side.BUY: "buy", Side.SELL: "sell"}

STATUSES = {
    "new": OrdStatus.NEW,
    "accepted": OrdStatus.PENDING_NEW,
    "pending_new": OrdStatus.PENDING_NEW,
    "pending_review": OrdStatus.PENDING_NEW,
    "held": OrdStatus.PENDING_NEW,
    "accepted_for_bidding": OrdStatus.NEW,
    "stopped": OrdStatus.NEW,
    "calculated": OrdStatus.NEW,
    "partially_filled": OrdStatus.PARTIALLY_FILLED,
    "filled": OrdStatus.FILLED,
    "done_for_day": OrdStatus.DONE_FOR_DAY,
    "canceled": OrdStatus.CANCELED,
    "expired": OrdStatus.EXPIRED,
    "replaced": OrdStatus.CANCELED,
    "pending_cancel": OrdStatus.PENDING_CANCEL,
    "pending_replace": OrdStatus.PENDING_REPLACE,
    "rejected": OrdStatus.REJECTED,
    "suspended": OrdStatus.SUSPENDED,
}
"""What a status is in FIX. A replaced order has ended; its successor goes on."""


class Unreadable(ValueError):
    """Alpaca said something that makes no sense to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaOrder:
    """One of Alpaca's orders. A replace ends it (`replaced_by`) and makes another (`replaces`)."""

    id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Qty
    filled_qty: Qty
    filled_avg_px: Px | None
    limit_px: Px | None
    stop_px: Px | None
    status: str
    replaces: str | None
    replaced_by: str | None
    updated_at: int

    @property
    def filled_value(self) -> Decimal:
        """What its fills were worth, price times quantity."""
        return self.filled_qty * (self.filled_avg_px or ZERO)

    @property
    def is_settling(self) -> bool:
        """Whether a cancel or a replace is under way, the outcome of which is open."""
        return self.status in {"pending_cancel", "pending_replace"}


def order_of(given: object) -> AlpacaOrder:
    """Read an order. Raises Unreadable."""
    try:
        return _order(_object(given))
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"not an order: {error!r}, in {given!r:.300}") from error


def _order(given: Mapping[str, Any]) -> AlpacaOrder:
    return AlpacaOrder(
        id=text(given, "id"),
        client_order_id=text(given, "client_order_id"),
        symbol=text(given, "symbol"),
        side=Side(text(given, "side").upper()),
        qty=number(given, "qty") or ZERO,
        filled_qty=number(given, "filled_qty") or ZERO,
        filled_avg_px=number(given, "filled_avg_price"),
        limit_px=number(given, "limit_price"),
        stop_px=number(given, "stop_price"),
        status=text(given, "status"),
        replaces=given.get("replaces"),
        replaced_by=given.get("replaced_by"),
        updated_at=instant(given, "updated_at", "submitted_at", "created_at"),
    )


def fill_key(order_id: str, cum_qty: Qty) -> str:
    """Name a fill by what its order had traded after it, which every way of telling it shows."""
    return f"alpaca:{order_id}:fill:{plain(cum_qty)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A fill as the account's activities tell it; `cum_qty` is that of its order, after it."""

    id: str
    order_id: str
    qty: Qty
    px: Px
    cum_qty: Qty
    at: int


def activity_of(given: object) -> Activity:
    """Read a fill. Raises Unreadable."""
    try:
        fields = _object(given)
        return Activity(
            id=text(fields, "id"),
            order_id=text(fields, "order_id"),
            qty=_needed(fields, "qty"),
            px=_needed(fields, "price"),
            cum_qty=_needed(fields, "cum_qty"),
            at=instant(fields, "transaction_time"),
        )
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"not a fill: {error!r}, in {given!r:.300}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One event of the stream of trades; `cursor` is where a stream goes on after it."""

    event: str
    order: AlpacaOrder
    at: int
    cursor: str
    execution_id: str | None
    previous_execution_id: str | None
    qty: Qty | None
    px: Px | None
    raw: bytes


def update_of(given: object, raw: bytes) -> Update:
    """Read an event of a stream. Raises Unreadable."""
    try:
        fields = _object(given)
        at = instant(fields, "timestamp", "at")
        return Update(
            event=text(fields, "event"),
            order=order_of(fields.get("order")),
            at=at,
            cursor=str(fields.get("event_id") or time_cursor(at)),
            execution_id=fields.get("execution_id"),
            previous_execution_id=fields.get("previous_execution_id"),
            qty=number(fields, "qty"),
            px=number(fields, "price"),
            raw=raw,
        )
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"not an event: {error!r}, in {given!r:.300}") from error


# --- cursors ---

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_TIME = 10


def time_cursor(at: int) -> str:
    """Write a cursor that is an instant in UTC nanoseconds, as streams without event ids have."""
    return f"at:{at}"


def cursor_time(cursor: str) -> int:
    """Return when a cursor is from, in UTC nanoseconds: an event id is a ULID, and has its time.

    Raises Unreadable.
    """
    kind, _, at = cursor.rpartition(":")
    if kind == "at" and at.isdecimal():
        return int(at)
    head = cursor[:_ULID_TIME].upper()
    if len(cursor) != 26 or any(each not in _CROCKFORD for each in head):
        raise Unreadable(f"{cursor} is not a cursor of Alpaca's stream")
    millis = 0
    for each in head:
        millis = millis * 32 + _CROCKFORD.index(each)
    return millis * 1_000_000


# --- fields ---


def _object(given: object) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ValueError("no object")  # noqa: TRY004 - callers wait for what is unreadable
    return given


def text(given: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there. Raises ValueError, KeyError."""
    value = given[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value


def number(given: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a finite number, given as text or as a number, or None. Raises ValueError."""
    value = given.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{name} is {value!r}")  # noqa: TRY004 - callers wait for ValueError
    found = Decimal(value)
    if not found.is_finite():
        raise ValueError(f"{name} is {value!r}")
    return found


def _needed(given: Mapping[str, Any], name: str) -> Decimal:
    if (value := number(given, name)) is None:
        raise ValueError(f"{name} is missing")
    return value


def instant(given: Mapping[str, Any], *names: str) -> int:
    """Return the first of these instants that is there, in UTC nanoseconds. Raises ValueError."""
    for name in names:
        if (value := given.get(name)) is not None:
            return parse_instant(str(value))
    raise ValueError(f"no {' or '.join(names)}")
