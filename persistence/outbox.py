"""The outbox: which reports were committed and are not published yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from persistence import tables
from persistence.database import Connection, Database
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
_OLDEST = _ROWS.select().order_by(tables.outbox.c.id).limit(sa.bindparam("first"))
_DELETE = tables.outbox.delete().where(tables.outbox.c.id == sa.bindparam("published"))


class Outbox:
    """What the relay reads, oldest first, and deletes when it is published."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def pending(self, limit: int) -> Sequence[OutboxRow]:
        """Return the oldest rows."""
        return await self._database.read(Connection.items, _ROWS, _OLDEST, {"first": limit})

    async def published(self, ids: Collection[int]) -> None:
        """Delete rows that were published; one that is gone already is no matter."""
        if ids:
            gone = [{"published": each} for each in sorted(ids)]
            await self._database.write(Connection.run, _DELETE, gone)
