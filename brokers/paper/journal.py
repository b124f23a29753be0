"""The exchange's journal: an append-only file of JSON lines, durable before anybody is told.

What comes in while one batch is being written makes up the next: one write and one fsync each, in
one worker thread. The file is also the queue of events: readers go through it, never past what is
durable, so that nothing has to be kept in memory for a reader who is behind. One who is level, as
most are, gets the last entries as they were added.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import orjson

from brokers.paper.codec import decode, encode
from brokers.paper.messages import Entry
from trading.ports import Environment

_KIND, _VERSION = "paper exchange", 2
_READ_LINES = 256
_KEPT = 1024

logger = logging.getLogger(__name__)


class JournalError(Exception):
    """The journal cannot be used: the exchange must not start, or must stop."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a journal is marked with for good: the id of its exchange, and its environment."""

    exchange: str
    environment: Environment


class Journal:
    """An open journal, locked against other processes until it is closed."""

    def __init__(self, path: Path, restore: Callable[[Entry], None], stamp: Stamp) -> None:
        """Open a journal and restore every entry of it, or begin one with this stamp.

        Raises JournalError if another process has it, if it belongs to another environment, or if
        it is broken anywhere but in a torn last line, which nobody was told of and which is cut
        off.
        """
        self._path = path
        self.stamp = stamp
        self._fd = _open_locked(path)
        try:
            self._offsets = array("q")
            self._lasts = array("q")
            self._end = self._load(restore)
        except BaseException:
            os.close(self._fd)
            raise
        self._durable = len(self._offsets)
        self._pending: list[bytes] = []
        self._recent: deque[Entry] = deque(maxlen=_KEPT)
        self._writer = ThreadPoolExecutor(1, "paper-journal")
        self._flushing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._failure: OSError | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def failed(self) -> bool:
        """Whether a write failed, after which nothing more can be promised."""
        return self._failure is not None

    @property
    def last_number(self) -> int:
        """The number of the last event, durable or about to be."""
        return self._lasts[-1] if self._lasts else 0

    # --- writing ---

    def append(self, entry: Entry) -> None:
        """Add an entry, to be durable with the next batch. Needs a running event loop."""
        line = encode(entry)
        self._offsets.append(self._end)
        self._lasts.append(entry.events[-1].number)
        self._end += len(line)
        self._pending.append(line)
        self._recent.append(entry)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def flushed(self) -> None:
        """Wait until all that was added is durable. Raises JournalError if it will not be."""
        lines = len(self._offsets)
        while self._durable < lines:
            if self._failure is not None:
                raise JournalError(f"{self._path} cannot be written: {self._failure}")
            await self._moved.wait()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending and self._failure is None:
            batch, lines = b"".join(self._pending), len(self._offsets)
            self._pending.clear()
            try:
                await loop.run_in_executor(self._writer, _write, self._fd, batch)
            except OSError as error:
                logger.exception("%s cannot be written; the exchange has stopped", self._path)
                self._failure = error
            else:
                self._durable = lines
            self._wake()

    async def close(self) -> None:
        """Write what is left, end all readers, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(JournalError):
            await self.flushed()
        self._writer.shutdown()
        os.close(self._fd)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # --- reading ---

    def line_after(self, number: int) -> int:
        """Return the index of the first line with an event beyond this number."""
        return bisect_right(self._lasts, number)

    async def reached(self, line: int) -> bool:
        """Wait until a line is there and durable; False if the journal was closed instead."""
        while self._durable <= line and not self._closed:
            await self._moved.wait()
        return not self._closed

    def read(self, line: int) -> Sequence[Entry]:
        """Return durable entries from a line on, some at a time."""
        lines = min(self._durable, line + _READ_LINES)
        if (first := line - len(self._offsets) + len(self._recent)) >= 0:
            return list(islice(self._recent, first, first + lines - line))
        bounds = [*self._offsets[line : lines + 1]]
        if lines == len(self._offsets):
            bounds.append(self._end)
        data = os.pread(self._fd, bounds[-1] - bounds[0], bounds[0])
        return [decode(data[a - bounds[0] : b - bounds[0]]) for a, b in pairwise(bounds)]

    # --- loading ---

    def _load(self, restore: Callable[[Entry], None]) -> int:
        """Restore the file's entries, and return where the next one goes."""
        end = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    logger.warning("%s: cut off its torn line %d", self._path, number)
                    break
                self._load_line(number, line, end, restore)
                end += len(line)
        os.ftruncate(self._fd, end)
        if end == 0:
            end = _begin(self._path, self._fd, self.stamp)
        return end

    def _load_line(
        self, number: int, line: bytes, offset: int, restore: Callable[[Entry], None]
    ) -> None:
        try:
            if number == 1:
                self.stamp = _read_stamp(line, self.stamp.environment)
                return
            entry = decode(line)
            restore(entry)
        except ValueError as error:
            raise JournalError(
                f"{self._path}, line {number}: {error}. Restore the file from a copy, or move it"
                " away to begin an empty exchange"
            ) from None
        self._offsets.append(offset)
        self._lasts.append(entry.events[-1].number)


def _open_locked(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise JournalError(
            f"{path} is in use by another process: stop that one, or use another data directory"
        ) from None
    return fd


def _begin(path: Path, fd: int, stamp: Stamp) -> int:
    """Write the header of a new journal, and make its name durable too."""
    marks = {"exchange": stamp.exchange, "environment": stamp.environment}
    header = orjson.dumps({"journal": _KIND, "version": _VERSION, **marks}) + b"\n"
    _write(fd, header)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return len(header)


def _read_stamp(line: bytes, environment: Environment) -> Stamp:
    match orjson.loads(line):
        case {"journal": "paper exchange", "version": 2, "exchange": str(exchange), **rest}:
            if rest.get("environment") != environment:
                raise ValueError(
                    f"it belongs to the environment {rest.get('environment')}, not {environment}"
                )
            return Stamp(exchange, environment)
        case {"journal": "paper exchange", "version": int(version)} if version != _VERSION:
            raise ValueError(
                f"written in version {version}, where this program reads version {_VERSION}"
            )
        case _:
            raise ValueError("not the journal of a paper exchange")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)
