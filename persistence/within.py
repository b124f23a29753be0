"""Membership of a column in a set: one parameter, and so one statement, whatever the set's size."""

from __future__ import annotations

from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from persistence.columns import TextSet


class Within(FunctionElement[bool]):
    """A condition: the column's value is among the texts of the parameter."""

    name = "within"
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:
        """Stand as it is: SQLAlchemy would compare it with 1, and no index serves that."""
        del against
        return self


def within(column: sa.ColumnElement[Any], parameter: str) -> Within:
    """Ask that a text column has one of a parameter's values; none has, if there are none."""
    return Within(column, sa.bindparam(parameter, type_=TextSet()))


@compiles(Within, "sqlite")
def _on_sqlite(element: Within, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both are compiled parts


@compiles(Within, "postgresql")
def _on_postgresql(element: Within, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({values})"
