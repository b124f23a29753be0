"""Answers: the broker's first word on commands whose session another process owns."""

from __future__ import annotations

import asyncio
import logging

from trading.command import CommandState
from trading.ids import WireID
from trading.ports import Clock
from trading.store import Store, StoreUnavailable

logger = logging.getLogger(__name__)

_LOOK_S = 0.1
_WAITING = frozenset({CommandState.QUEUED, CommandState.SENT})


class Answers:
    """Looks into the ledger for as long as somebody waits, with one query for all of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take the store that the owner records in."""
        self._store = store
        self._clock = clock
        self._waiting: dict[WireID, list[asyncio.Future[None]]] = {}
        self._somebody = asyncio.Event()

    def expect(self, wire_id: WireID) -> asyncio.Future[None]:
        """Return a future that is done when the broker's first word on a command is recorded."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(wire_id, []).append(future)
        self._somebody.set()
        return future

    async def run(self) -> None:
        """Look until canceled; rest while nobody waits."""
        while True:
            await self._somebody.wait()
            self._forget_the_gone()
            if not self._waiting:
                self._somebody.clear()
                continue
            try:
                states = await self._store.command_states(list(self._waiting))
            except StoreUnavailable as error:
                logger.warning("the ledger does not answer: %s", error)
                states = {}
            for wire_id, state in states.items():
                if state not in _WAITING:
                    self._tell(wire_id)
            await self._clock.sleep(_LOOK_S)

    def _forget_the_gone(self) -> None:
        for wire_id, futures in list(self._waiting.items()):
            if all(future.done() for future in futures):
                del self._waiting[wire_id]

    def _tell(self, wire_id: WireID) -> None:
        for future in self._waiting.pop(wire_id, []):
            if not future.done():
                future.set_result(None)
