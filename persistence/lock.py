"""The lock on a data directory: one process at a time, for as long as it lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from persistence.errors import StoreRefused

_PRIVATE = 0o700


class DirectoryLock:
    """Held from its making on; the operating system lets go of it when the process dies."""

    def __init__(self, directory: Path) -> None:
        """Make the directory where it is missing, and lock it.

        Raises StoreRefused where it cannot be written to, or another process holds it.
        """
        try:
            directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreRefused(
                f"the data directory {directory} cannot be written to ({error.strerror}):"
                " make it writable, or choose another with --data"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise StoreRefused(
                f"the data directory {directory} is in use by another process:"
                " stop that one, or choose another with --data"
            ) from error

    def release(self) -> None:
        """Let go."""
        os.close(self._file)
