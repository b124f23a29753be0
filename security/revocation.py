"""Revocations reach what is open: sockets, and callers that are known again without a look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from trading.ids import UserID
from trading.ports import Clock
from trading.store import StoreUnavailable

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How late a revocation by another process is felt."""


class Revoked(Protocol):
    """Where revocations are kept."""

    async def revoked(self) -> Mapping[UserID, int]:
        """Return every user with revoked tokens, and before when. Raises StoreUnavailable."""


class RevocationWatch:
    """Looks for revocations, and tells of each once."""

    def __init__(self, revoked: Revoked, clock: Clock) -> None:
        """Take where to look."""
        self._revoked, self._clock = revoked, clock
        self._known: Mapping[UserID, int] = {}
        self._told: list[Callable[[UserID], None]] = []

    def tell(self, hear: Callable[[UserID], None]) -> None:
        """Have somebody told of each user whose tokens were revoked; first comes first."""
        self._told.append(hear)

    async def run(self) -> None:
        """Look each second, until canceled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                logger.debug("revocations cannot be read: %s", error)
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once. Raises StoreUnavailable."""
        found = await self._revoked.revoked()
        changed = [each for each, before in found.items() if self._known.get(each) != before]
        self._known = found
        for user_id in changed:
            for hear in self._told:
                hear(user_id)
