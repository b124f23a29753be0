"""The outbox: which reports were committed and are not published yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection, Query
from persistence.database import Database
from persistence.rows import Rows
from persistence.within import within
from trading.ids import AccountID
from trading.store import shard_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """The reports of one account that one transaction committed: a range without gaps.

    `traceparents` are of the traces that they belong to, with a blank between them.
    """

    id: int
    account_id: AccountID
    first_seq: int
    last_seq: int
    traceparents: str | None = None


_ROWS = Rows(OutboxRow, tables.outbox)
_OLDEST = _ROWS.select().order_by(tables.outbox.c.id).limit(sa.bindparam("first"))
_OLDEST_BY_SHARD = (
    _ROWS.select().order_by(tables.outbox.c.shard, tables.outbox.c.id).limit(sa.bindparam("first"))
)
_DELETE = tables.outbox.delete().where(within(tables.outbox.c.id, "ids"))


class Outbox:
    """What relays read, each account's rows in their order, and delete when they are published."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def pending(
        self, limit: int, shards: Collection[int] | None = None
    ) -> Sequence[OutboxRow]:
        """Return the oldest rows of all shards, or of some."""
        if shards is None:
            found = await self._database.ask(_OLDEST, {"first": limit})
            return [_ROWS.item(row) for row in found]
        values = {f"shard_{n}": shard for n, shard in enumerate(sorted(shards))}
        query = _oldest_of(len(values))
        found = await self._database.ask(query, {"first": limit, **values})
        rows = [_ROWS.item(row) for row in found]
        return [row for row in rows if shard_of(row.account_id) in shards]

    async def published(self, ids: Collection[int]) -> None:
        """Delete rows that were published; one that is gone already is no matter."""
        if ids:
            await self._database.write(Connection.run, _DELETE, {"ids": ids})


def _is_shard(number: int) -> sa.ColumnElement[bool]:
    # Equality, in words that leave the order of shards to be asked for: only their index has it.
    shard: sa.BindParameter[int] = sa.bindparam(f"shard_{number}")
    return sa.and_(tables.outbox.c.shard >= shard, tables.outbox.c.shard <= shard)


@cache
def _oldest_of(count: int) -> Query:
    """Make the query for the oldest rows of so many shards, and of those that have none noted.

    Each shard's oldest are looked up on their own: those of others may be piled up before them.
    """
    conditions = [*map(_is_shard, range(count)), tables.outbox.c.shard.is_(None)]
    parts = [sa.select(_OLDEST_BY_SHARD.where(each).subquery()) for each in conditions]
    oldest = sa.union_all(*parts).subquery()
    return sa.select(oldest).order_by(oldest.c.id).limit(sa.bindparam("first"))
