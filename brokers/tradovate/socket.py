"""One open socket to Tradovate: requests with their answers, and events as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from brokers.link.wirelog import WireLog
from brokers.tradovate.frames import BEAT, messages, request
from trading.ports import BrokerError, Clock, RateLimited, Unauthorized, Unavailable

_OPEN_S = 10.0
_ANSWER_S = 10.0
_BEAT_S = 2.5
_SILENCE_S = 15.0
"""Without a word for so long the link is dead: the server beats every 2.5 s."""

_FRAME_MAX = 67_108_864
"""A snapshot is one frame, with all orders of the day in it."""

_EVENTS_MAX = 100_000
_HOUR_S = 3600.0


class Socket:
    """Reads, beats and counts requests, until it breaks: then everybody who waits is told."""

    def __init__(self, connection: ClientConnection, clock: Clock, log: WireLog) -> None:
        """Take a connection that is open."""
        self._connection = connection
        self._clock = clock
        self._log = log
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._events: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue(_EVENTS_MAX)
        self._why = Unavailable("the socket is closed")

    async def authorize(self, token: str) -> None:
        """Say who we are, also again under a new token. Raises Unauthorized, Unavailable."""
        await self.request("authorize", token)

    async def request(self, endpoint: str, body: Mapping[str, Any] | str) -> Any:
        """Ask; return what the answer says. Raises BrokerError."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        shown = body if isinstance(body, Mapping) else {}
        self._log.note("sent", f"socket {endpoint}", request(endpoint, number, shown))
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._connection.send(request(endpoint, number, body))
                return _said(endpoint, await answer)
        except (WebSocketException, OSError, TimeoutError) as error:
            raise Unavailable(f"no answer to {endpoint}: {error!r}") from error
        finally:
            self._waiting.pop(number, None)

    async def events(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield events. Raises Unavailable where the socket breaks."""
        while (event := await self._events.get()) is not None:
            yield event
        raise self._why

    async def read(self) -> None:
        """Read until it breaks."""
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    frame = await self._connection.recv()
                text = frame if isinstance(frame, str) else frame.decode()
                for message in messages(text):
                    self._take(message, text)
        except BrokerError as error:
            self._end(str(error))
        except asyncio.QueueFull:
            self._end("more events came than can be kept")
        except (WebSocketException, OSError, TimeoutError, ValueError) as error:
            self._end(f"the socket broke: {type(error).__name__} {error}")

    async def beat(self) -> None:
        """Say that we live, which Tradovate wants to hear every 2.5 s."""
        while True:
            await self._clock.sleep(_BEAT_S)
            await self._connection.send(BEAT)

    def _take(self, message: Mapping[str, Any], frame: str) -> None:
        number = message.get("i")
        if "e" in message:
            self._log.note("event", str(message["e"]), frame)
            self._events.put_nowait(message)
        elif isinstance(number, int) and (answer := self._waiting.get(number)) is not None:
            self._log.note("received", f"socket {number}", frame)
            if not answer.done():
                answer.set_result(message)

    def _end(self, why: str) -> None:
        self._why = Unavailable(why)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable(why))
        while self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(None)


@asynccontextmanager
async def opened(url: str, clock: Clock, log: WireLog) -> AsyncIterator[Socket]:
    """Open a socket, and let go of it at the end. Raises Unavailable."""
    try:
        async with connect(
            url, open_timeout=_OPEN_S, ping_interval=None, max_size=_FRAME_MAX, proxy=None
        ) as connection:
            async with asyncio.timeout(_OPEN_S):
                greeting = await connection.recv()
            if greeting != "o":
                raise Unavailable(f"Tradovate's socket began with {greeting!r:.100}")
            socket = Socket(connection, clock, log)
            work = [asyncio.create_task(socket.read()), asyncio.create_task(socket.beat())]
            try:
                yield socket
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
    except (WebSocketException, OSError, TimeoutError) as error:
        raise Unavailable(f"no socket to Tradovate: {type(error).__name__} {error}") from error


def _said(endpoint: str, answer: Mapping[str, Any]) -> Any:
    said = answer.get("d")
    shown = json.dumps(said, default=str)[:300]
    match answer.get("s"):
        case 200:
            return said
        case 401:
            raise Unauthorized(f"Tradovate did not let us in to {endpoint}: {shown}")
        case 429:
            raise RateLimited(f"Tradovate takes no more requests for {endpoint}", _HOUR_S)
        case status:
            raise Unavailable(f"Tradovate answered {endpoint} with {status}: {shown}")
