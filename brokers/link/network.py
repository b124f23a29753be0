"""TCP and TLS under HTTP, where the permit stands in the very call that writes the first byte.

The network backends that come with httpcore2 yield to the loop before they write, so that a gate
which closes in that moment would close behind an order. This one does not.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import httpcore2


class Departure:
    """One request on its way: whether a byte of it has left, and what must allow the first."""

    def __init__(self, check: Callable[[], None]) -> None:
        """Take what is asked just before the first byte; it raises to have nothing leave."""
        self._check = check
        self.has_left = False

    def leave(self) -> None:
        """Allow a write: the first one asks."""
        if not self.has_left:
            self._check()
            self.has_left = True


DEPARTURE: ContextVar[Departure | None] = ContextVar("departure", default=None)
"""The request that this task writes; None while a connection is made, which is no request."""


class Stream(httpcore2.AsyncNetworkStream):
    """A connection over asyncio's own transport, whose write is synchronous up to the kernel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take both directions."""
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read some bytes; none at the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(f"nothing came for {timeout} s") from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write; the departure is asked in the same turn of the loop."""
        if not buffer:
            return
        if self._writer.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        if (departure := DEPARTURE.get()) is not None:
            departure.leave()
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(f"nothing was taken for {timeout} s") from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Encrypt from here on."""
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"no TLS within {timeout} s") from error
        except OSError as error:  # ssl.SSLError among them
            raise httpcore2.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """Answer what the pool asks: whether an idle connection has something to say."""
        match info:
            case "ssl_object":
                return self._writer.get_extra_info("ssl_object")
            case "is_readable":
                # An idle connection that says something, or has ended, is of no more use.
                return self._reader.at_eof() or self._writer.is_closing()
            case _:
                return self._writer.get_extra_info(info)


class Network(httpcore2.AsyncNetworkBackend):
    """Makes connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect. Raises ConnectTimeout, ConnectError: no byte of a request has left."""
        del local_address, socket_options
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"no connection within {timeout} s") from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        if (plain := writer.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Stream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts to connect; there is but one."""
        await asyncio.sleep(seconds)
