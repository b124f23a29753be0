"""The journal of emergency cancels: a local file of lines, each on the disk before it is used."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from trading.emergency import EmergencyCancel
from trading.ids import AccountID, ClOrdID, OrderID, WireID

logger = logging.getLogger(__name__)

_OF = "@"


class FileEmergencyJournal:
    """Implements `trading.emergency.EmergencyJournal`: a file for each process, locked in its life.

    A process also takes over the files of those that have ended in the same directory, where they
    are of the same database, or of a release that did not say of which.
    """

    def __init__(self, directory: Path, process: str, database: str) -> None:
        """Make this process's file, for a database by its identity. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._database = directory, database
        self._path = directory / f"emergency-{process}{_OF}{database}.jsonl"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._orphans: dict[Path, int] = {}

    async def append(self, entry: EmergencyCancel) -> None:
        """Write a line, durable when this returns. Raises OSError."""
        await asyncio.to_thread(self._append, entry)

    def _append(self, entry: EmergencyCancel) -> None:
        os.write(self._fd, json.dumps(asdict(entry)).encode() + b"\n")
        os.fsync(self._fd)
        # The file itself must be found again: its name is the directory's to keep.
        parent = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    async def entries(self) -> Sequence[EmergencyCancel]:
        """Return the lines of this process, and of those before it that have ended."""
        return await asyncio.to_thread(self._entries)

    def _entries(self) -> Sequence[EmergencyCancel]:
        for path in sorted(self._directory.glob("emergency-*.jsonl")):
            if path != self._path and path not in self._orphans and self._is_ours(path):
                self._adopt(path)
        paths = [*self._orphans, self._path]
        return [entry for path in paths for entry in _read(path)]

    def _is_ours(self, path: Path) -> bool:
        # Another database has none of its orders, and would strike the lines out as done with.
        _, of, database = path.stem.partition(_OF)
        return not of or database == self._database

    def _adopt(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)  # Its process lives, and will read it in by itself.
            return
        self._orphans[path] = fd

    async def forget(self, entries: Collection[EmergencyCancel]) -> None:
        """Strike out lines that the store has now."""
        await asyncio.to_thread(self._forget, set(entries))

    def _forget(self, known: set[EmergencyCancel]) -> None:
        for path, fd in list(self._orphans.items()):
            if set(_read(path)) <= known:
                path.unlink(missing_ok=True)
                os.close(fd)
                del self._orphans[path]
        # What was written meanwhile stays: the file is emptied only if it holds nothing else.
        if set(_read(self._path)) <= known:
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the files; one that is empty is removed."""
        if self._path.exists() and self._path.stat().st_size == 0:
            self._path.unlink()
        for fd in (self._fd, *self._orphans.values()):
            os.close(fd)


def _read(path: Path) -> list[EmergencyCancel]:
    """Read the lines that are whole; a torn last one was never used."""
    entries = []
    for line in path.read_bytes().splitlines():
        try:
            entries.append(_entry(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            logger.exception("%s has a line that cannot be read: %r", path, line)
    return entries


def _entry(line: dict[str, str | int | None]) -> EmergencyCancel:
    orig = line["orig_cl_ord_id"]
    return EmergencyCancel(
        account_id=AccountID(str(line["account_id"])),
        cl_ord_id=ClOrdID(str(line["cl_ord_id"])),
        body_hash=str(line["body_hash"]),
        order_id=OrderID(str(line["order_id"])),
        order_wire_id=WireID(str(line["order_wire_id"])),
        orig_cl_ord_id=None if orig is None else ClOrdID(str(orig)),
        wire_id=WireID(str(line["wire_id"])),
        asked_at=int(line["asked_at"] or 0),
    )
