"""Reference prices, as risk reads them under the accounts' locks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from persistence import tables
from persistence.database import Database
from persistence.mapping import QUOTES
from persistence.within import within
from trading.ids import InstrumentID
from trading.quote import Quote


class SqlReferencePrices:
    """Implements `trading.store.ReferencePrices`."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def put(self, quotes: Sequence[Quote]) -> None:
        """Store the latest quotes, in place of those before."""
        if not quotes:
            return
        async with self._database.write() as connection:
            await connection.put(QUOTES.table, [QUOTES.values(quote) for quote in quotes])

    async def ages(self, symbols: Collection[InstrumentID]) -> Mapping[InstrumentID, int]:
        """Return when each symbol's reference was received, in UTC nanoseconds; absent if never."""
        table = tables.reference_prices
        statement = sa.select(table.c.symbol, table.c.received_at)
        async with self._database.read() as connection:
            rows = await connection.rows(statement.where(within(table.c.symbol, symbols)))
        return {row.symbol: row.received_at for row in rows}
