"""Many values as the text of an array of PostgreSQL's, `{1,NULL,3}`: columns of new rows, and sets.

The driver looks at each element of an array several times, which for what an order saves takes as
long as judging it does. One text goes out as it is, and the server reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from persistence.columns import Exact, OneOf

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_FLAGS = {True: "t", False: "f", None: "NULL"}

type _Writer = Callable[[Sequence[Any]], str]


class ArrayText(TypeDecorator[Sequence[Any]]):
    """A parameter that holds values of a column, as the text of an array of PostgreSQL's.

    Raises what the column's own type raises for a value that is none of its.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, element: TypeEngine[Any]) -> None:
        """Take the column's type."""
        self.element = element
        self._write = _writer(element)
        super().__init__()

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> str | None:
        """Write the values."""
        del dialect
        return None if value is None else f"{{{self._write(value)}}}"


def _writer(element: TypeEngine[Any]) -> _Writer:
    match element:
        case Exact():
            return _sparse(lambda values: _decimals(element, values))
        case OneOf():
            return _sparse(lambda values: _members(element, values))
        case TypeDecorator():
            return lambda values: texts(
                [element.process_bind_param(value, _DIALECT) for value in values]
            )
        case sa.Boolean():
            return lambda values: ",".join(_FLAGS[value] for value in values)
        case sa.Integer():
            return _sparse(numbers)
        case _:
            return _sparse(texts)


def _sparse(write: _Writer) -> _Writer:
    """Make short work of what is all empty, as most columns are that may be."""

    def written(values: Sequence[Any]) -> str:
        # By identity: whether it equals None, a decimal asks the numbers' abstract classes first.
        if values[0] is None and all(each is None for each in values):
            return ",".join(["NULL"] * len(values))
        return write(values)

    return written


def numbers(values: Sequence[Any]) -> str:
    """Write numbers as elements of an array."""
    return ",".join(["NULL" if value is None else str(value) for value in values])


def _decimals(element: Exact, values: Sequence[Any]) -> str:
    # Written out, because most of what is saved are decimals; the type says what is wrong with one.
    for value in values:
        if value is not None and (type(value) is not Decimal or not value.is_finite()):
            element.process_bind_param(value, _DIALECT)
    return numbers(values)


def _members(element: OneOf[Any], values: Sequence[Any]) -> str:
    # A member is a text already.
    for value in values:
        if value is not None and type(value) is not element.members:
            element.process_bind_param(value, _DIALECT)
    return texts(values)


def texts(values: Sequence[str | None]) -> str:
    """Write texts as elements of an array."""
    # Quoted also where it need not be: the word NULL, and spaces, would be read as something else.
    if None not in values:
        all_quoted = f'"{_BETWEEN.join(cast("Sequence[str]", values))}"'
        if "\\" not in all_quoted and all_quoted.count('"') == 2 * len(values):
            return all_quoted
    return ",".join(["NULL" if value is None else _quoted(value) for value in values])


_BETWEEN = '","'


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
