"""Lists of an account's orders, newest first, by keyset.

A filter is looked up in parts, each in the order of an index: what it passes over is not read, so
that a rare status or symbol in a long history is found as fast as a frequent one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Query
from persistence.mapping import ORDERS
from trading.ids import OrderID
from trading.order import TERMINAL, OrdStatus
from trading.store import OrderFilter

type _Condition = sa.ColumnElement[bool]

_ORDERS = tables.orders
_NEWEST = (
    ORDERS.select()
    .where(_ORDERS.c.account_id == sa.bindparam("account_id"))
    .limit(sa.bindparam("first"))
)
_BY_ID, _BY_SYMBOL = _ORDERS.c.id.desc(), _ORDERS.c.symbol.desc()
_AFTER = _ORDERS.c.id < sa.bindparam("after")
_SIDE = _ORDERS.c.side == sa.bindparam("side")
_ANY = "*"


def newest_orders(
    which: OrderFilter, names: Sequence[str], first: int, after: OrderID | None
) -> tuple[Query, dict[str, object]]:
    """Make the query for an account's first orders before one, with all values but the account.

    `names` are what the filter's symbol may stand for in an order.
    """
    values: dict[str, object] = {"first": first, "side": which.side, "after": after}
    values |= {f"symbol_{number}": name for number, name in enumerate(names)}
    if which.symbol is not None:
        which = replace(which, symbol=_ANY)
    return _query(which, len(names), after is not None), values


@lru_cache(256)
def _query(which: OrderFilter, names: int, is_after: bool) -> Query:  # noqa: FBT001
    """Make the query for orders by so many conditions; which symbol it is stays open."""
    common = [*([_SIDE] if which.side else []), *([_AFTER] if is_after else [])]
    statuses = _statuses(which)
    if which.symbol is None:
        parts = [_NEWEST.where(status, *common).order_by(_BY_ID) for status in statuses]
    else:
        parts = [
            _NEWEST.where(status, _is_symbol(number), *common).order_by(_BY_SYMBOL, _BY_ID)
            for status, number in product(statuses, range(names))
        ]
    if len(parts) == 1:
        return parts[0]
    found = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
    return sa.select(found).order_by(found.c.id.desc()).limit(sa.bindparam("first"))


def _is_symbol(number: int) -> _Condition:
    # Equality, in words that leave the order of symbols to be asked for: only the index of symbols
    # has it. Of a plain one the planner thinks, without knowing which symbol it is, that any order
    # is as good as another, and reads back through all that are of another symbol.
    name: sa.BindParameter[str] = sa.bindparam(f"symbol_{number}")
    return sa.and_(_ORDERS.c.symbol >= name, _ORDERS.c.symbol <= name)


def _statuses(which: OrderFilter) -> Sequence[_Condition]:
    """Say in parts what may be of a status, each of which an index has by itself."""
    if which.ord_status:
        shown = [_shows(status) for status in sorted(which.ord_status)]
        return [each & tables.OPEN_ORDER for each in shown] if which.open_only else shown
    if which.open_only:
        return [tables.OPEN_ORDER]
    return [sa.true()] if which.symbol is None else [tables.OPEN_ORDER, tables.ENDED_ORDER]


def _shows(status: OrdStatus) -> _Condition:
    """Say in SQL what `Order.ord_status` says: FIX precedence over the pending commands."""
    return sa.and_(*_shown(status))


def _shown(status: OrdStatus) -> Iterator[_Condition]:
    canceling = _ORDERS.c.pending_cancel.is_(sa.true())
    match status:
        case OrdStatus.PENDING_CANCEL:
            yield from (tables.PENDING_ORDER, canceling)
        case OrdStatus.PENDING_REPLACE:
            yield from (tables.PENDING_ORDER, sa.not_(canceling))
        case _:
            # Spelled out, and with what it implies, for SQLite draws no conclusions.
            yield _ORDERS.c.status == sa.literal_column(f"'{status}'")
            yield tables.ENDED_ORDER if status in TERMINAL else tables.OPEN_ORDER
            yield sa.not_(tables.PENDING_ORDER)
