"""Bodies of requests, read as Tradovate reads them; what is wrong is a refusal of its own kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.instants import parse_instant
from trading.order import OrdType, Side, TimeInForce
from trading.quantity import ZERO, Px, Qty, parse
from trading.reject import CxlRejReason, OrdRejReason

type Document = dict[str, Any]

ACTIONS: Mapping[Side, str] = {Side.BUY: "Buy", Side.SELL: "Sell"}
ORDER_TYPES: Mapping[OrdType, str] = {
    OrdType.MARKET: "Market",
    OrdType.LIMIT: "Limit",
    OrdType.STOP: "Stop",
    OrdType.STOP_LIMIT: "StopLimit",
}
TIMES_IN_FORCE: Mapping[TimeInForce, str] = {
    TimeInForce.DAY: "Day",
    TimeInForce.GOOD_TILL_CANCEL: "GTC",
    TimeInForce.IMMEDIATE_OR_CANCEL: "IOC",
    TimeInForce.FILL_OR_KILL: "FOK",
    TimeInForce.GOOD_TILL_DATE: "GTD",
}
_TEXT_MAX = 64
_DIGITS_MAX = 20
"""One more than an id has: what is longer is cut, and is no id either."""

_REASONS: Mapping[OrdRejReason | CxlRejReason, str] = {
    OrdRejReason.UNKNOWN_SYMBOL: "InvalidContract",
    OrdRejReason.INVALID_PRICE_INCREMENT: "InvalidPrice",
    OrdRejReason.EXCHANGE_CLOSED: "SessionClosed",
    OrdRejReason.REFERENCE_PRICE_NOT_AVAILABLE: "NoQuote",
    OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC: "Unsupported",
    CxlRejReason.INVALID_PRICE_INCREMENT: "InvalidPrice",
    CxlRejReason.TOO_LATE_TO_CANCEL: "TooLate",
}


class Refused(Exception):
    """A refusal as an HTTP status and a text, which a socket tells as `s` and `d`."""

    def __init__(self, status: int, text: str) -> None:
        """Take both."""
        super().__init__(text)
        self.status = status
        self.text = text


class Answered(Exception):
    """A refusal inside an answer of status 200, as most of Tradovate's are."""

    def __init__(self, document: Document) -> None:
        """Take the answer."""
        super().__init__(str(document))
        self.document = document


def violation(name: str, value: object, description: str) -> Answered:
    """Refuse a field, in the words of Tradovate's validation."""
    told = "" if value is None else str(value)
    return Answered(
        {"violations": [{"constraint": name, "value": told, "description": description}]}
    )


def failure(reason: str, text: str) -> Answered:
    """Refuse a command about an order."""
    return Answered({"failureReason": reason, "failureText": text})


def not_found(what: str) -> Refused:
    """Say that there is no such thing."""
    return Refused(404, f"Not found: {what}")


def reason(why: OrdRejReason | CxlRejReason | None) -> str:
    """Return Tradovate's word for why the exchange refused."""
    return "UnknownReason" if why is None else _REASONS.get(why, "OtherExecutionRelated")


def text(given: Mapping[str, Any], name: str) -> str | None:
    """Return a short text, or None where there is none. Raises Answered."""
    value = given.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise violation(name, value, f"{name} must be a text of at most {_TEXT_MAX} characters")
    return value


def number(given: Mapping[str, Any], name: str) -> int:
    """Return an id. Raises Answered."""
    value = given.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:_DIGITS_MAX])
    if not isinstance(value, int) or isinstance(value, bool):
        raise violation(name, value, f"{name} should be specified, as an integer")
    return value


def numbers(given: Mapping[str, Any], name: str) -> Sequence[int]:
    """Return ids that are separated by commas. Raises Answered."""
    value = str(given.get(name, ""))
    return [number({name: each}, name) for each in value.split(",") if each]


def kinds(given: Mapping[str, Any], name: str) -> Collection[str] | None:
    """Return names of kinds of entities, or None where there are none. Raises Answered."""
    value = given.get(name)
    if value is not None and not isinstance(value, list):
        raise violation(name, value, f"{name} must be a list")
    return value


def qty(given: Mapping[str, Any], name: str) -> Qty:
    """Return a positive whole quantity. Raises Answered."""
    value = number(given, name)
    if value <= 0:
        raise violation(name, value, f"{name} must be positive")
    return Decimal(value)


def px(given: Mapping[str, Any], name: str) -> Px | None:
    """Return a price, or None where there is none. Raises Answered."""
    value = given.get(name)
    if value is None:
        return None
    try:
        price = parse(str(value))
    except (ValueError, InvalidOperation):
        raise violation(name, value, f"{name} is not a number") from None
    if price <= ZERO:
        raise violation(name, value, f"{name} must be positive")
    return price


def instant(given: Mapping[str, Any], name: str) -> int | None:
    """Return an instant in UTC nanoseconds, or None where there is none. Raises Answered."""
    value = given.get(name)
    if value is None:
        return None
    try:
        return parse_instant(str(value))
    except ValueError:
        raise violation(name, value, f"{name} is not a date and time") from None


def member[E](given: Mapping[str, Any], name: str, names: Mapping[E, str]) -> E:
    """Return what a word stands for. Raises Answered."""
    for one, theirs in names.items():
        if given.get(name) == theirs:
            return one
    known = ", ".join(names.values())
    raise violation(name, given.get(name), f"{name} must be one of {known}")
