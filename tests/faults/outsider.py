"""Somebody else at the database: sessions that hold what the gateways need."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from tests.events.services import BOUND_S


class Outsider:
    """Connections to one database, each in a transaction, worked from a thread of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outsider")
        self._thread.start()
        self._held: list[asyncpg.Connection[Any]] = []

    def wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND_S)

    def run(self, *statements: str) -> None:
        """Begin a transaction where there is none, and run statements in it."""
        if not self._held:
            self.take()
            self.wait(self._held[0].execute("BEGIN"))
        for statement in statements:
            self.wait(self._held[0].execute(statement))

    def take(self) -> None:
        """Take one more connection. Raises asyncpg.TooManyConnectionsError."""
        self._held.append(self.wait(asyncpg.connect(self.url, timeout=BOUND_S)))

    def take_all(self) -> None:
        """Take connections until there is none left."""
        try:
            while True:
                self.take()
        except asyncpg.TooManyConnectionsError:
            return

    def rows(self, query: str) -> list[asyncpg.Record]:
        """Ask over the first connection."""
        found: list[asyncpg.Record] = self.wait(self._held[0].fetch(query))
        return found

    @property
    def pid(self) -> int:
        """The server's number for the first connection."""
        number: int = self._held[0].get_server_pid()
        return number

    def end(self) -> None:
        """Roll back, and let go of all connections."""
        while self._held:
            self.wait(self._held.pop().close())

    def close(self) -> None:
        self.end()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND_S)
        self._loop.close()


@contextmanager
def outside(url: str) -> Iterator[Outsider]:
    """Let somebody in, and see him out."""
    outsider = Outsider(url)
    try:
        yield outsider
    finally:
        outsider.close()
