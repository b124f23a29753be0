"""Reference prices, as risk reads them under the accounts' locks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.mapping import QUOTES
from persistence.rows import Values
from persistence.within import within
from trading.ids import InstrumentID
from trading.quote import Lookback, Quote

_AGES = sa.select(tables.reference_prices.c.symbol, tables.reference_prices.c.received_at).where(
    within(tables.reference_prices.c.symbol, "symbols")
)


class SqlReferencePrices:
    """Implements `trading.store.ReferencePrices`."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database
        self._lookback = Lookback()

    async def put(self, quotes: Sequence[Quote]) -> None:
        """Store the latest quotes, in place of those before, with what they were a minute ago."""
        if quotes:
            # In one order for all processes, so that two do not wait for each other.
            rows = [self._row(quote) for quote in sorted(quotes, key=lambda q: q.symbol)]
            await self._database.write(Connection.put, QUOTES.table, rows)

    def _row(self, quote: Quote) -> Values:
        earlier = self._lookback.take(quote)
        px, received_at = earlier or (None, None)
        return QUOTES.values(quote) | {"earlier_px": px, "earlier_at": received_at}

    async def ages(self, symbols: Collection[InstrumentID]) -> Mapping[InstrumentID, int]:
        """Return when each symbol's reference was received, in UTC nanoseconds; absent if never."""
        rows = await self._database.ask(_AGES, {"symbols": symbols})
        return {row.symbol: row.received_at for row in rows}
