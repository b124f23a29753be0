"""The messages of graphql-transport-ws: those of clients read strictly, ours written as frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serving import frame

PROTOCOL = "graphql-transport-ws"
ID_MAX = 256
"""The longest operation id that is taken, in characters; each is kept as long as its operation."""

PONG = frame.text(b'{"type":"pong"}')
ACKNOWLEDGED = frame.text(b'{"type":"connection_ack"}')

type Payload = Mapping[str, Any]


class Invalid(Exception):
    """A message that the protocol does not know; it says what is wrong."""


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """The client says who it is."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Ping:
    """The client asks for a pong."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Pong:
    """The client has heard a ping, or says that it is there."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The client asks for an operation."""

    id: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Complete:
    """The client wants no more of an operation."""

    id: str


type Message = ConnectionInit | Ping | Pong | Subscribe | Complete


def read(text: str | None) -> Message:
    """Read a client's message; None is one that is no text. Raises Invalid."""
    if text is None:
        raise Invalid("a message must be text")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Invalid("a message must be valid JSON") from None
    if not isinstance(message, dict):
        raise Invalid("a message must be a JSON object")
    match message.get("type"):
        case "connection_init":
            return ConnectionInit(_details(message))
        case "ping":
            return Ping(_details(message))
        case "pong":
            return Pong(_details(message))
        case "subscribe":
            return Subscribe(_id(message), _request(message))
        case "complete":
            return Complete(_id(message))
        case _:
            raise Invalid("the type must be one that a client may send")


def _details(message: Payload) -> Payload:
    return _object(message.get("payload"), "the payload")


def _object(value: object, name: str) -> Payload:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be an object, or left out")
    return value


def _id(message: Payload) -> str:
    match message.get("id"):
        case str() as found if 1 <= len(found) <= ID_MAX:
            return found
        case _:
            raise Invalid(f"the id must be a string of 1 to {ID_MAX} characters")


def _request(message: Payload) -> Payload:
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise Invalid("the payload must be an object")
    for name in ("query", "operationName", "documentId"):
        if not isinstance(payload.get(name), str | None):
            raise Invalid(f"{name} must be a string")
    _object(payload.get("variables"), "variables")
    extensions = _object(payload.get("extensions"), "extensions")
    named = payload.get("documentId"), extensions.get("persistedQuery")
    if payload.get("query") is None and named == (None, None):
        raise Invalid("the payload must have a query, or a documentId")
    return payload


def ping(heads: Mapping[str, int]) -> bytes:
    """Write a ping, with how far the logs are that operations follow."""
    if not heads:
        return frame.text(b'{"type":"ping"}')
    return frame.text(orjson.dumps({"type": "ping", "payload": {"heads": heads}}))


def next_result(operation_id: str, payload: bytes) -> bytes:
    """Write a result that is JSON already."""
    head = b'{"type":"next","id":%b,"payload":' % orjson.dumps(operation_id)
    return frame.text(head + payload + b"}")


def error(operation_id: str, errors: Sequence[Mapping[str, object]]) -> bytes:
    """Write that an operation is over by errors."""
    return frame.text(orjson.dumps({"type": "error", "id": operation_id, "payload": errors}))


def complete(operation_id: str) -> bytes:
    """Write that an operation is over."""
    return frame.text(orjson.dumps({"type": "complete", "id": operation_id}))
