"""The kit sees what it is there to see: each of its checks fails where it must."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from brokers import conformance
from brokers.conformance import Setting, TrueOrder, offered
from brokers.faults import FaultScript
from gateway.system import SystemClock
from tests.conformance.brokers.case import numbered
from tests.conformance.brokers.conftest import DOCUMENT
from tests.conformance.brokers.office import D, Office
from tests.conformance.brokers.stages import STAGES, PaperStage, paper
from tests.conformance.brokers.table import placed, table
from tests.trading.builders import AAPL, ACCOUNT, FUTURE, STOCK
from trading.ids import WireID
from trading.instrument import Catalogue
from trading.order import OrdStatus
from trading.quantity import use_exact_arithmetic


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """An office with one order that has filled, and nothing to complain about."""
    use_exact_arithmetic()
    setting = Setting(
        folder=tmp_path,
        account_id=ACCOUNT,
        catalogue=Catalogue([STOCK, FUTURE]),
        clock=SystemClock(),
        faults=FaultScript(),
    )
    made = Office(await paper(setting))
    await made.open()
    made.show()
    await made.reaches(await made.place(price=D(101)), OrdStatus.FILLED, 10)
    await made.square()
    yield made
    await made.close()


def pretend(office: Office, orders: Sequence[TrueOrder]) -> list[str]:
    """Have the exchange truly have these orders; return what the kit says of that."""
    assert isinstance(office.stage, PaperStage)
    office.stage.orders = lambda: orders  # type: ignore[method-assign]
    return office.problems()


async def test_an_order_too_many_or_too_few_is_seen(office: Office) -> None:
    [order] = office.stage.orders()
    stranger = replace(order, wire_id=WireID("another"))

    assert "that we never placed" in pretend(office, [order, stranger])[0]
    assert "the exchange never had it" in pretend(office, [])[0]


async def test_terms_and_fills_that_differ_are_seen(office: Office) -> None:
    [order] = office.stage.orders()
    [trade] = order.trades

    assert pretend(office, [replace(order, order_qty=D(11))])
    assert pretend(office, [replace(order, status=OrdStatus.CANCELED)])
    assert pretend(office, [replace(order, trades=[trade, trade])])
    assert pretend(office, [replace(order, trades=[(D(10), D(100))])])
    assert pretend(office, [order]) == []


async def test_a_position_that_differs_is_seen(office: Office) -> None:
    assert isinstance(office.stage, PaperStage)
    office.stage.positions = lambda: {AAPL: D(9)}  # type: ignore[method-assign]

    assert "we hold" in office.problems()[0]


async def test_a_command_that_is_not_settled_is_seen(office: Office) -> None:
    office.permits.halt("a test")
    await office.place("p2")

    assert "NEW is" in office.problems()[0]


def test_another_distribution_can_bring_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = EntryPoint("theirs", f"{paper.__module__}:paper", conformance.GROUP)
    monkeypatch.setattr(
        conformance, "entry_points", lambda group: EntryPoints([theirs]).select(group=group)
    )

    assert offered("theirs").__name__ == "paper"
    with pytest.raises(LookupError, match=r"no distribution offers a stage for x: .* theirs"):
        offered("x")


def test_the_report_in_the_document_is_of_these_cases_and_adapters() -> None:
    cases, document = numbered(), DOCUMENT.read_text()
    passed = {(number, name): "passed" for number in cases for name in STAGES}
    # What an adapter does not offer, the run alone can tell.
    wanted = placed(document, table(cases, list(STAGES), passed))

    assert document.replace(" no |", " pass |") == wanted.replace(" no |", " pass |")
