"""A column of new rows goes to PostgreSQL in one text, and comes back as it was."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence.columns import COUNT, FLAG, ID, TEXT, Exact, OneOf, OrAny
from persistence.connection import Change, Connection
from persistence.literal import ArrayText
from persistence.postgresql import PostgresqlDatabase
from persistence.rows import Way
from persistence.statement import DIALECT
from tests.persistence.jobs import postgresql_database
from trading.order import Side

STRANGE = ["", "NULL", "null", 'a"b', "a\\b", "{a,b}", " a ", "a\nb", "'", "$1", "é€😀", None]


def written(element: Any, *values: object) -> str | None:
    return ArrayText(element).process_bind_param(values, DIALECT)


def test_values_are_written_as_the_server_reads_them() -> None:
    assert written(TEXT, "a", None, "NULL") == '{"a",NULL,"NULL"}'
    assert written(ID, 'a"b', "a\\b") == '{"a\\"b","a\\\\b"}'
    assert written(Exact(), Decimal("1.50"), None, Decimal("1E+2")) == "{1.50,NULL,1E+2}"
    assert written(COUNT, 1, None, 1 << 62) == f"{{1,NULL,{1 << 62}}}"
    assert written(FLAG, *(True, False, None)) == "{t,f,NULL}"
    assert written(OneOf(Side), Side.BUY, None) == '{"BUY",NULL}'
    assert written(TEXT, None, None) == "{NULL,NULL}"


def test_what_a_type_writes_for_nothing_is_written() -> None:
    assert written(OrAny(str), None, None) == '{"*","*"}'


@pytest.mark.parametrize("value", [1.5, "1", Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_exact_number_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        written(Exact(), Decimal(1), value)


def test_what_is_no_member_or_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        written(OneOf(Side), "sideways")
    with pytest.raises(TypeError):
        written(TEXT, 1)


# --- on the server -------------------------------------------------------------------------------

KEPT = sa.Table(
    "kept",
    sa.MetaData(),
    sa.Column("id", COUNT, primary_key=True),
    sa.Column("name", ID),
    sa.Column("amount", Exact()),
    sa.Column("is_set", FLAG),
)


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    async with postgresql_database() as database:
        await database.write(
            Connection.text,
            "CREATE TABLE kept (id BIGINT PRIMARY KEY,"
            ' name TEXT COLLATE "C", amount NUMERIC, is_set BOOLEAN)',
        )
        yield database


async def kept(database: PostgresqlDatabase, rows: Sequence[dict[str, Any]]) -> list[Any]:
    await database.write(Connection.text, "TRUNCATE kept")
    await database.write(Connection.change, [Change(Way.INSERT, KEPT, rows)])
    found = await database.read(Connection.rows, sa.select(KEPT).order_by(KEPT.c.id))
    return [row._asdict() for row in found]


@pytest.mark.services
async def test_strange_texts_come_back(database: PostgresqlDatabase) -> None:
    rows = [
        {"id": number, "name": name, "amount": None, "is_set": None}
        for number, name in enumerate(STRANGE)
    ]
    assert await kept(database, rows) == rows


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(-(1 << 63), (1 << 63) - 1),
            "name": st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
            "amount": st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=12),
            "is_set": st.none() | st.booleans(),
        }
    ),
    unique_by=lambda row: row["id"],
    min_size=1,
    max_size=5,
)


@pytest.mark.services
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
async def test_any_values_come_back(
    database: PostgresqlDatabase, rows: Sequence[dict[str, Any]]
) -> None:
    assert await kept(database, rows) == sorted(rows, key=lambda row: row["id"])
