"""Alpaca's two streams of trades: one that replays from an event id, and one that only goes on.

`/v2/events/trades` (server-sent events, by `since_id`) is documented for the Broker API, and used
with plain trading keys by Alpaca's own Go client; where a key is not let in, the socket is used.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from brokers.alpaca.fence import Credentials
from brokers.alpaca.messages import cursor_time
from brokers.instants import format_instant
from brokers.link.eventstream import events
from brokers.link.http import Http
from brokers.link.wirelog import WireLog
from trading.ports import Unauthorized, Unavailable

_SILENCE_S = 60.0
_OPEN_S = 10.0
_PING_S = 10.0
_FRAME_MAX = 1_048_576
_NOT_HERE = frozenset({403, 404, 405, 501})


class NoReplay(Exception):
    """This key is not let into the stream that replays."""


class Feed:
    """Opens streams; what they bring is raw, one message each, or None for a sign of life."""

    def __init__(
        self, http: Http, socket_url: str, key: Callable[[], Credentials], log: WireLog
    ) -> None:
        """Connect to nothing yet."""
        self._http = http
        self._socket_url = socket_url
        self._key = key
        self._log = log

    async def replayed(self, cursor: str) -> AsyncIterator[bytes | None]:
        """Yield every event after a cursor, and then each new one, until the stream breaks.

        Raises NoReplay, Unauthorized, Unavailable.
        """
        since = {"since": format_instant(cursor_time(cursor))}
        query = urlencode(since if cursor.startswith("at:") else {"since_id": cursor})
        async with self._http.stream(f"/v2/events/trades?{query}", _SILENCE_S) as (status, parts):
            _check_stream(status)
            yield None
            async for data in events(parts):
                if data is not None:
                    self._log.note("event", "events/trades", data)
                yield data

    @asynccontextmanager
    async def live(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the socket; from then on its events come. Raises Unauthorized, Unavailable."""
        try:
            async with connect(
                self._socket_url,
                open_timeout=_OPEN_S,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                max_size=_FRAME_MAX,
                proxy=None,
            ) as socket:
                await self._listen(socket)
                yield self._events(socket)
        except (WebSocketException, OSError, TimeoutError) as error:
            raise Unavailable(f"the socket broke: {type(error).__name__} {error}") from error

    async def _listen(self, socket: ClientConnection) -> None:
        key = self._key()
        auth = {"action": "auth", "key": key.key_id, "secret": key.secret_key}
        await socket.send(json.dumps(auth))
        match _read(await socket.recv()):
            case {"stream": "authorization", "data": {"status": "authorized"}}:
                pass
            case other:
                raise Unauthorized(f"Alpaca's stream did not let the key in: {other!r:.200}")
        streams = {"action": "listen", "data": {"streams": ["trade_updates"]}}
        await socket.send(json.dumps(streams))
        match _read(await socket.recv()):
            case {"stream": "listening", "data": {"streams": [*names]}} if "trade_updates" in names:
                pass
            case other:
                raise Unavailable(f"Alpaca's stream does not tell of trades: {other!r:.200}")

    async def _events(self, socket: ClientConnection) -> AsyncIterator[bytes]:
        async for frame in socket:
            # The paper host sends binary frames with JSON in them, the live one text.
            raw = frame.encode() if isinstance(frame, str) else frame
            self._log.note("event", "trade_updates", raw)
            yield raw


def event_in(raw: bytes) -> object:
    """Return the event in a message of either stream, or None for one of another kind.

    Raises ValueError for what is not JSON.
    """
    match _read(raw):
        case {"stream": "trade_updates", "data": data}:
            return data
        case {"stream": _}:
            return None
        case other:
            return other


def _read(raw: bytes | str) -> Any:
    return json.loads(raw, parse_float=Decimal)


def _check_stream(status: int) -> None:
    if status in _NOT_HERE:
        raise NoReplay(f"the replaying stream answers {status}")
    if status == 401:
        raise Unauthorized("Alpaca's stream did not let the key in")
    if status != 200:
        raise Unavailable(f"Alpaca's stream answers {status}")
