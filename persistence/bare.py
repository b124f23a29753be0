"""Connections of SQLAlchemy's own: all that SQLite needs, and what changes a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from persistence.connection import Change, Connection, Query
from persistence.rows import Values, insertion, names_of, parameters


class BareConnection(Connection):
    """Implements `persistence.connection.Connection`; `bare` is SQLAlchemy's own."""

    def __init__(self, bare: sa.Connection) -> None:
        """Wrap a connection that has begun a transaction."""
        self.bare = bare

    def _fetch(self, query: Query, values: Mapping[str, object]) -> Sequence[Any]:
        return self.bare.execute(query, values).all()

    def _run(self, statement: sa.Executable, values: Values) -> None:
        self.bare.execute(statement, values)

    def _text(self, statement: str) -> Sequence[Any]:
        result = self.bare.exec_driver_sql(statement)
        return result.all() if result.returns_rows else []

    def _change(self, changes: Sequence[Change]) -> None:
        dialect = self.bare.dialect.name
        for each in changes:
            statement = insertion(each.way, each.table, names_of(each.rows), dialect)
            self.bare.execute(statement, parameters(each.rows, dialect))
