"""Limits as versions: each is a whole set of an account's limits, and the newest is in force."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.rows import Values
from persistence.within import within
from trading.ids import AccountID, InstrumentID
from trading.limits import LimitName, Limits

_NEWEST = (
    sa.select(tables.limits.c.account_id, sa.func.max(tables.limits.c.version).label("version"))
    .where(within(tables.limits.c.account_id, "accounts"))
    .group_by(tables.limits.c.account_id)
    .subquery()
)
_CURRENT = sa.select(tables.limits).join(
    _NEWEST,
    sa.and_(
        tables.limits.c.account_id == _NEWEST.c.account_id,
        tables.limits.c.version == _NEWEST.c.version,
    ),
)


def current_limits(
    connection: Connection, accounts: Collection[AccountID]
) -> dict[AccountID, Limits]:
    """Read the limits in force of those accounts that have any."""
    versions: dict[AccountID, int] = {}
    values: dict[AccountID, dict[tuple[InstrumentID, LimitName], Decimal]] = {}
    for row in connection.rows(_CURRENT, {"accounts": accounts}):
        versions[row.account_id] = row.version
        values.setdefault(row.account_id, {})[row.symbol, row.name] = row.value
    return {
        each: Limits(account_id=each, version=version, values=values[each])
        for each, version in versions.items()
    }


def limit_values(limits: Limits) -> list[Values]:
    """Return the rows of one version."""
    return [
        {
            "account_id": limits.account_id,
            "version": limits.version,
            "symbol": symbol,
            "name": name,
            "value": value,
        }
        for (symbol, name), value in limits.values.items()
    ]
