"""Every dataclass comes back from its table as it went in."""

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence import mapping, tables
from persistence.columns import Asked, Exact, OneOf, ScopedStates
from persistence.conduct import ConductText
from persistence.judged import Checks
from persistence.rows import Rows
from trading.account import TradingState
from trading.conduct import Alike, Conduct
from trading.decision import Check, Verdict
from trading.ids import AccountID
from trading.instrument import SecurityType
from trading.limits import Limit, LimitName, LimitScope
from trading.reject import OrdRejReason

MAPPED: dict[str, Rows[Any]] = {
    name: each for name, each in vars(mapping).items() if isinstance(each, Rows)
}
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=10)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
INT64 = st.integers(-(2**63), 2**63 - 1)
CHECKS = st.builds(
    Check,
    name=TEXTS,
    verdict=st.sampled_from(Verdict),
    inputs=st.dictionaries(TEXTS, st.none() | TEXTS),
    code=st.none() | TEXTS,
    text=st.none() | TEXTS,
    reason=st.none() | st.sampled_from(OrdRejReason),
    limit=st.none() | DECIMALS,
    used=st.none() | DECIMALS,
)

SCOPED = st.tuples(TEXTS, TEXTS, st.sampled_from(TradingState))
LIMITS = st.builds(
    Limit,
    scope=st.builds(
        LimitScope,
        account_id=st.none() | TEXTS.map(AccountID),
        security_type=st.none() | st.sampled_from(SecurityType),
    ),
    name=st.sampled_from(LimitName),
    value=st.none() | DECIMALS,
    owner=TEXTS,
    reason=TEXTS,
    effective_at=st.none() | INT64,
    expires_at=st.none() | INT64,
)


SIMPLE = {sa.Boolean: st.booleans(), sa.BigInteger: INT64, Exact: DECIMALS}
LISTS = {Checks: CHECKS, ScopedStates: SCOPED, Asked: LIMITS}

CONDUCTS = st.builds(
    Conduct,
    second=INT64,
    messages=INT64,
    messages_before=INT64,
    alike=st.lists(st.builds(Alike, TEXTS, INT64, INT64), max_size=2).map(tuple),
    strategies=st.dictionaries(TEXTS, INT64, max_size=2),
    session_ends=INT64,
    session_equity=st.none() | DECIMALS,
    peak_equity=st.none() | DECIMALS,
)


def values_of(column: sa.Column[Any]) -> st.SearchStrategy[Any]:
    match column.type:
        case OneOf(members=members):
            return st.sampled_from([*members.__members__.values()])
        case ConductText():
            return CONDUCTS
        case Checks() | ScopedStates() | Asked() as each:
            return st.lists(LISTS[type(each)], max_size=2).map(tuple)
        case each:
            return SIMPLE.get(type(each), TEXTS)


@st.composite
def items(draw: st.DrawFn, of: Rows[Any], *, full: bool = False) -> Any:
    """Draw an item; a full one has a value even in those columns that may be empty."""
    row = [
        draw(st.none() | values_of(column) if column.nullable and not full else values_of(column))
        for column in of.columns
    ]
    return of.item(row)


def stored(of: Rows[Any], item: Any) -> Any:
    """Write an item to its table in SQLite and read it again; what it refers to need not exist."""
    engine = sa.create_engine("sqlite://")
    others = {c.name: "x" for c in of.table.columns if c.name in {"account_id", "cl_ord_id"}}
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = 1")
        of.table.create(connection)
        connection.execute(sa.insert(of.table), [others | of.values(item)])
        found = of.item(connection.execute(of.select()).one())
    engine.dispose()
    return found


@pytest.mark.parametrize("of", MAPPED.values(), ids=MAPPED)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_item_comes_back_as_it_was(of: Rows[Any], data: st.DataObject) -> None:
    item = data.draw(items(of))

    assert stored(of, item) == item


@pytest.mark.parametrize("of", MAPPED.values(), ids=MAPPED)
@given(data=st.data())
@settings(max_examples=5)
def test_a_row_says_all_that_the_table_asks(of: Rows[Any], data: st.DataObject) -> None:
    """A column that always has a value gets one from the item, or is the number of the row."""
    values = of.values(data.draw(items(of)))
    required = {column.name for column in of.table.columns if not column.nullable}
    given_elsewhere = {"id"} if of.table.c.get("id") is not None else set()
    if of is mapping.DECISIONS:
        given_elsewhere |= {"account_id", "cl_ord_id"}

    assert required - set(values) <= given_elsewhere


def test_no_pending_replace_and_one_without_price_are_told_apart() -> None:
    row: list[Any] = [None] * len(mapping.ORDERS.columns)
    names = [column.name for column in mapping.ORDERS.columns]
    assert mapping.ORDERS.item(row).replacement is None

    row[names.index("replacement_order_qty")] = Decimal(5)
    row[names.index("replacement_reserve_px")] = Decimal(1)
    replacement = mapping.ORDERS.item(row).replacement
    assert replacement is not None
    assert replacement.order_qty == Decimal(5)
    assert replacement.price is None


def test_a_field_without_a_column_is_noticed() -> None:
    with pytest.raises(KeyError, match="tenant_id"):
        Rows(mapping.ACCOUNTS._of, tables.tenants)
