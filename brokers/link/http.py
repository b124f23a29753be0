"""HTTP with a broker: one question decides every failure, whether the request may have left.

It sends nothing twice. A request that failed before its first byte was written is Unavailable;
one that failed after it is InDoubt, if it was to change something.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from brokers.link.body import encode
from brokers.link.breaker import Breaker
from brokers.link.budget import Budget, Urgency
from brokers.link.network import DEPARTURE, Departure, Network
from brokers.link.wirelog import WireLog
from trading.ports import BrokerError, InDoubt, Unavailable

_BODY_MAX = 8_388_608
_SERVER_ERROR = 500
_TOO_MANY = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase of a request may take, in seconds; `pool` waits for a connection."""

    pool_s: float = 2.0
    connect_s: float = 3.0
    write_s: float = 3.0
    read_s: float = 10.0

    def extension(self, read_s: float | None = None) -> Mapping[str, float]:
        """Write them as httpcore2 takes them."""
        read = self.read_s if read_s is None else read_s
        return {
            "pool": self.pool_s,
            "connect": self.connect_s,
            "write": self.write_s,
            "read": read,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker has answered; the names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body, numbers as exact decimals. Raises ValueError."""
        return json.loads(self.body, parse_float=Decimal)

    def text(self) -> str:
        """Return the body's beginning, for people."""
        return self.body[:300].decode(errors="replace")


def _allowed() -> None:
    """Allow what needs no permit."""


class Http:
    """Requests to one broker, at one base URL, over a bounded number of connections."""

    def __init__(
        self,
        base: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        budget: Budget,
        breaker: Breaker,
        log: WireLog,
        timeouts: Timeouts | None = None,
        connections: int = 8,
    ) -> None:
        """Connect to nothing yet. `headers` says what goes with a request: credentials, as now."""
        self._base = base.rstrip("/")
        self._headers = headers
        self._budget = budget
        self._breaker = breaker
        self._log = log
        self._timeouts = timeouts or Timeouts()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context() if base.startswith("https") else None,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=Network(),
        )

    async def close(self) -> None:
        """Let go of all connections."""
        await self._pool.aclose()

    async def ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, is_secret: bool = False
    ) -> Answer:
        """Ask without changing anything. Raises Unavailable, RateLimited; never InDoubt.

        A question with a body is a POST. What is said in one that is secret is not logged.
        """
        self._breaker.check()
        self._budget.spend(Urgency.QUESTION)
        method = "GET" if body is None else "POST"
        try:
            return await self._exchange(method, path, body, Departure(_allowed), is_secret)
        except InDoubt as error:
            raise Unavailable(f"no answer to a question: {error}") from error

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        check: Callable[[], None] = _allowed,
        urgency: Urgency = Urgency.ORDER,
    ) -> Answer:
        """Have something changed. `check` may raise, just before the first byte, to prevent it.

        Raises Unavailable or RateLimited where it was certainly not applied, InDoubt where it may
        have been, and whatever `check` raises. An answer of 5xx is InDoubt too.
        """
        if urgency is not Urgency.CANCEL:
            self._breaker.check()
        self._budget.spend(urgency)
        return await self._exchange(method, path, body, Departure(check))

    async def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        departure: Departure,
        is_secret: bool = False,  # noqa: FBT001, FBT002 - passed on
    ) -> Answer:
        content = None if body is None else encode(body)
        self._log.note("sent", f"{method} {path}", b"" if is_secret else content or b"")
        token = DEPARTURE.set(departure)
        try:
            answer = await self._request(method, path, content)
        except _FAILURES as error:
            self._breaker.failed()
            raise _failure(error, departure) from error
        else:
            said = b"" if is_secret else answer.body
            self._log.note("received", f"{answer.status} {method} {path}", said)
            return self._judged(answer)
        finally:
            DEPARTURE.reset(token)
            self._budget.finish()

    def _judged(self, answer: Answer) -> Answer:
        if answer.status >= _SERVER_ERROR:
            self._breaker.failed()
            raise InDoubt(f"the broker has failed with {answer.status}: {answer.text()}")
        self._breaker.succeeded()
        if answer.status == _TOO_MANY:
            raise self._budget.refused(answer.headers)
        self._budget.hear(answer.headers)
        return answer

    async def _request(self, method: str, path: str, content: bytes | None) -> Answer:
        request = self._made(method, path, content, self._timeouts.extension())
        response = await self._pool.handle_async_request(request)
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        return Answer(response.status, _headers(response), body)

    @asynccontextmanager
    async def stream(
        self, path: str, silence_s: float
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open an answer that does not end: its status, and its bytes as they come.

        Raises Unavailable, also from the bytes, and where none come for `silence_s`.
        """
        self._budget.spend(Urgency.QUESTION)
        request = self._made("GET", path, None, self._timeouts.extension(silence_s))
        try:
            response = await self._pool.handle_async_request(request)
        except _FAILURES as error:
            raise Unavailable(f"no stream: {error}") from error
        finally:
            self._budget.finish()
        try:
            yield response.status, _bytes(response)
        finally:
            await response.aclose()

    def _made(
        self, method: str, path: str, content: bytes | None, timeouts: Mapping[str, float]
    ) -> httpcore2.Request:
        headers = {"accept": "application/json", "user-agent": "drawbridge", **self._headers()}
        if content is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(content))}
        host = urlsplit(self._base).netloc
        return httpcore2.Request(
            method,
            self._base + path,
            headers=[("host", host), *headers.items()],
            content=content,
            extensions={"timeout": timeouts},
        )


_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ConnectionNotAvailable,
)


def _failure(error: Exception, departure: Departure) -> BrokerError:
    """Tell by what was written, not by the kind of failure, what it may have done."""
    what = f"{type(error).__name__} {error}".strip()
    if departure.has_left:
        return InDoubt(f"no answer after the request had left: {what}")
    return Unavailable(f"the request never left: {what}")


async def _read(response: httpcore2.Response) -> bytes:
    parts, size = [], 0
    async for part in _chunks(response):
        size += len(part)
        if size > _BODY_MAX:
            raise httpcore2.RemoteProtocolError(f"an answer of more than {_BODY_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


async def _bytes(response: httpcore2.Response) -> AsyncIterator[bytes]:
    try:
        async for part in _chunks(response):
            yield part
    except _FAILURES as error:
        raise Unavailable(f"the stream broke: {type(error).__name__} {error}") from error


def _chunks(response: httpcore2.Response) -> AsyncIterator[bytes]:
    return response.aiter_stream()


def _headers(response: httpcore2.Response) -> Mapping[str, str]:
    return {name.decode().lower(): value.decode() for name, value in response.headers}
