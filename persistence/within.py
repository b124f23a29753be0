"""Membership of a column in a set: one parameter, and so one statement, whatever the set's size."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from persistence.literal import numbers, texts


class TextSet(TypeDecorator[Collection[str]]):
    """A parameter that holds any number of texts: JSON on SQLite, the text of an array else."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> str:
        """Write the elements in their order, so that a log of statements reads alike every time."""
        elements = sorted(value or ())
        return f"{{{texts(elements)}}}" if dialect.name == "postgresql" else json.dumps(elements)


class NumberSet(TypeDecorator[Collection[int]]):
    """A parameter that holds any number of integers."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> str:
        """Write the elements in their order."""
        elements = sorted(value or ())
        return f"{{{numbers(elements)}}}" if dialect.name == "postgresql" else json.dumps(elements)


class PairSet(TypeDecorator[Collection[tuple[str, str | int]]]):
    """A parameter that holds any number of pairs of a text with a text or an integer, as JSON."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> str:
        """Write the pairs in their order."""
        pairs = [json.dumps(pair) for pair in sorted(value or ())]
        return f"{{{texts(pairs)}}}" if dialect.name == "postgresql" else f"[{','.join(pairs)}]"


class _Membership(FunctionElement[bool]):
    """A condition that each database has its own words for."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:
        """Stand as it is: SQLAlchemy would compare it with 1, and no index serves that."""
        del against
        return self


class Within(_Membership):
    """A condition: the column's value is among the elements of the parameter."""

    name = "within"
    inherit_cache = True


class PairWithin(_Membership):
    """A condition: the values of two columns are among the pairs of the parameter."""

    name = "pair_within"
    inherit_cache = True


def within(column: sa.ColumnElement[Any], parameter: str) -> Within:
    """Ask that a column has one of a parameter's values; none has, if there are none."""
    is_number = isinstance(column.type, sa.Integer)
    return Within(column, sa.bindparam(parameter, type_=NumberSet() if is_number else TextSet()))


def pair_within(
    first: sa.ColumnElement[Any], second: sa.ColumnElement[Any], parameter: str
) -> PairWithin:
    """Ask that two columns have the values of one of a parameter's pairs."""
    return PairWithin(first, second, sa.bindparam(parameter, type_=PairSet()))


def _parts(element: _Membership, compiler: SQLCompiler, options: dict[str, Any]) -> list[str]:
    return [compiler.process(part, **options) for part in element.clauses]


def _kind(element: _Membership, at: int) -> str:
    """Name the type of one of the columns."""
    return "bigint" if isinstance(list(element.clauses)[at].type, sa.Integer) else "text"


# What S608 suspects below are compiled parts of statements, and no values.


@compiles(Within, "sqlite")
def _on_sqlite(element: Within, compiler: SQLCompiler, **options: Any) -> str:
    column, values = _parts(element, compiler, options)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608


@compiles(Within, "postgresql")
def _on_postgresql(element: Within, compiler: SQLCompiler, **options: Any) -> str:
    column, values = _parts(element, compiler, options)
    return f"{column} = ANY (CAST({values} AS {_kind(element, 0)}[]))"


@compiles(PairWithin, "sqlite")
def _pairs_on_sqlite(element: PairWithin, compiler: SQLCompiler, **options: Any) -> str:
    first, second, pairs = _parts(element, compiler, options)
    each = f"SELECT value ->> 0, value ->> 1 FROM json_each({pairs})"  # noqa: S608
    return f"({first}, {second}) IN ({each})"


@compiles(PairWithin, "postgresql")
def _pairs_on_postgresql(element: PairWithin, compiler: SQLCompiler, **options: Any) -> str:
    first, second, pairs = _parts(element, compiler, options)
    # Of an array the planner knows, or at least guesses well, how few elements it has. Taken apart
    # behind OFFSET, pairs are mere columns: with functions in sight, which might tell what they are
    # given, a role that sees one tenant would have each row of the table looked at first.
    parts = f"pair::json ->> 0, CAST(pair::json ->> 1 AS {_kind(element, 1)})"
    each = f"SELECT {parts} FROM unnest(CAST({pairs} AS text[])) pair OFFSET 0"  # noqa: S608
    return f"({first}, {second}) IN ({each})"
