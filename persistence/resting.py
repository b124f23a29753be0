"""What else is open where an order is judged: read with the positions, in the same statement.

An order that is in doubt, and one that rests, each has a position row, for it reserves something.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from persistence import tables
from persistence.connection import Connection
from persistence.mapping import POSITIONS
from persistence.within import within
from trading.books import Books
from trading.command import CommandState
from trading.ids import AccountID, InstrumentID, OrderID
from trading.order import Resting, Side

_NOTHING = "-"


class Lines(FunctionElement[str]):
    """An aggregate of texts, one to a line; each database has its own name for it."""

    type = sa.Text()
    name = "lines"
    inherit_cache = True


@compiles(Lines, "sqlite")
def _on_sqlite(element: Lines, compiler: SQLCompiler, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)}, char(10))"


@compiles(Lines, "postgresql")
def _on_postgresql(element: Lines, compiler: SQLCompiler, **options: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)}, chr(10))"


def _text(column: sa.Column[Decimal | None]) -> sa.ColumnElement[str]:
    return sa.func.coalesce(sa.cast(column, sa.Text), sa.literal_column(f"'{_NOTHING}'"))


_ORDERS = tables.orders
_SPACE = sa.literal_column("' '", sa.Text)
_LINE = (
    sa.cast(_ORDERS.c.id, sa.Text)
    + _SPACE
    + sa.cast(_ORDERS.c.side, sa.Text)
    + _SPACE
    + _text(_ORDERS.c.price)
    + _SPACE
    + _text(_ORDERS.c.replacement_price)
    + _SPACE
    + sa.case(
        (_ORDERS.c.in_doubt.is_(sa.true()), sa.literal_column("'1'")),
        else_=sa.literal_column("'0'"),
    )
)
_RESTING = (
    sa.select(Lines(_LINE))
    .where(
        _ORDERS.c.account_id == tables.positions.c.account_id,
        _ORDERS.c.symbol == tables.positions.c.symbol,
        tables.OPEN_ORDER,
    )
    .scalar_subquery()
)
_DOUBTED = (
    sa.select(sa.func.count(tables.commands.c.order_id.distinct()))
    .where(
        tables.commands.c.account_id == tables.positions.c.account_id,
        tables.OPEN_COMMAND,
        tables.commands.c.state == sa.literal_column(f"'{CommandState.IN_DOUBT}'"),
    )
    .scalar_subquery()
)
# A case is taken in its order: nothing is looked up for the other instruments.
_HERE = sa.case((within(tables.positions.c.symbol, "symbols"), _RESTING))
_JUDGED = (
    POSITIONS.select()
    .add_columns(_HERE.label("resting"), _DOUBTED.label("doubted"))
    .where(within(tables.positions.c.account_id, "accounts"))
)


def load_judged(
    connection: Connection,
    books: Books,
    accounts: Collection[AccountID],
    symbols: Collection[InstrumentID],
) -> None:
    """Read the positions of accounts, and what they have open in some instruments and in doubt."""
    for row in connection.rows(_JUDGED, {"accounts": accounts, "symbols": symbols}):
        position = POSITIONS.item(row)
        books.positions[position.account_id, position.symbol] = position
        if row.resting:
            books.resting[position.account_id, position.symbol] = _read(row.resting)
        if row.doubted:
            books.in_doubt[position.account_id] = row.doubted


def _read(lines: str) -> dict[OrderID, Resting]:
    return {each.order_id: each for each in map(_line, lines.split("\n"))}


def _line(line: str) -> Resting:
    order_id, side, price, wanted, doubted = line.split(" ")
    prices = _price(price), _price(wanted)
    return Resting.at(OrderID(order_id), Side(side), prices, in_doubt=doubted == "1")


def _price(text: str) -> Decimal | None:
    return None if text == _NOTHING else Decimal(text)
