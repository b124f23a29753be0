"""Which part of the outbox this process relays: one lease for each shard, taken where it is free.

Two relays of one shard, as when a lease ran out under a frozen process, do no harm but work:
consumers drop what they have by (account, seq).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from events.relay import OutboxRow
from trading.ids import AccountID
from trading.ports import Clock
from trading.store import SHARDS, Leases, StoreUnavailable, shard_of

logger = logging.getLogger(__name__)

TTL_S = 6.0
BEAT_S = 2.0
RELEASE_WITHIN_S = 1.0


class ShardedOutbox(Protocol):
    """The outbox of all processes, of which each reads a part."""

    async def pending(
        self, limit: int, shards: Collection[int] | None = None
    ) -> Sequence[OutboxRow]:
        """Return the oldest rows of these shards, or of all, that are not published, in order."""

    async def published(self, ids: Collection[int]) -> None:
        """Mark rows as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lease:
    epoch: int
    until: int


class Shards:
    """The shards that this process holds. It lets go of each before another may take it."""

    def __init__(self, *, leases: Leases, clock: Clock, process: str) -> None:
        """Take the leases; none is held before `run`."""
        self._leases, self._clock, self._process = leases, clock, process
        self._held: dict[int, _Lease] = {}

    @property
    def held(self) -> frozenset[int]:
        """The shards whose lease still runs."""
        now = self._clock.monotonic()
        return frozenset(shard for shard, lease in self._held.items() if now < lease.until)

    def has(self, account_id: AccountID) -> bool:
        """Whether this process relays an account."""
        lease = self._held.get(shard_of(account_id))
        return lease is not None and self._clock.monotonic() < lease.until

    async def run(self) -> None:
        """Take and renew leases until canceled, then give them up."""
        is_failing = False
        try:
            while True:
                try:
                    for shard in range(SHARDS):
                        await self._keep(shard)
                    is_failing = False
                except Exception as error:  # noqa: BLE001 - whatever it is, the leases are kept
                    if not is_failing:
                        _tell(error, "keeping the relay's leases fails, tried again")
                    is_failing = True
                await self._clock.sleep(BEAT_S)
        finally:
            await self._release()

    async def _keep(self, shard: int) -> None:
        # The term counts from before the question, because its answer may be late.
        until = self._clock.monotonic() + int(TTL_S * 1_000_000_000)
        epoch: int | None
        if (lease := self._held.get(shard)) is None:
            epoch = await self._leases.acquire(_name(shard), self._process, TTL_S)
        elif await self._leases.renew(_name(shard), lease.epoch, TTL_S):
            epoch = lease.epoch
        else:
            logger.warning("shard %d of the outbox is relayed elsewhere now", shard)
            epoch = None
        if epoch is None:
            self._held.pop(shard, None)
        else:
            self._held[shard] = _Lease(epoch=epoch, until=until)

    async def _release(self) -> None:
        held, self._held = self._held, {}
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):
                for shard, lease in held.items():
                    await self._leases.release(_name(shard), lease.epoch)
        except Exception as error:  # noqa: BLE001 - the end must not wait for the store
            _tell(error, "the relay's leases were not given up, and run out by themselves")


def _tell(error: Exception, what: str) -> None:
    """Log what failed: an outage of the store is no defect of ours."""
    if isinstance(error, StoreUnavailable | TimeoutError):
        logger.warning("%s: %r", what, error)
    else:
        logger.error(what, exc_info=error)


def _name(shard: int) -> str:
    return f"relay/{shard}"


class LeasedOutbox:
    """The `Outbox` of a relay that shares its work: what the shards held here contain."""

    def __init__(self, outbox: ShardedOutbox, shards: Shards) -> None:
        """Take the whole outbox, and what is held of it."""
        self._outbox, self._shards = outbox, shards

    async def pending(self, limit: int) -> Sequence[OutboxRow]:
        """Return the oldest rows that are not published, in order."""
        held = self._shards.held
        return await self._outbox.pending(limit, held) if held else ()

    async def published(self, ids: Collection[int]) -> None:
        """Mark rows as published, whoever holds their shard by now."""
        await self._outbox.published(ids)
