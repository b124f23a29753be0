"""The audit record in SQL: acts as they happen, and seals over all that is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from persistence import tables
from persistence.connection import Change, Connection, Query
from persistence.database import Database
from persistence.mapping import ACTS
from persistence.rows import Rows, Way
from trading.audit import ACTS as ACTS_CHAIN
from trading.audit import Act, Content, Page, Seal, account_of, chain_of, genesis, leaf
from trading.ids import AccountID, TenantID
from trading.quantity import plain
from trading.sealing import Head
from trading.verification import Sealed

_HEX = 64
_SEALS = Rows(Seal, tables.seals)

# Whoever records an act waits for the one before, so that numbers have no gap and come in order.
_TURN = sa.select(tables.gateway.c.id).with_for_update(key_share=True)
_NEWEST_ACT: Query = sa.select(sa.func.coalesce(sa.func.max(tables.acts.c.number), 0))
_ACTS_OF = (
    ACTS.select()
    .where(
        tables.acts.c.tenant_id == sa.bindparam("tenant_id"),
        tables.acts.c.number < sa.bindparam("before"),
    )
    .order_by(tables.acts.c.number.desc())
    .limit(sa.bindparam("first"))
)

_HEADS = tables.chain_heads.c
_LAST = sa.func.coalesce(_HEADS.last, 0)
_PREFIX = sa.literal_column(f"'{chain_of(AccountID(''))}'", sa.Text())
_ACCOUNT_CHAIN = _PREFIX.concat(tables.accounts.c.id)
_UNSEALED_COLUMNS: list[sa.ColumnElement[Any]] = [
    _ACCOUNT_CHAIN.label("chain"),
    _LAST.label("last"),
    sa.func.coalesce(_HEADS.head, "").label("head"),
]
_UNSEALED_ACCOUNTS = (
    sa.select(*_UNSEALED_COLUMNS)
    .select_from(tables.accounts.outerjoin(tables.chain_heads, _HEADS.chain == _ACCOUNT_CHAIN))
    .where(tables.accounts.c.last_seq > _LAST, sa.bindparam("after") < _ACCOUNT_CHAIN)
    .order_by(tables.accounts.c.id)
    .limit(sa.bindparam("first"))
)
_ACTS_HEAD: Query = sa.select(_HEADS.last, _HEADS.head).where(_HEADS.chain == ACTS_CHAIN)

_REPORTS = (
    sa.select(tables.reports)
    .where(
        tables.reports.c.account_id == sa.bindparam("account_id"),
        tables.reports.c.seq > sa.bindparam("after"),
    )
    .order_by(tables.reports.c.seq)
    .limit(sa.bindparam("first"))
)
_ACTS = (
    sa.select(tables.acts)
    .where(tables.acts.c.number > sa.bindparam("after"))
    .order_by(tables.acts.c.number)
    .limit(sa.bindparam("first"))
)
_NEWEST = _SEALS.select().order_by(tables.seals.c.number.desc()).limit(1)
_SEALS_AFTER = (
    _SEALS.select()
    .where(tables.seals.c.number > sa.bindparam("after"))
    .order_by(tables.seals.c.number)
    .limit(sa.bindparam("first"))
)
_PAGES = sa.select(tables.sealed_pages)
_PAGES_OF_SEAL = _PAGES.where(tables.sealed_pages.c.seal == sa.bindparam("of_seal")).order_by(
    tables.sealed_pages.c.place
)
_PAGES_OF_CHAIN = (
    _PAGES.where(
        tables.sealed_pages.c.chain == sa.bindparam("of_chain"),
        tables.sealed_pages.c.last >= sa.bindparam("since"),
        tables.sealed_pages.c.first <= sa.bindparam("until"),
    )
    .order_by(tables.sealed_pages.c.first)
    .limit(sa.bindparam("most"))
)
_LAST_SEQS = sa.select(tables.accounts.c.id, tables.accounts.c.last_seq).order_by(
    tables.accounts.c.id
)
_SPAN = {
    False: sa.select(
        sa.func.min(tables.reports.c.seq).label("first"),
        sa.func.max(tables.reports.c.seq).label("last"),
    ).where(
        tables.reports.c.account_id == sa.bindparam("account_id"),
        tables.reports.c.transact_time >= sa.bindparam("since"),
        tables.reports.c.transact_time < sa.bindparam("until"),
    ),
    True: sa.select(
        sa.func.min(tables.acts.c.number).label("first"),
        sa.func.max(tables.acts.c.number).label("last"),
    ).where(
        tables.acts.c.at >= sa.bindparam("since"),
        tables.acts.c.at < sa.bindparam("until"),
    ),
}


def record_acts(connection: Connection, acts: Sequence[Act]) -> None:
    """Number acts and add them; who records others waits until this transaction ends."""
    if not acts:
        return
    connection.rows(_TURN)
    [(newest,)] = connection.rows(_NEWEST_ACT)
    numbered = [replace(each, number=newest + n) for n, each in enumerate(acts, 1)]
    connection.insert(tables.acts, [ACTS.values(each) for each in numbered])


class SqlAudit:
    """Implements `trading.audit.ActLog`, `trading.sealing.Seals` and `trading.verification.Record`.

    Sealing and verifying use the connections of reading, and so never an order's.
    """

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def record(self, act: Act) -> None:
        """Record an act in a transaction of its own."""
        await self._database.urgent.write(record_acts, [act])

    async def acts(self, tenant_id: TenantID, first: int, before: int) -> Sequence[Act]:
        """Return a tenant's acts with numbers below one, the newest first."""
        values = {"tenant_id": tenant_id, "first": first, "before": before}
        walled = self._database.of_tenant(tenant_id)
        return await walled.read(Connection.items, ACTS, _ACTS_OF, values)

    async def unsealed(self, after: str, first: int) -> Sequence[Head]:
        """Return chains after one, by name, that go on beyond their sealed heads."""
        return await self._database.read(_unsealed, after, first)

    async def leaves(self, head: Head, first: int) -> Sequence[tuple[int, bytes]]:
        """Return the leaves that come after a head, with their positions."""
        records = await self.records(head.chain, head.last, first)
        return [(position, leaf(content)) for position, content in records]

    async def records(self, chain: str, after: int, first: int) -> Sequence[tuple[int, Content]]:
        """Return the records of a chain after a position, in their order."""
        account_id = account_of(chain)
        values: dict[str, object] = {"after": after, "first": first}
        if account_id is None:
            rows = await self._database.ask(_ACTS, values)
            return [(row.number, _content(_ACT_COLUMNS, row)) for row in rows]
        rows = await self._database.ask(_REPORTS, values | {"account_id": account_id})
        return [(row.seq, _content(_REPORT_COLUMNS, row)) for row in rows]

    async def newest(self) -> Seal | None:
        """Return the last seal."""
        rows = await self._database.ask(_NEWEST)
        return _SEALS.item(rows[0]) if rows else None

    async def add(self, seal: Seal, pages: Sequence[Page]) -> bool:
        """Add a seal with its pages; False where another process has taken its number."""
        try:
            await self._database.urgent.write(_add, seal, pages)
        except IntegrityError:
            return False
        return True

    async def seals(self, after: int, first: int) -> Sequence[Seal]:
        """Return seals after a number."""
        values = {"after": after, "first": first}
        return await self._database.read(Connection.items, _SEALS, _SEALS_AFTER, values)

    async def pages_of_seal(self, number: int) -> Sequence[Page]:
        """Return the pages of a seal, in the order of its tree."""
        rows = await self._database.ask(_PAGES_OF_SEAL, {"of_seal": number})
        return [_page(row) for row in rows]

    async def pages_of_chain(
        self, chain: str, since: int, until: int, first: int
    ) -> Sequence[Sealed]:
        """Return the sealed pages of a chain that have some of these positions, in order."""
        values = {"of_chain": chain, "since": since, "until": until, "most": first}
        rows = await self._database.ask(_PAGES_OF_CHAIN, values)
        return [Sealed(_page(row), row.seal, row.place) for row in rows]

    async def ends(self) -> Mapping[str, int]:
        """Return the position that each chain has got to, by what its account says."""
        rows = await self._database.ask(_LAST_SEQS)
        [(newest,)] = await self._database.ask(_NEWEST_ACT)
        return {ACTS_CHAIN: newest} | {chain_of(row.id): row.last_seq for row in rows}

    async def span(self, chain: str, since: int, until: int) -> tuple[int, int] | None:
        """Return the first and last position of a time, in UTC nanoseconds, or None."""
        account_id = account_of(chain)
        values: dict[str, object] = {"since": since, "until": until, "account_id": account_id}
        [row] = await self._database.ask(_SPAN[account_id is None], values)
        return None if row.first is None else (row.first, row.last)


