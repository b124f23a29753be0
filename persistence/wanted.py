"""Wanted symbols: of which instruments reference prices are needed, as all processes say."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.within import pair_within
from trading.ids import InstrumentID
from trading.ports import Clock

_TERM_NS = 300_000_000_000
_AGAIN_NS = 60_000_000_000

_ALL = sa.select(tables.wanted_symbols)
_DELETE = tables.wanted_symbols.delete().where(
    pair_within(tables.wanted_symbols.c.symbol, tables.wanted_symbols.c.asked_at, "expired")
)


class SqlWanted:
    """Implements `trading.store.Wanted`: rows that expire five minutes after they last changed.

    What counts is that `asked_at` changes, not what it says: who looks counts the minutes on this
    process's own clock, so that clocks which differ cannot lose a symbol.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database, and the clock that counts."""
        self._database = database
        self._clock = clock
        self._told: dict[InstrumentID, int] = {}
        self._seen: dict[InstrumentID, tuple[int, int]] = {}

    async def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that these are needed. The store is told at most once a minute of each."""
        now = self._clock.monotonic()
        self._told = {each: at for each, at in self._told.items() if now - at < _AGAIN_NS}
        if fresh := sorted(set(symbols) - set(self._told)):
            asked_at = self._clock.now()
            rows = [{"symbol": symbol, "asked_at": asked_at} for symbol in fresh]
            await self._database.write(Connection.put, tables.wanted_symbols, rows)
            self._told |= dict.fromkeys(fresh, now)

    async def wanted(self) -> Collection[InstrumentID]:
        """Return the symbols that are needed, and delete those that nobody has asked for lately."""
        rows = await self._database.ask(_ALL)
        now = self._clock.monotonic()
        known, self._seen = self._seen, {}
        for row in rows:
            asked_at, at = known.get(row.symbol, (None, now))
            self._seen[row.symbol] = (row.asked_at, at if asked_at == row.asked_at else now)
        expired = {
            symbol: asked_at
            for symbol, (asked_at, at) in self._seen.items()
            if now - at >= _TERM_NS
        }
        if expired:
            await self._database.write(Connection.run, _DELETE, {"expired": expired.items()})
        return self._seen.keys() - expired.keys()
