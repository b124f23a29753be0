"""Registered documents: kept for each client by their hash, never changed, retired at last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from persistence import tables
from persistence.audit import record_acts
from persistence.connection import Connection
from persistence.database import Database
from persistence.rows import Rows, Values
from persistence.within import within
from trading.audit import Act

_DOCUMENTS = tables.documents
_CLIENTS = tables.document_clients


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredDocument:
    """A document that a client may ask for by its hash; instants are UTC nanoseconds.

    `scopes` are the permissions that it needs, parted by spaces; `rows` is how many rows a page
    that it asks for may have.
    """

    client_id: str
    sha256: str
    name: str
    text: str
    scopes: str
    version: str
    rows: int
    published_at: int
    expires_at: int | None = None
    retired_at: int | None = None


_ROWS = Rows(RegisteredDocument, _DOCUMENTS)
_ALL = _ROWS.select().order_by(
    _DOCUMENTS.c.client_id, _DOCUMENTS.c.name, _DOCUMENTS.c.published_at, _DOCUMENTS.c.sha256
)
_RETIRE = (
    _DOCUMENTS.update()
    .where(
        _DOCUMENTS.c.client_id == sa.bindparam("client"),
        within(_DOCUMENTS.c.sha256, "hashes"),
        _DOCUMENTS.c.retired_at.is_(None),
    )
    .values(retired_at=sa.bindparam("now"))
)
_STATES = sa.select(*(each for each in _DOCUMENTS.c if each.name != "text")).order_by(
    *_DOCUMENTS.primary_key
)
_BOUND = sa.select(_CLIENTS.c.client_id).where(_CLIENTS.c.is_bound)


class SqlDocuments:
    """Where registered documents are kept."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def documents(self) -> Sequence[RegisteredDocument]:
        """Return all documents that were ever registered, by client and name."""
        return await self._database.read(Connection.items, _ROWS, _ALL)

    async def states(self) -> Sequence[object]:
        """Return what changes with every change of a document, and is shorter than all of them."""
        return [tuple(row) for row in await self._database.ask(_STATES)]

    async def bound_clients(self) -> frozenset[str]:
        """Return the clients that may send registered documents alone."""
        return frozenset(row.client_id for row in await self._database.ask(_BOUND))

    async def publish(self, documents: Sequence[RegisteredDocument], act: Act) -> None:
        """Register documents with the act, all or none; one registered before is so anew."""
        rows = [_ROWS.values(each) for each in documents]
        await self._database.write(_put, _DOCUMENTS, rows, act)

    async def retire(self, client_id: str, hashes: Collection[str], act: Act) -> None:
        """Take documents back: from the act on they are as if never registered."""
        values = {"client": client_id, "hashes": hashes, "now": act.at}
        await self._database.write(_retire, values, act)

    async def bind(self, client_id: str, act: Act, *, is_bound: bool) -> None:
        """Say whether a client may send registered documents alone."""
        row: Values = {"client_id": client_id, "is_bound": is_bound}
        await self._database.write(_put, _CLIENTS, [row], act)


def _put(connection: Connection, table: sa.Table, rows: Sequence[Values], act: Act) -> None:
    connection.put(table, rows)
    record_acts(connection, [act])


def _retire(connection: Connection, values: Values, act: Act) -> None:
    connection.run(_RETIRE, values)
    record_acts(connection, [act])
