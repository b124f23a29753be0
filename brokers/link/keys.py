"""A broker's key in a mounted folder, which is replaced while it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trading.ports import Clock, Unauthorized

logger = logging.getLogger(__name__)

SETTLED_S = 1.0
"""How long no file of a folder changes before they are taken for one key: they come one by one."""

type _State = frozenset[tuple[str, int, int, int]]


class Key[C](Protocol):
    """Where an adapter asks for its credentials, for each request and each login."""

    def now(self) -> C:
        """Return the credentials as they are now."""


class MountedKey[C]:
    """The credentials in a folder, read again when its files have changed and settled.

    The former are used until then, and on where the new ones are no good: so a key is rotated while
    the broker takes both.
    """

    def __init__(
        self, folder: Path, read: Callable[[Path], C], check: Callable[[C], object], clock: Clock
    ) -> None:
        """Read the folder. `read` and `check` raise Unauthorized, and so does this."""
        self._folder, self._read, self._check, self._clock = folder, read, check, clock
        self._taken = self._state()
        self._last = self._checked()
        self._seen, self._since = self._taken, 0

    def now(self) -> C:
        """Return the credentials as they are now."""
        state = self._state()
        if state != self._seen:
            self._seen, self._since = state, self._clock.monotonic()
        elif state != self._taken and self._has_settled():
            self._take(state)
        return self._last

    def _has_settled(self) -> bool:
        return self._clock.monotonic() >= self._since + int(SETTLED_S * 1_000_000_000)

    def _take(self, state: _State) -> None:
        self._taken = state
        try:
            self._last = self._checked()
        except Unauthorized as refused:
            logger.warning("the key of before is used: %s", refused)
        else:
            logger.info("the key in %s has changed, and is used from now on", self._folder)

    def _checked(self) -> C:
        found = self._read(self._folder)
        self._check(found)
        return found

    def _state(self) -> _State:
        """Tell one version of the folder from another, at the cost of looking at its files."""
        try:
            files = [(each.name, each.stat()) for each in self._folder.iterdir()]
        except OSError:
            return frozenset()
        return frozenset((name, one.st_ino, one.st_mtime_ns, one.st_size) for name, one in files)
