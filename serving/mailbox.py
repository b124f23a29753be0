"""What one socket has yet to be sent: bounded in number and bytes, whatever its reader does.

Everything that goes to a socket goes through its mailbox, in turn. While the line takes frames they
are written at once and nothing is held; no task stands between who has something to say and the
transport. Quotes and other latest values take the place of the one that still waits; reports wait
in line, and a reader that leaves too many waiting is cut off with its cursors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

IN_LINE_MAX = 1_000
HELD_BYTES_MAX = 1024 * 1024


class Line(Protocol):
    """The way to a peer. None of it waits."""

    on_writable: Callable[[], None] | None
    """Called when the line takes frames again, and when it is lost."""

    @property
    def is_writable(self) -> bool:
        """Whether it takes more without piling it up."""

    def write(self, framed: bytes) -> None:
        """Write a whole frame; after the end it is dropped."""

    def end(self, code: int, reason: str) -> None:
        """Close, and abort if the peer does not answer in time."""


@dataclass(slots=True, eq=False)
class Sender:
    """An operation as its mailbox knows it; `cursor` is the last report that was written."""

    id: str
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait: messages that wait in line, and bytes of all."""

    in_line: int = IN_LINE_MAX
    held_bytes: int = HELD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class _Held:
    frame: bytes
    sender: Sender | None
    seq: int | None


@dataclass(slots=True, eq=False)
class Mailbox:
    """One socket's mailbox. `on_overflow` is called once, with the cursors, when it is over full.

    After that, and after `close`, everything is dropped.
    """

    line: Line
    on_overflow: Callable[[Mapping[str, int]], None]
    limits: Limits = field(default_factory=Limits)
    is_open: bool = True
    _held: dict[Hashable, _Held] = field(default_factory=dict)
    _bytes: int = 0
    _in_line: int = 0
    _turns: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Go on whenever the line does."""
        self.line.on_writable = self.flush

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held, and what comes is written at once."""
        return not self._held and self.line.is_writable

    def put(
        self,
        framed: bytes,
        sender: Sender | None = None,
        *,
        seq: int | None = None,
        slot: Hashable = None,
    ) -> None:
        """Send a frame in its turn; one with a slot replaces what waits in that slot."""
        if self._held or not self.line.is_writable:
            if self.is_open:
                self._hold(framed, sender, seq, slot)
            return
        self.line.write(framed)
        if seq is not None and sender is not None:
            sender.cursor = seq

    def _hold(self, framed: bytes, sender: Sender | None, seq: int | None, slot: Hashable) -> None:
        self._turns += 1
        key = self._turns if slot is None else (sender, slot)
        before = self._held.get(key)
        self._held[key] = _Held(framed, sender, seq)
        self._bytes += len(framed) - (len(before.frame) if before else 0)
        self._in_line += slot is None
        if self._in_line > self.limits.in_line or self._bytes > self.limits.held_bytes:
            cursors = self._cursors()
            self.close()
            self.on_overflow(cursors)

    def _drop(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            self._bytes -= len(self._held.pop(key).frame)
            self._in_line -= isinstance(key, int)

    def _cursors(self) -> dict[str, int]:
        senders = {held.sender for held in self._held.values() if held.seq is not None}
        return {each.id: each.cursor or 0 for each in senders if each is not None}

    def flush(self) -> None:
        """Write what is held, as far as the line takes it."""
        written = []
        for key, held in self._held.items():
            if not self.line.is_writable:
                break
            self.line.write(held.frame)
            if held.sender is not None and held.seq is not None:
                held.sender.cursor = held.seq
            written.append(key)
        self._drop(written)
        self._room.set()

    def forget(self, sender: Sender) -> None:
        """Drop what an operation has waiting: it is over, and its id may be used anew."""
        self._drop([key for key, held in self._held.items() if held.sender is sender])

    def close(self) -> None:
        """Drop everything, now and from now on, and let nobody wait."""
        self.is_open = False
        self._held.clear()
        self._bytes = self._in_line = 0
        self._room.set()

    async def room(self) -> None:
        """Wait until nothing is held: for who can wait, as the reader of a log can."""
        while self.is_open and not self.is_empty:
            self._room.clear()
            await self._room.wait()