def _unsealed(connection: Connection, after: str, first: int) -> list[Head]:
    heads = []
    if after < ACTS_CHAIN:
        last, head = next(iter(connection.rows(_ACTS_HEAD)), (0, ""))
        [(newest,)] = connection.rows(_NEWEST_ACT)
        if newest > last:
            heads.append(_head(ACTS_CHAIN, last, head))
    rows = connection.rows(_UNSEALED_ACCOUNTS, {"after": after, "first": first})
    return [*(_head(row.chain, row.last, row.head) for row in rows), *heads][:first]


def _head(chain: str, last: int, head: str) -> Head:
    return Head(chain, last, bytes.fromhex(head) if head else genesis(chain))


def _add(connection: Connection, seal: Seal, pages: Sequence[Page]) -> None:
    rows = [
        {
            "chain": page.chain,
            "first": page.first,
            "last": page.last,
            "leaves": b"".join(page.leaves).hex(),
            "head": page.head.hex(),
            "seal": seal.number,
            "place": place,
        }
        for place, page in enumerate(pages)
    ]
    heads = [{name: row[name] for name in ("chain", "last", "head")} for row in rows]
    connection.change(
        [
            Change(Way.INSERT, tables.seals, [_SEALS.values(seal)]),
            Change(Way.INSERT, tables.sealed_pages, rows),
            Change(Way.PUT, tables.chain_heads, heads),
        ]
    )


def _page(row: Any) -> Page:
    digits = row.leaves
    leaves = [bytes.fromhex(digits[at : at + _HEX]) for at in range(0, len(digits), _HEX)]
    return Page(row.chain, row.first, tuple(leaves), bytes.fromhex(row.head))


_REPORT_COLUMNS = [c.name for c in tables.reports.c if c.name not in {"account_id", "seq"}]
_ACT_COLUMNS = [c.name for c in tables.acts.c if c.name != "number"]


def _content(names: Sequence[str], row: Any) -> Content:
    """Return what a record says, alike from either database: 1.50 is 1.5 on both."""
    found = {}
    for name in names:
        value = getattr(row, name)
        if value is not None:
            found[name] = plain(value) if isinstance(value, Decimal) else value
    return found
