"""Decisions are kept as facts and findings under a form, and read as whole checks."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, overload

import pytest
import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.store import SqlStore
from tests.persistence.changes import A, place, save
from trading.books import Books
from trading.decision import Check, Form, Found, Judged, RiskDecision, Verdict, written_out
from trading.ids import ClOrdID, OrderID
from trading.reject import OrdRejReason

FORM = Form(
    facts=("order_qty", "price", "MAX_ORDER_QTY"),
    checks=(
        ("ORDER_QTY", (("order_qty", 0),)),
        ("MAX_ORDER_QTY", (("order_qty", 0), ("limit", 2))),
        ("PRICE", (("px", 1), ("order_qty", 0))),
    ),
)
REASON = OrdRejReason.ORDER_EXCEEDS_LIMIT
FOUND = [
    Found(),
    Found("9.5", "10"),
    Found(None, "3", "PRICE_ODD", 'PRICE_ODD: px="é"\\', REASON),
]


class Kept(Judged):
    """Checks of a form, as risk hands them over."""

    def __init__(self, form: Form, facts: list[str | None], found: list[Found]) -> None:
        self._form, self._facts, self._found = form, facts, found
        self.checks = written_out(form, facts, found)

    @property
    def refusal(self) -> Check | None:
        return self.checks[-1]

    @property
    def form(self) -> Form:
        return self._form

    def facts(self) -> list[str | None]:
        return self._facts

    def found(self) -> list[Found]:
        return self._found

    @overload
    def __getitem__(self, index: int) -> Check: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Check]: ...

    def __getitem__(self, index: int | slice) -> Check | Sequence[Check]:
        return self.checks[index]

    def __len__(self) -> int:
        return len(self.checks)


def decided(*names: str, form: Form = FORM) -> Any:
    def change(books: Books) -> None:
        for name in names:
            place(name)(books)
            checks = Kept(form, [name, None, "9.5"], FOUND)
            decision = RiskDecision(checks=checks, limits_version=1, decided_at=5)
            books.new_decisions.append((A, ClOrdID(f"cl-{name}"), decision))

    return change


def count(connection: Connection) -> int:
    return len(connection.rows(sa.select(tables.decision_forms)))


async def test_checks_come_back_whole(store: SqlStore) -> None:
    await save(store, decided("1"))

    decision = await store.reads.decision(A, ClOrdID("cl-1"))
    assert decision is not None
    assert decision.checks == (
        Check(name="ORDER_QTY", verdict=Verdict.PASS, inputs={"order_qty": "1"}),
        Check(
            name="MAX_ORDER_QTY",
            verdict=Verdict.PASS,
            inputs={"order_qty": "1", "limit": "9.5"},
            limit=Decimal("9.5"),
            used=Decimal(10),
        ),
        Check(
            name="PRICE",
            verdict=Verdict.REFUSE,
            inputs={"px": None, "order_qty": "1"},
            code="PRICE_ODD",
            text='PRICE_ODD: px="é"\\',
            reason=REASON,
            used=Decimal(3),
        ),
    )
    assert await store.reads.decisions_of([OrderID("1")]) == {"1": decision}
    assert [each.decision for each in await store.decisions.page(0, 9)] == [decision]


async def test_a_form_is_kept_once(store: SqlStore) -> None:
    await save(store, decided("1", "2"))
    await save(store, decided("3"))
    assert await store._database.read(count) == 1

    other = Form(facts=FORM.facts, checks=tuple(reversed(FORM.checks)))
    await save(store, decided("4", form=other))
    assert await store._database.read(count) == 2
    names = [
        [check.name for check in each.decision.checks] for each in await store.decisions.page(0, 9)
    ]
    assert names == 3 * [[name for name, _ in FORM.checks]] + [[name for name, _ in other.checks]]


async def test_a_decision_without_its_form_is_not_made_up(store: SqlStore) -> None:
    await save(store, decided("1"))
    await store._database.write(Connection.run, sa.delete(tables.decision_forms), {})

    with pytest.raises(ValueError, match="without the form"):
        await store.reads.decision(A, ClOrdID("cl-1"))
