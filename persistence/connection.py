"""What a job has of a database: a connection inside a transaction, and what it can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate

from persistence.rows import Rows, Values, Way

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type Query = (
    sa.Select[Any]
    | sa.CompoundSelect[Any]
    | ReturningInsert[Any]
    | ReturningUpdate[Any]
    | ReturningDelete[Any]
)


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that go into one table; none is no change."""

    way: Way
    table: sa.Table
    rows: Sequence[Values]


class Connection(ABC):
    """A connection inside a transaction.

    What is not abstract may be given to a database as a whole job, as `Connection.rows` is.
    """

    @abstractmethod
    def _fetch(self, query: Query, values: Mapping[str, object]) -> Sequence[Any]:
        raise NotImplementedError

    @abstractmethod
    def _run(self, statement: sa.Executable, values: Values) -> None:
        raise NotImplementedError

    @abstractmethod
    def _text(self, statement: str) -> Sequence[Any]:
        raise NotImplementedError

    @abstractmethod
    def _change(self, changes: Sequence[Change]) -> None:
        raise NotImplementedError

    def rows(self, query: Query, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Read all rows; `values` are those of the query's parameters, by their names."""
        return self._fetch(query, values or {})

    def run(self, statement: sa.Executable, values: Values) -> None:
        """Run a statement that returns nothing."""
        self._run(statement, values)

    def text(self, statement: str) -> Sequence[Any]:
        """Run one statement in the database's own words, and read its rows, if it has any."""
        return self._text(statement)

    def change(self, changes: Sequence[Change]) -> None:
        """Make all these changes. Raises IntegrityError where one cannot be made."""
        if made := [each for each in changes if each.rows]:
            self._change(made)

    def items[T: DataclassInstance](
        self, of: Rows[T], query: Query, values: Mapping[str, object] | None = None
    ) -> list[T]:
        """Read all rows as what they are rows of."""
        return [of.item(row) for row in self._fetch(query, values or {})]

    def insert(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows in one go. Raises IntegrityError where one is there already."""
        self.change([Change(Way.INSERT, table, rows)])

    def insert_missing(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add those rows in one go whose primary keys are not there already."""
        self.change([Change(Way.INSERT_MISSING, table, rows)])

    def put(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Add rows in one go, in place of those with the same primary keys."""
        self.change([Change(Way.PUT, table, rows)])
