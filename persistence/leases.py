"""Leases: one process at a time does what must not be done twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from trading.ports import Clock

_LEASES = tables.leases
_BY_NAME = _LEASES.c.name == sa.bindparam("lease")
_UNDER_EPOCH = sa.and_(_BY_NAME, _LEASES.c.epoch == sa.bindparam("held_epoch"))
_UNCHANGED = sa.and_(_UNDER_EPOCH, _LEASES.c.beat == sa.bindparam("seen_beat"))
_HELD = _LEASES.c.holder.is_not(None)

_SEE = sa.select(_LEASES.c.holder, _LEASES.c.epoch, _LEASES.c.beat).where(_BY_NAME)
_TAKE = (
    _LEASES.update()
    .where(_UNCHANGED)
    .values(holder=sa.bindparam("taker"), epoch=_LEASES.c.epoch + 1, beat=_LEASES.c.beat + 1)
    .returning(_LEASES.c.epoch)
)
_BEAT = (
    _LEASES.update()
    .where(_UNDER_EPOCH, _HELD)
    .values(beat=_LEASES.c.beat + 1)
    .returning(_LEASES.c.epoch)
)
_RELEASE = _LEASES.update().where(_UNDER_EPOCH, _HELD).values(holder=None, beat=_LEASES.c.beat + 1)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a lease was when it was last seen to have changed, and when that was at the latest."""

    epoch: int
    beat: int
    at: int


class SqlLeases:
    """Implements `trading.store.Leases`: rows whose beat shows that their holder lives.

    Whoever waits counts the term on this process's own clock, from when it first saw the row as it
    still is. So no two clocks are compared, and a process that has just started waits a whole term.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database, whose reserve is used, and the clock that terms are counted on."""
        self._database = database.urgent
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    async def acquire(self, name: str, holder: str, ttl_s: float) -> int | None:
        """Take a lease that is free or has run out; return its epoch, or None while it is held."""
        before = self._clock.monotonic()
        row = await self._database.write(_see, name)
        if row.holder is not None and not self._has_run_out(name, row, before, ttl_s):
            return None
        values = {
            "lease": name,
            "held_epoch": row.epoch,
            "seen_beat": row.beat,
            "taker": holder,
        }
        taken = await self._database.write(Connection.rows, _TAKE, values)
        self._seen.pop(name, None)
        return taken[0].epoch if taken else None

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        """Begin the term anew; False where the lease has passed to a later epoch."""
        del ttl_s  # each who waits for it counts a term of their own
        values = {"lease": name, "held_epoch": epoch}
        return bool(await self._database.write(Connection.rows, _BEAT, values))

    async def release(self, name: str, epoch: int) -> None:
        """Give a lease up before its time; nothing happens where it has passed on already."""
        values = {"lease": name, "held_epoch": epoch}
        await self._database.write(Connection.run, _RELEASE, values)

    def _has_run_out(self, name: str, row: Any, before: int, ttl_s: float) -> bool:
        """Tell whether a lease has not changed for a term.

        It was as it is when it was first seen so at the latest, and still is since the question was
        asked at the earliest: what lies between has certainly passed.
        """
        seen = self._seen.get(name)
        if seen is None or (seen.epoch, seen.beat) != (row.epoch, row.beat):
            self._seen[name] = _Seen(row.epoch, row.beat, self._clock.monotonic())
            return False
        return before - seen.at >= ttl_s * 1_000_000_000


def _see(connection: Connection, name: str) -> Any:
    """Read a lease, which is made free where there was none."""
    values = {"lease": name}
    if not (found := connection.rows(_SEE, values)):
        connection.insert_missing(_LEASES, [{"name": name, "holder": None, "epoch": 0, "beat": 0}])
        found = connection.rows(_SEE, values)
    return found[0]
