"""The catalogue says what there is, in the docs too, and decisions replay as they were stored."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from risk.catalogue import CATALOGUE, table
from risk.control import CONTROLS
from risk.replay import difference
from tests.risk.cases import clear, wanted
from tests.tidy.rules import ROOT
from tests.trading.builders import D, books
from trading.decision import Check, Judged, RiskDecision, written_out


def test_the_docs_have_the_table_of_the_code() -> None:
    page = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")

    assert table() in page, "run `drawbridge risk table`, and put what it prints into docs/risk.md"


def test_every_control_is_in_the_catalogue_and_has_a_code_of_its_own() -> None:
    named = [name for entry in CATALOGUE for name in entry.controls]

    assert set(named) == set(CONTROLS)
    assert len(CATALOGUE) == 36
    assert all(entry.controls or entry.elsewhere or entry.missing for entry in CATALOGUE)
    codes = [code for control in CONTROLS.values() for code in control.codes]
    assert len(codes) == len(set(codes))
    assert all(control.codes for control in CONTROLS.values())


def test_no_cell_of_a_control_is_empty() -> None:
    for line in table().splitlines()[2:]:
        cells = [cell.strip() for cell in line.split(" | ")]
        if cells[2].startswith("`"):
            assert all(cells[index] for index in (3, 4, 5, 7, 8, 9)), line


def test_what_is_elsewhere_has_its_tests_there() -> None:
    others = [entry.elsewhere for entry in CATALOGUE if entry.elsewhere is not None]

    assert others
    for each in others:
        assert (ROOT / each.test).is_file(), each
        assert each.scope, each
        assert each.source.endswith("."), each


def stored(decision: RiskDecision) -> RiskDecision:
    """Take a decision as it comes out of a store: of checks that nobody judged."""
    return replace(decision, checks=tuple(decision.checks))


@pytest.mark.parametrize("qty", ["100", "100000"])
def test_what_is_stored_replays(qty: str) -> None:
    assert difference(stored(clear(books(), wanted(order_qty=D(qty))).decision)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": {"order_qty": "100", "limit": "99"}}, "verdict was stored as PASS"),
        ({"used": D(1)}, "used was stored as 1, and is 100"),
        ({"inputs": {"order_qty": "100"}}, "its inputs cannot be judged: TypeError"),
        ({"inputs": {"order_qty": "ten", "limit": "1"}}, "its inputs cannot be judged"),
        ({"inputs": {"size": "1", "limit": "1"}}, "its inputs cannot be judged: KeyError"),
        ({"name": "OLD"}, "control=OLD: there is none of this name"),
    ],
)
def test_what_was_changed_is_named(changes: dict[str, object], said: str) -> None:
    def changed(check: Check) -> Check:
        return replace(check, **changes) if check.name == "MAX_ORDER_QTY" else check  # type: ignore[arg-type]

    decision = clear(books(), wanted()).decision
    found = difference(replace(decision, checks=tuple(map(changed, decision.checks))))

    assert found is not None
    assert said in found


def test_checks_are_stored_as_they_are_read() -> None:
    for asked in (wanted(), wanted(order_qty=D("0.5"), price=D(500))):
        checks = clear(books(), asked).decision.checks
        assert rewritten(checks) == tuple(checks)
        assert list(checks) == [checks[index] for index in range(len(checks))]
        assert checks == tuple(checks)
        assert checks != ()


def rewritten(checks: Sequence[Check]) -> tuple[Check, ...]:
    assert isinstance(checks, Judged)
    return written_out(checks.form, checks.facts(), checks.found())
