"""The halt file: closes this process's permits while it is there, also while the store is down."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from trading.account import TradingState
from trading.controller import ControlDesk
from trading.ids import UserID
from trading.permit import Permits
from trading.ports import Clock
from trading.scope import Scope, ScopeKind
from trading.store import StoreUnavailable

logger = logging.getLogger(__name__)

LOOK_S = 0.1
RECORD_S = 1.0
_BY = UserID("halt-file")
_REASON_MAX = 500
_NAME = "HALT"


def halt_file(data: Path) -> Path:
    """Name the file of a data directory whose presence halts its gateways."""
    return data / _NAME


@dataclass(slots=True, kw_only=True)
class HaltFile:
    """Looks for a file ten times a second, and closes the permits the moment it is there.

    It is recorded as a halt of all as soon as the store can be had, and stands then until two
    people have released it; the permits open again when the file is gone and that is recorded.
    """

    path: Path
    permits: Permits
    control: ControlDesk
    clock: Clock
    _unrecorded: str | None = field(default=None, init=False)
    _is_there: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Look until canceled."""
        tried_at = -int(RECORD_S * 1_000_000_000)
        while True:
            self.look()
            now = self.clock.monotonic()
            if self._unrecorded is not None and now - tried_at >= RECORD_S * 1_000_000_000:
                tried_at = now
                await self._record(self._unrecorded)
            await self.clock.sleep(LOOK_S)

    def look(self) -> None:
        """See if the file is there; one that cannot be looked at counts as there."""
        reason = _reason(self.path)
        if reason is not None and not self._is_there:
            logger.warning("halted by the file %s: %s", self.path, reason)
            self._unrecorded = reason
            self.permits.halt(f"the file {self.path}")
        self._is_there = reason is not None
        if not self._is_there and self._unrecorded is None:
            self.permits.resume()

    async def _record(self, reason: str) -> None:
        try:
            await self.control.tighten(Scope(ScopeKind.ALL), TradingState.HALTED, reason, _BY)
            self._unrecorded = None
        except StoreUnavailable as error:
            logger.warning("the halt by the file %s is not recorded yet: %s", self.path, error)


def _reason(path: Path) -> str | None:
    try:
        text = path.read_bytes()[:_REASON_MAX].decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    words = "".join(each if each.isprintable() else " " for each in text).strip()
    return words or f"the file {path.name} was there"
