"""The doorbell between processes: what was committed here is heard at once where it is dealt with.

A ring is a hint. It is sent once, conflated with those that came meanwhile, and dropped on any
trouble: relays and sessions look by themselves four times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from events.codec import Ring, encode
from events.relay import Bus, Relay
from events.shards import Shards
from trading.control import TradingStateChange
from trading.ids import AccountID
from trading.ports import Clock

logger = logging.getLogger(__name__)

REST_S = 0.01
HELD_MAX = 1024


class SharedDoorbell:
    """The Doorbell of one process among many: rings here, and where it must be heard elsewhere.

    Elsewhere hears of accounts that this process does not relay, and of brokers whose session it
    does not own.
    """

    def __init__(self, *, bus: Bus, relay: Relay, shards: Shards, clock: Clock) -> None:
        """Take its parts; nothing is sent before `run`."""
        self._bus, self._relay, self._shards, self._clock = bus, relay, shards, clock
        self._wakes: dict[str, Callable[[], None]] = {}
        self._accounts: set[AccountID] = set()
        self._brokers: set[str] = set()
        self._has_rung = asyncio.Event()

    def answer(self, broker: str, wake: Callable[[], None]) -> None:
        """Have this process, which runs the broker's session, wake it when somebody rings."""
        self._wakes[broker] = wake

    def ring(self, accounts: Collection[AccountID]) -> None:
        """Say that these accounts have new reports. Never blocks, never fails."""
        self._relay.ring(accounts)
        self._hold(self._accounts, {each for each in accounts if not self._shards.has(each)})

    def ring_states(self, changes: Sequence[TradingStateChange]) -> None:
        """Say that trading states changed: the relay here sends that itself, and sees to it."""
        self._relay.ring_states(changes)

    def ring_session(self, broker: str) -> None:
        """Say that a broker's session, wherever it runs, has QUEUED commands. Never blocks."""
        if (wake := self._wakes.get(broker)) is not None:
            wake()
        else:
            self._hold(self._brokers, {broker})

    def _hold[T](self, held: set[T], rung: set[T]) -> None:
        if rung and len(held) < HELD_MAX:
            held |= rung
            self._has_rung.set()

    def hear(self, ring: Ring) -> None:
        """Take in that another process rang."""
        if ring.accounts:
            self._relay.ring(ring.accounts)
        for broker in ring.brokers:
            if (wake := self._wakes.get(broker)) is not None:
                wake()

    async def run(self) -> None:
        """Send rings until canceled."""
        is_failing = False
        while True:
            await self._has_rung.wait()
            try:
                await self._bus.publish(Ring.channel, self._take())
                is_failing = False
            except Exception as error:  # noqa: BLE001 - a hint may be lost, whatever the reason
                if not is_failing:
                    logger.warning("doorbells are not heard elsewhere: %s", error)
                is_failing = True
            await self._clock.sleep(REST_S)

    def _take(self) -> bytes:
        self._has_rung.clear()
        ring = Ring(tuple(sorted(self._accounts)), tuple(sorted(self._brokers)))
        self._accounts.clear()
        self._brokers.clear()
        return encode(ring)
