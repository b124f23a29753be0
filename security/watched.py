"""A file of keys that is read again when it changes, and made where there is none."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)


class KeysRefused(Exception):
    """The keys cannot be used; the words name the file and the remedy."""


class WatchedKeys[T]:
    """The keys in a file as they are now; one that is no good leaves the keys as they were."""

    def __init__(self, file: Path, read: Callable[[Path], T]) -> None:
        """Read the file. `read` raises KeysRefused, and so does this."""
        self.file = file
        self._read = read
        self._seen: tuple[int, ...] = ()
        self._keys = self._fresh()

    def now(self) -> T:
        """Return the keys, read again where the file has changed."""
        try:
            self._keys = self._fresh()
        except KeysRefused as refused:
            logger.warning("the keys of before are used: %s", refused)
        return self._keys

    def _fresh(self) -> T:
        try:
            state = self.file.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            found = self._keys if seen == self._seen else self._read(self.file)
        except OSError as error:
            raise KeysRefused(f"{self.file} cannot be read ({error.strerror})") from None
        self._seen = seen
        return found


def check_private(file: Path) -> None:
    """Raise KeysRefused for a file that everybody may read."""
    if stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH:
        raise KeysRefused(f"everybody may read {file}: take that right away")


def write_once(file: Path, text: str) -> None:
    """Write a file whole, for its owner alone, unless there is one.

    Processes start together: the first to link its own decides.
    """
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()
