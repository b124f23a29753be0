"""What all tables are made of: their metadata, and short words for their columns."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from persistence.columns import SERIAL

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def column(name: str, type_: Any, *rules: Any, **options: Any) -> sa.Column[Any]:
    """Make a column that always has a value."""
    return sa.Column(name, type_, *rules, nullable=False, **options)


def optional(name: str, type_: Any, *rules: Any) -> sa.Column[Any]:
    """Make a column that may be empty."""
    return sa.Column(name, type_, *rules, nullable=True)


def key(name: str, type_: Any, *rules: Any, **options: Any) -> sa.Column[Any]:
    """Make a column of the primary key."""
    return sa.Column(name, type_, *rules, primary_key=True, nullable=False, **options)


def serial() -> sa.Column[Any]:
    """Make a primary key that the database gives out, rising."""
    return sa.Column("id", SERIAL, primary_key=True, nullable=False, autoincrement=True)


ROOM_TO_CHANGE = {"fillfactor": 70}
"""For rows that change all the time: PostgreSQL puts a new version beside the old one, where there
is room, and then need not touch an index."""


def among(column: sa.Column[Any], members: Iterable[StrEnum]) -> sa.ColumnElement[bool]:
    """Ask that a column has one of some enum's members."""
    # Spelled out rather than bound: a planner uses a partial index only for a condition that it
    # can see to be the index's own.
    return column.in_([sa.literal_column(f"'{member}'") for member in sorted(members)])
