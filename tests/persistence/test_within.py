"""Sets of any size are one parameter of one statement."""

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from persistence.columns import ID
from persistence.within import within

TABLE = sa.Table("t", sa.MetaData(), sa.Column("name", ID, primary_key=True))


def found(rows: set[str], wanted: set[str]) -> set[str]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(sa.insert(TABLE), [{"name": row} for row in sorted(rows)])
        statement = sa.select(TABLE.c.name).where(within(TABLE.c.name, "wanted"))
        names = set(connection.execute(statement, {"wanted": wanted}).scalars())
    engine.dispose()
    return names


# SQLite ends a text at NUL, and no text of a driver has half a surrogate pair.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.sets(NAMES, min_size=1), st.sets(NAMES))
def test_what_is_in_both_is_found(rows: set[str], others: set[str]) -> None:
    some = {name for name in rows if len(name) % 2}

    assert found(rows, some | others) == rows & (some | others)


def test_a_set_may_be_larger_than_the_number_of_parameters() -> None:
    many = {f"{number:06}" for number in range(300_000)}

    assert found({"000007", "300000"}, many) == {"000007"}


def test_postgresql_compares_with_an_array() -> None:
    statement = sa.select(TABLE.c.name).where(within(TABLE.c.name, "wanted"))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    assert "t.name = ANY (" in str(statement.compile(dialect=dialect))
