"""What goes into a column comes out of it, and what must not go in is refused."""

import math
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from persistence.columns import Exact, OneOf
from persistence.within import PairSet, TextSet
from trading.order import Side

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()  # type: ignore[no-untyped-call]
DIALECTS = [SQLITE, POSTGRESQL]


def stored(column: sa.types.TypeDecorator[Any], value: Any) -> Any:
    """Send a value through a real SQLite table."""
    table = sa.Table("t", sa.MetaData(), sa.Column("value", column))
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"value": value}])
        found = connection.execute(sa.select(table.c.value)).scalar_one()
    engine.dispose()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1.5",
        "1234567890123456789012345678901234567890",
        "-0.1234567890123456789012345678901234567891",
        "1E+20",
        "1.50",
    ],
)
def test_a_decimal_keeps_every_digit(text: str) -> None:
    assert stored(Exact(), Decimal(text)) == Decimal(text)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_written_in_plain_digits(value: Decimal) -> None:
    written = Exact().process_bind_param(value, SQLITE)

    assert "E" not in written
    assert Decimal(written) == value


def test_postgresql_is_given_the_decimal_itself() -> None:
    value = Decimal("1.50")

    assert Exact().process_bind_param(value, POSTGRESQL) is value


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("value", [1.5, 1, "1.5", True, math.nan])
def test_what_is_not_a_decimal_is_refused(dialect: sa.Dialect, value: Any) -> None:
    with pytest.raises(TypeError, match="a Decimal is needed"):
        Exact().process_bind_param(value, dialect)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_refused_both_ways(dialect: sa.Dialect, text: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        Exact().process_bind_param(Decimal(text), dialect)
    with pytest.raises(ValueError, match="finite"):
        Exact().process_result_value(Decimal(text), dialect)


def test_a_float_in_the_database_is_refused() -> None:
    with pytest.raises(TypeError, match="the store has a float"):
        Exact().process_result_value(0.5, SQLITE)


def test_an_enum_comes_back_as_its_member() -> None:
    assert stored(OneOf(Side), Side.BUY) is Side.BUY
    assert stored(OneOf(Side), None) is None


def test_what_is_no_member_is_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="HOLD"):
        OneOf(Side).process_bind_param("HOLD", SQLITE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="HOLD"):
        OneOf(Side).process_result_value("HOLD", SQLITE)


def test_a_set_is_json_or_an_array_in_one_order() -> None:
    assert TextSet().process_bind_param({"b", "a"}, SQLITE) == '["a", "b"]'
    assert TextSet().process_bind_param({"b", "a"}, POSTGRESQL) == '{"a","b"}'
    assert TextSet().process_bind_param(set(), POSTGRESQL) == "{}"
    assert PairSet().process_bind_param({("a", 1)}, POSTGRESQL) == r'{"[\"a\", 1]"}'
