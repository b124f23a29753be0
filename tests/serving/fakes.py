"""A line that a test opens and shuts, and a source that says what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Hashable
from typing import Any

from serving.hub import Item, SourceFailed
from serving.mailbox import Mailbox


class FakeLine:
    """A line whose peer reads only while it is open."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.is_writable = True
        self.left: int | None = None
        """How many frames it takes before it shuts; None is all."""
        self.written: list[bytes] = []
        self.ended: list[tuple[int, str]] = []

    def write(self, framed: bytes) -> None:
        if self.ended:
            return
        self.written.append(framed)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.shut()

    def end(self, code: int, reason: str) -> None:
        self.ended.append((code, reason))

    def shut(self) -> None:
        self.is_writable = False

    def open(self, frames: int | None = None) -> None:
        self.is_writable, self.left = True, frames
        if self.on_writable is not None:
            self.on_writable()

    def messages(self) -> list[Any]:
        """Take what was written, as the peer reads it."""
        taken, self.written = self.written, []
        return [json.loads(message_of(framed)) for framed in taken]


def message_of(framed: bytes) -> bytes:
    """Unpack a text frame of a server."""
    assert framed[0] == 0x81
    extended = {126: 2, 127: 8}.get(framed[1], 0)
    head = 2 + extended
    length = int.from_bytes(framed[2:head]) if extended else framed[1]
    assert len(framed) == head + length
    return framed[head:]


def item(seq: int | None, value: Any = None, slot: Hashable = None) -> Item:
    body = json.dumps({"data": seq if value is None else value}).encode()
    return Item(body + b"}", seq, slot)


class FakeSource:
    """A log that a test writes to, followed as often as it is asked to.

    A number in `passed` is one of which nobody is told.
    """

    def __init__(self, head: int | None = 0, passed: frozenset[int] = frozenset()) -> None:
        self.log: list[Item] = []
        self.base = head or 0
        self.has_log = head is not None
        self.passed = passed
        self.followed: list[int | None] = []
        self.open = 0
        self.failure: Exception | None = None
        self.is_over = False
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        return self.base + len(self.log)

    def say(self, value: Any = None, slot: Hashable = None) -> None:
        seq = self.last + 1 if self.has_log else None
        self.log.append(item(seq, value, slot))
        self._ring()

    def end(self, failure: Exception | None = None) -> None:
        self.is_over, self.failure = True, failure
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def head(self) -> int | None:
        await asyncio.sleep(0)
        return self.last if self.has_log else None

    async def items(
        self, after_seq: int | None, followers: Callable[[], int]
    ) -> AsyncGenerator[Item, None]:
        del followers
        self.followed.append(after_seq)
        self.open += 1
        at = len(self.log) if after_seq is None else after_seq - self.base
        try:
            while not self.is_over:
                if at >= len(self.log):
                    await self._news.wait()
                    continue
                said = self.log[at]
                at += 1
                await asyncio.sleep(0)
                yield Item(None, said.seq) if said.seq in self.passed else said
            if self.failure is not None:
                raise self.failure
        finally:
            self.open -= 1


FAILED = SourceFailed([{"message": "gone"}])


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


def mailbox(line: FakeLine, **limits: Any) -> Mailbox:
    return Mailbox(line, on_overflow=lambda cursors: line.end(4290, json.dumps(cursors)), **limits)
