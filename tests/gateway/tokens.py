"""Tokens signed by the key of a data directory, at any time and for any user."""

import asyncio
from pathlib import Path

from gateway.system import SystemClock, TimeOrderedIds
from security.development import open_issuer
from trading.ids import UserID
from trading.permission import Permission
from trading.ports import Environment

SECOND_NS = 1_000_000_000


class Behind:
    """A clock that is so many seconds behind."""

    def __init__(self, seconds: int) -> None:
        """Take how far."""
        self._real, self._behind = SystemClock(), seconds * SECOND_NS

    def now(self) -> int:
        return self._real.now() - self._behind

    def monotonic(self) -> int:
        return self._real.monotonic() - self._behind

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def minted(
    directory: Path, user: str = "trader", *, issued_s_ago: int = 0, lifetime_s: int = 600
) -> str:
    """Sign a token with every scope, of which the user's role leaves its own."""
    issuer = open_issuer(
        directory,
        environment=Environment.SIM,
        host="127.0.0.1",
        clock=Behind(issued_s_ago),
        ids=TimeOrderedIds(SystemClock()),
    )
    return issuer.mint(UserID(user), list(Permission), lifetime_s=lifetime_s)
