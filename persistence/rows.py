"""Rows of the core's dataclasses: each field is a column of the same name."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import Enum, unique
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, overload

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from persistence.literal import ArrayText
from trading.record import maker

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type Values = dict[str, Any]


class Rows[T: DataclassInstance]:
    """The way of one dataclass into a table and back.

    A field in `nested` holds a dataclass or None, in columns `<field>_<its field>`, the first of
    which is empty for None. `fixed` are columns that every row of this dataclass has alike.
    """

    def __init__(
        self,
        of: type[T],
        table: sa.Table,
        *,
        nested: Mapping[str, type[DataclassInstance]] | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        """Pair the fields with the columns. Raises KeyError for a field that has no column."""
        self.table = table
        self._of = of
        self._nested = nested or {}
        self._fixed = dict(fixed or {})
        self._names = [each.name for each in fields(of) if each.name not in self._nested]
        self._make = None if self._nested else maker(of, self._names)
        self._attributes: Callable[[T], Sequence[Any]] = attrgetter(*self._names)
        self._parts = {
            name: (part, [each.name for each in fields(part)])
            for name, part in self._nested.items()
        }
        self.columns = [table.c[name] for name in self._column_names()]
        of_parts = self._column_names()[len(self._names) :]
        self.names = tuple(dict.fromkeys((*self._names, *self._fixed, *of_parts)))
        """What `values` names, in its order."""
        self._array_names = [_array_name(each) for each in self._names]

    def select(self) -> sa.Select[Any]:
        """Begin a statement that `item` reads the rows of."""
        return sa.select(*self.columns)

    def values(self, item: T) -> Values:
        """Return the columns of an item."""
        values = dict(zip(self._names, self._attributes(item), strict=True)) | self._fixed
        for name, (_, parts) in self._parts.items():
            nested = getattr(item, name)
            for part in parts:
                values[f"{name}_{part}"] = None if nested is None else getattr(nested, part)
        return values

    def of_all(self, items: Sequence[T]) -> ItemRows:
        """Return the columns of several items, which are not put into rows unless asked for."""
        return ItemRows(self, items)

    def arrays(self, items: Sequence[T]) -> Values:
        """Return each column of several items whole, as `_insert` names its array."""
        columns = zip(*map(self._attributes, items), strict=True)
        arrays: Values = dict(zip(self._array_names, columns, strict=True))
        for name, value in self._fixed.items():
            arrays[_array_name(name)] = [value] * len(items)
        for name, (_, parts) in self._parts.items():
            nested = [getattr(item, name) for item in items]
            for part in parts:
                found = [None if each is None else getattr(each, part) for each in nested]
                arrays[_array_name(f"{name}_{part}")] = found
        return arrays

    def item(self, row: Sequence[Any]) -> T:
        """Make an item of the columns, in the order in which `select` names them."""
        if self._make is not None:
            return self._make(row)
        found = dict(zip(self._names, row, strict=False))
        at = len(self._names)
        for name, (part, names) in self._parts.items():
            values = row[at : at + len(names)]
            empty = values[0] is None
            found[name] = None if empty else part(**dict(zip(names, values, strict=True)))
            at += len(names)
        return self._of(**found)

    def _column_names(self) -> list[str]:
        nested = [f"{name}_{part}" for name, (_, parts) in self._parts.items() for part in parts]
        return self._names + nested


class ItemRows(Sequence[Values]):
    """The rows of items, made of them when they are asked for."""

    def __init__(self, of: Rows[Any], items: Sequence[Any]) -> None:
        """Take the items, and their way into a table."""
        self.of, self.items = of, items

    @overload
    def __getitem__(self, index: int) -> Values: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Values]: ...

    def __getitem__(self, index: int | slice) -> Values | Sequence[Values]:
        """Return a row, or several."""
        if isinstance(index, slice):
            return [self.of.values(item) for item in self.items[index]]
        return self.of.values(self.items[index])

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.items)


@unique
class Way(Enum):
    """What becomes of new rows whose primary keys are there already."""

    INSERT = enum.auto()
    """None may be: IntegrityError is raised."""

    INSERT_MISSING = enum.auto()
    """Those that are there stay as they are."""

    PUT = enum.auto()
    """The new ones take the place of those that are there."""


@cache
def insertion(way: Way, table: sa.Table, names: tuple[str, ...], dialect: str) -> sa.Insert:
    """Make the statement that brings rows with these columns into a table."""
    new = _insert(table, names, dialect)
    match way:
        case Way.INSERT:
            return new
        case Way.INSERT_MISSING:
            return new.on_conflict_do_nothing()
        case Way.PUT:
            keys = list(table.primary_key.columns)
            changes = {c.name: new.excluded[c.name] for c in table.columns if not c.primary_key}
            return new.on_conflict_do_update(index_elements=keys, set_=changes)


def parameters(rows: Sequence[Values], dialect: str) -> Sequence[Values] | Values:
    """Arrange rows as the parameters of that statement."""
    if dialect == "sqlite":
        return list(rows)
    if isinstance(rows, ItemRows):
        return rows.of.arrays(rows.items)
    return {_array_name(name): [row[name] for row in rows] for name in rows[0]}


def names_of(rows: Sequence[Values]) -> tuple[str, ...]:
    """Name the columns of rows, of which there is one at least."""
    return rows.of.names if isinstance(rows, ItemRows) else tuple(rows[0])


def _insert(
    table: sa.Table, names: tuple[str, ...], dialect: str
) -> sqlite.Insert | postgresql.Insert:
    # SQLite runs a statement for each row without leaving the process. To PostgreSQL each is a
    # message, and a list of rows a statement of another length: an array for each column is one.
    if dialect == "sqlite":
        return sqlite.insert(table)
    arrays = [_array(table.c[name]) for name in names]
    rows = sa.func.unnest(*arrays).table_valued(*names).render_derived(name="fresh")
    fresh = sa.select(*(rows.c[name] for name in names))
    return postgresql.insert(table).from_select(list(names), fresh)


def _array_name(column: str) -> str:
    return f"all_{column}"


def _array(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    # An array type has no place for its elements' collation.
    element = sa.Text() if isinstance(column.type, sa.Text) else column.type
    text = sa.bindparam(_array_name(column.name), type_=ArrayText(column.type))
    return sa.cast(text, postgresql.ARRAY(element, dimensions=1))
