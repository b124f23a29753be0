"""The outbox: which reports were committed and are not published yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from persistence import tables
from persistence.database import Database
from persistence.rows import Rows
from trading.ids import AccountID


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """The reports of one account that one transaction committed: a range without gaps."""

    id: int
    account_id: AccountID
    first_seq: int
    last_seq: int


_ROWS = Rows(OutboxRow, tables.outbox)


class Outbox:
    """What the relay reads, oldest first, and deletes when it is published."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def pending(self, limit: int) -> Sequence[OutboxRow]:
        """Return the oldest rows."""
        statement = _ROWS.select().order_by(tables.outbox.c.id).limit(limit)
        async with self._database.read() as connection:
            return [_ROWS.item(row) for row in await connection.rows(statement)]

    async def published(self, ids: Collection[int]) -> None:
        """Delete rows that were published; one that is gone already is no matter."""
        if not ids:
            return
        gone = sa.delete(tables.outbox).where(tables.outbox.c.id == sa.bindparam("published"))
        async with self._database.write() as connection:
            await connection.run(gone, [{"published": each} for each in sorted(ids)])
