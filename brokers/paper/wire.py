"""The socket protocol of the paper exchange, version 1, as docs/exchange-protocol.md tells it.

Lines of JSON over TCP. What goes over them is here, and what carries them is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

import orjson

from brokers.paper.codec import EVENTS, REQUESTS, made, tagged, untagged, values
from brokers.paper.messages import Event, Request
from brokers.paper.stream import Delivery
from trading.ids import AccountID, InstrumentID, WireID
from trading.ports import (
    BrokerError,
    Environment,
    InDoubt,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from trading.quantity import Qty, parse, plain
from trading.quote import Quote

PROTOCOL = 1
LINE_MAX = 262_144
"""The longest line, in bytes, without its end."""
IN_FLIGHT_MAX = 1024
"""How many requests of one connection may be under way."""
ID_MAX = 128
"""The longest id of anything, in characters."""
PAGE = 64
"""How many items one message carries at most, so that the longest ids still fit in a line."""
ACCOUNTS_MAX = 256
"""How many accounts a question may name."""
BEAT_S = 1.0
SILENCE_S = 4.0
"""After how long without a byte an end gives the other up."""

type Message = Mapping[str, Any]


class ProtocolError(Exception):
    """What came over a connection is not of the protocol: the connection is of no more use."""


def encode(message: Message) -> bytes:
    """Write a message as one line."""
    return orjson.dumps(message) + b"\n"


def decode(line: bytes) -> Message:
    """Read a line. Raises ProtocolError."""
    try:
        message = orjson.loads(line)
    except ValueError as error:
        raise ProtocolError(f"a line is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("a line is not an object")
    return message


# --- greetings ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a client asks for; an exchange of None is any."""

    environment: Environment
    exchange: str | None


def encode_hello(hello: Hello) -> Message:
    """Greet the exchange."""
    given = {"protocol": PROTOCOL, "environment": hello.environment}
    return {"hello": given if hello.exchange is None else given | {"exchange": hello.exchange}}


def refuse_hello(given: object, environment: Environment, exchange: str) -> str | None:
    """Say why a hello is refused, or None."""
    match given:
        case {"protocol": int(theirs)} if theirs != PROTOCOL:
            return f"this exchange speaks protocol {PROTOCOL}, and you protocol {theirs}"
        case {"environment": str(theirs)} if theirs != environment:
            return f"this exchange belongs to the environment {environment}, and you to {theirs}"
        case {"exchange": str(theirs)} if theirs != exchange:
            return (
                f"this is the exchange {exchange}, and you have traded with {theirs}: bring back"
                " the journal of that one"
            )
        case {"protocol": int(), "environment": str(), **rest} if rest.keys() <= {"exchange"}:
            return None
        case _:
            return "a hello has a protocol, an environment and, if need be, an exchange"


# --- errors ---

_ERRORS: Mapping[str, type[BrokerError]] = {
    "rejected": Rejected,
    "unauthorized": Unauthorized,
    "unavailable": Unavailable,
    "in_doubt": InDoubt,
}


def encode_error(error: BrokerError) -> Message:
    """Write an error as an answer bears it."""
    if isinstance(error, RateLimited):
        retry_after_ms = round(error.retry_after_s * 1000)
        return {"code": "rate_limited", "text": str(error), "retry_after_ms": retry_after_ms}
    codes = [code for code, kind in _ERRORS.items() if isinstance(error, kind)]
    return {"code": codes[0], "text": str(error)}


def decode_error(given: object) -> BrokerError:
    """Read an error; one that cannot be read leaves everything open."""
    match given:
        case {"code": "rate_limited", "text": str(text), "retry_after_ms": int(retry_after_ms)}:
            return RateLimited(text, retry_after_ms / 1000)
        case {"code": str(code), "text": str(text)} if code in _ERRORS:
            return _ERRORS[code](text)
        case _:
            return InDoubt(f"the exchange gave an error that cannot be read: {given!r:.200}")


# --- requests and questions ---


def encode_request(request: Request) -> Message:
    """Write a request, as `{"new": {…}}`."""
    return tagged(request)


def decode_request(kind: str, body: object) -> Request:
    """Read a request. Raises Rejected, which names the field."""
    try:
        request: Request = untagged({kind: body}, REQUESTS)
    except ValueError as error:
        raise Rejected(f"{kind} is malformed: {error}") from None
    for name, value in values(request).items():
        if name in {"wire_id", "orig_wire_id", "account_id", "symbol"}:
            _check_id(name, value)
    return request


