"""Statements as PostgreSQL's driver takes them: compiled once, and then only filled in.

SQLAlchemy writes them. Its way of running one, with an execution context and a result for each,
costs more than the server takes for most of ours.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

from persistence.columns import Exact, OneOf
from persistence.connection import Change
from persistence.rows import Way, insertion, names_of, parameters

DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]

_PARAMETER = re.compile(r"\$(\d+)")
_QUERIES_KEPT = 512

type _Conversion = Callable[[Any], Any]


class Statement:
    """A statement of the driver: its text, its parameters' names in order, its rows' columns."""

    def __init__(self, written: sa.Executable) -> None:
        """Compile what SQLAlchemy's expressions say."""
        clause = cast("sa.ClauseElement", written)
        compiled = cast("SQLCompiler", clause.compile(dialect=DIALECT))
        self.text = str(compiled)
        self._fixed = dict(compiled.params)
        names = compiled.positiontup or ()
        self._parameters = [(name, _encoder(compiled.binds[name].type)) for name in names]
        columns = list(getattr(written, "exported_columns", ()))
        keys = [str(column.key) for column in columns]
        self._row: Any = namedtuple("Row", keys, rename=True)  # type: ignore[misc]  # noqa: PYI024
        decoders = [(at, _decoder(column.type)) for at, column in enumerate(columns)]
        self._decoders = [(at, decode) for at, decode in decoders if decode is not None]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """Return the parameters in the order of the text."""
        return [
            encode(values[name] if name in values else self._fixed[name])
            for name, encode in self._parameters
        ]

    def rows(self, records: Iterable[Any]) -> Sequence[Any]:
        """Make rows of what the driver has read."""
        return [self._row._make(self._decoded(record)) for record in records]

    def _decoded(self, record: Iterable[Any]) -> list[Any]:
        values = list(record)
        for at, decode in self._decoders:
            if (value := values[at]) is not None:
                values[at] = decode(value)
        return values


@lru_cache(_QUERIES_KEPT)
def statement(written: sa.Executable) -> Statement:
    """Compile a statement that is used again and again: it is known by being the same object."""
    return Statement(written)


def together(changes: Sequence[Change]) -> tuple[str, list[object]]:
    """Write changes as one statement, with its parameters: however many there are, it is one trip.

    All its parts see the tables as they were before it, and keys are checked at its end, so that
    rows may refer to others that come with them.
    """
    shape = tuple((each.way, each.table, names_of(each.rows)) for each in changes)
    text, parts = _together(shape)
    values: list[object] = []
    for part, each in zip(parts, changes, strict=True):
        values += part.arguments(cast("Mapping[str, object]", parameters(each.rows, DIALECT.name)))
    return text, values


@cache
def _together(
    shape: tuple[tuple[Way, sa.Table, tuple[str, ...]], ...],
) -> tuple[str, Sequence[Statement]]:
    parts = [Statement(insertion(*each, DIALECT.name)) for each in shape]
    if len(parts) == 1:
        return parts[0].text, parts
    first, texts = 0, []
    for part in parts:
        texts.append(_renumbered(part.text, first))
        first += len(part._parameters)  # noqa: SLF001 - of the class beside this
    named = ", ".join(f"change_{number} AS ({text})" for number, text in enumerate(texts))
    return f"WITH {named} SELECT", parts


def _renumbered(text: str, first: int) -> str:
    """Count parameters from a later number on; no text of ours has a dollar for anything else."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + first}", text)


# --- values --------------------------------------------------------------------------------------


def _encoder(kind: TypeEngine[Any]) -> _Conversion:
    if isinstance(kind, TypeDecorator):
        return lambda value: kind.process_bind_param(value, DIALECT)
    return lambda value: value


def _decoder(kind: TypeEngine[Any]) -> _Conversion | None:
    match kind:
        case Exact():
            return lambda value: value if value.is_finite() else _not_finite(kind, value)
        case OneOf(members=members):
            known = {member.value: member for member in members}
            # What is no member, the enum says.
            return lambda value: known[value] if value in known else members(value)
        case TypeDecorator():
            return lambda value: kind.process_result_value(value, DIALECT)
        case _:
            return None


def _not_finite(kind: Exact, value: Decimal) -> Decimal | None:
    return kind.process_result_value(value, DIALECT)
