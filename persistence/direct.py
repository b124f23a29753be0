"""Connections of PostgreSQL's driver, as jobs have them: each call is one trip to the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.util import await_

from persistence.connection import Change, Connection, Query
from persistence.rows import Values
from persistence.statement import statement, together


class DirectConnection(Connection):
    """Implements `persistence.connection.Connection`, within `sqlalchemy.util.greenlet_spawn`."""

    def __init__(self, driver: asyncpg.Connection[Any]) -> None:
        """Wrap a connection that has begun a transaction."""
        self._driver = driver

    def _fetch(self, query: Query, values: Mapping[str, object]) -> Sequence[Any]:
        compiled = statement(query)
        return compiled.rows(self._ask(compiled.text, *compiled.arguments(values)))

    def _run(self, written: sa.Executable, values: Values) -> None:
        compiled = statement(written)
        self._ask(compiled.text, *compiled.arguments(values))

    def _text(self, statement: str) -> Sequence[Any]:
        return [tuple(row) for row in self._ask(statement)]

    def _change(self, changes: Sequence[Change]) -> None:
        text, values = together(changes)
        self._ask(text, *values)

    def _ask(self, text: str, *values: object) -> Sequence[Any]:
        return await_(self._driver.fetch(text, *values))