def decode_wire_id(body: object) -> WireID:
    """Read the question after an order. Raises Rejected."""
    match body:
        case {"wire_id": str(wire_id), **rest} if not rest:
            return WireID(wire_id)
        case _:
            raise Rejected("find_order needs a wire_id and nothing else")


def decode_accounts(body: object) -> Sequence[AccountID]:
    """Read which accounts a question is about. Raises Rejected."""
    match body:
        case {"accounts": list(accounts), **rest} if not rest and len(accounts) <= ACCOUNTS_MAX:
            for account in accounts:
                _check_id("an account", account)
            return [AccountID(account) for account in accounts]
        case _:
            raise Rejected(f"accounts must be a list of at most {ACCOUNTS_MAX}, and is alone")


def decode_subscription(body: object) -> tuple[int, int]:
    """Read from which event on a client wants events, and how many at first. Raises Rejected."""
    match body:
        case {"after": int(after), "credit": int(credit), **rest} if not rest:
            if after >= 0 and credit >= 0:
                return after, credit
    raise Rejected("events needs an after and a credit, integers from 0, and nothing else")


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= ID_MAX:
        raise Rejected(f"{name} must be a text of 1 to {ID_MAX} characters")


# --- answers and pushes ---


def encode_items(kind: str, items: Sequence[Any]) -> Sequence[object]:
    """Write the items of a list as its answer bears them."""
    if kind == "positions":
        return [[account, symbol, plain(qty)] for account, symbol, qty in items]
    return [values(item) for item in items]


def decode_items[T](kind: type[T], given: Sequence[object]) -> Sequence[T]:
    """Read a list of flat records. Raises ValueError."""
    return [made(kind, item) for item in given]


def decode_positions(
    given: Sequence[object],
) -> Sequence[tuple[AccountID, InstrumentID, Qty]]:
    """Read a list of positions. Raises ValueError."""
    return [_position(item) for item in given]


def _position(given: object) -> tuple[AccountID, InstrumentID, Qty]:
    match given:
        case [str(account), str(symbol), str(qty)]:
            return AccountID(account), InstrumentID(symbol), parse(qty)
        case _:
            raise ValueError(f"not a position: {given!r:.200}")


def pages(items: Sequence[object]) -> Iterator[tuple[Sequence[object], bool]]:
    """Cut a list into what one message carries; each with whether it is the last."""
    parts = list(batched(items, PAGE)) or [()]
    for number, part in enumerate(parts, 1):
        yield part, number == len(parts)


def encode_delivery(delivery: Delivery) -> Message:
    """Write an event, mangled where the fault script wants it."""
    document = tagged(delivery.event)
    if not delivery.is_readable:
        for fields in document.values():
            fields |= {
                name: "GARBLED" for name in ("exec_type", "cxl_rej_reason") if name in fields
            }
    return {"event": document, "cursor": delivery.cursor}


def decode_event(document: object) -> Event | tuple[int, WireID]:
    """Read an event, or of one that makes no sense its number and order. Raises ProtocolError."""
    try:
        event: Event = untagged(document, EVENTS)
    except ValueError as error:
        return _outline(document, error)
    return event


def _outline(document: object, error: ValueError) -> tuple[int, WireID]:
    inner = list(document.values()) if isinstance(document, dict) else []
    match inner:
        case [{"number": int(number), "wire_id": str(wire_id)}]:
            return number, WireID(wire_id)
        case _:
            raise ProtocolError(f"an event without a number or a wire_id: {error}")


def encode_quote(quote: Quote, now: int) -> Message:
    """Write a quote with its age in place of an instant of ours, for clocks differ."""
    fields = values(quote)
    del fields["received_at"]
    return fields | {"age": max(now - quote.received_at, 0)}


def decode_quote(given: object, now: int) -> Quote:
    """Read a quote as received that long ago. Raises ProtocolError."""
    match given:
        case {"age": int(age), **fields} if age >= 0 and "received_at" not in fields:
            try:
                return made(Quote, fields | {"received_at": now - age})
            except ValueError as error:
                raise ProtocolError(f"a quote is broken: {error}") from None
        case _:
            raise ProtocolError(f"not a quote: {given!r:.200}")
