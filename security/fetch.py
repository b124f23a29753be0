"""What is asked of an identity provider over HTTPS: small JSON documents, soon or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2
import orjson

from security.url import is_private

ANSWER_WITHIN_S = 5.0
BODY_MAX = 262_144
CONNECTIONS_MAX = 16


class IssuerUnavailable(Exception):
    """The identity provider does not answer, or not what it should; it says what was asked."""


class Fetch(Protocol):
    """How an identity provider is asked."""

    async def get(self, url: str) -> Mapping[str, Any]:
        """Return the JSON object at a URL. Raises IssuerUnavailable."""

    async def post(
        self, url: str, form: Mapping[str, str], client: tuple[str, str]
    ) -> Mapping[str, Any]:
        """Send a form as a client with its secret; return the object. Raises IssuerUnavailable."""


class HttpFetch:
    """Implements Fetch. It follows no redirect, and heeds no proxy variables."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        """Take a client; `opened` makes one."""
        self._client = client

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[HttpFetch]:
        """Open connections as they are needed; close them on the exit."""
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX)
        async with httpx2.AsyncClient(
            timeout=ANSWER_WITHIN_S, limits=limits, trust_env=False
        ) as client:
            yield cls(client)

    async def get(self, url: str) -> Mapping[str, Any]:
        """Return the JSON object at a URL."""
        return await self._ask(self._client.build_request("GET", url))

    async def post(
        self, url: str, form: Mapping[str, str], client: tuple[str, str]
    ) -> Mapping[str, Any]:
        """Send a form, with HTTP Basic (RFC 6749, 2.3.1)."""
        request = self._client.build_request("POST", url, data=dict(form))
        return await self._ask(request, httpx2.BasicAuth(*client))

    async def _ask(
        self, request: httpx2.Request, auth: httpx2.Auth | None = None
    ) -> Mapping[str, Any]:
        url = request.url
        if not is_private(str(url)):
            raise IssuerUnavailable(f"{url} is neither https nor on this machine")
        request.headers["accept"] = "application/json"
        try:
            response = await self._client.send(request, auth=auth, stream=True)
            try:
                body = await _body(response)
            finally:
                await response.aclose()
            found = orjson.loads(body)
        except (httpx2.HTTPError, ValueError) as error:
            raise IssuerUnavailable(f"{url} gave no answer: {error!r}") from error
        if response.status_code != httpx2.codes.OK or not isinstance(found, dict):
            raise IssuerUnavailable(f"{url} answered with {response.status_code}")
        return found


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > BODY_MAX:
            raise ValueError(f"it is larger than {BODY_MAX} bytes")
    return bytes(body)
