"""Texts in mounted files that are replaced while they are used: addresses with passwords."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)


class Mounted(str):  # noqa: SLOT000 - it keeps where it lies
    """The text of a file as it was when it was first read; `now` reads it again.

    Whoever connects asks for it as it is now. What cannot be read, or is no good, leaves what was
    good before: a file may be looked at in the middle of being replaced.
    """

    file: Path
    _check: Callable[[str], object]
    _last: str
    _seen: tuple[int, ...]

    @classmethod
    def of(cls, file: Path, check: Callable[[str], object]) -> Self:
        """Read a file. Raises OSError, and ValueError as the check does."""
        seen, text = _version(file), _read(file)
        check(text)
        mounted = cls(text)
        mounted.file, mounted._check = file, check
        mounted._last, mounted._seen = text, seen
        return mounted

    def now(self) -> str:
        """Return the text as it is in the file now."""
        try:
            seen = _version(self.file)
            if seen != self._seen:
                self._last, self._seen = self._fresh(), seen
        except (OSError, ValueError):
            logger.warning("%s is no good now: what was in it before is used", self.file)
        return self._last

    def _fresh(self) -> str:
        text = _read(self.file)
        self._check(text)
        logger.info("%s has changed, and is used from now on", self.file)
        return text


def now(text: str) -> str:
    """Return a text as it is now: one that lies in no file stays as it is."""
    return text.now() if isinstance(text, Mounted) else text


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _version(file: Path) -> tuple[int, ...]:
    """Tell one version of a file from another, at the cost of looking at it on each request."""
    state = file.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size
