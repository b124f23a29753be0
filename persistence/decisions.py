"""Decisions as they are read: with the form of their checks, one by one or as a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.judged import Facts
from persistence.mapping import DECISIONS
from trading.decision import RiskDecision
from trading.ids import AccountID, ClOrdID

DECISION = (
    DECISIONS.select()
    .add_columns(tables.decision_forms.c.form)
    .outerjoin_from(
        tables.decisions,
        tables.decision_forms,
        tables.decisions.c.form_id == tables.decision_forms.c.id,
    )
)
"""Begins a query for decisions, of which `decision` reads the rows."""

_PAGE = (
    DECISION.add_columns(
        tables.decisions.c.id, tables.decisions.c.account_id, tables.decisions.c.cl_ord_id
    )
    .where(tables.decisions.c.id > sa.bindparam("after_id"))
    .order_by(tables.decisions.c.id)
    .limit(sa.bindparam("first"))
)


def decision(row: Any) -> RiskDecision:
    """Read a decision, its checks written out. Raises ValueError where their form is missing."""
    found = DECISIONS.item(row)
    kept: object = found.checks
    return replace(found, checks=kept.under(row.form)) if isinstance(kept, Facts) else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A decision as it stands in the log, and the command that it is about."""

    id: int
    account_id: AccountID
    cl_ord_id: ClOrdID
    decision: RiskDecision


class DecisionLog:
    """Every decision of a store, in the order in which they were recorded."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def page(self, after_id: int, first: int) -> Sequence[Logged]:
        """Return decisions after an id: fewer than asked for at the end."""
        values = {"after_id": after_id, "first": first}
        return [
            Logged(
                id=row.id,
                account_id=row.account_id,
                cl_ord_id=row.cl_ord_id,
                decision=decision(row),
            )
            for row in await self._database.read(Connection.rows, _PAGE, values)
        ]
