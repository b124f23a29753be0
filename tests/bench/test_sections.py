"""Each section of the bench still measures everything that it is there to measure."""

import re

import pytest

from bench import sections
from bench.__main__ import main

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("at_hand")]

ROWS = {
    "place_order": {"floor": 4, "plain": 4, "embedded": 4, "shared": 4},
    "report_path": {"floor": 2, "embedded": 2, "two": 2},
    "history": {"embedded": 2, "shared": 2},
    "query": {"order, 10 fields": 3, "100 positions": 3, "1,000 positions": 3},
    "lists": {"embedded": 2, "shared": 2},
    "fanout": {"drawbridge": 2, "plain Strawberry": 2, "raw Starlette": 2},
}


@pytest.mark.parametrize("section", list(ROWS))
def test_every_server_of_a_section_is_measured(
    section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = smoked(section, capsys)

    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    for name, count in ROWS[section].items():
        measured = [line for line in lines if line[0] == name]
        assert len(measured) == count, page
        for line in measured:
            figures = [float(cell.replace(",", "")) for cell in line[3:] if cell.strip()]
            assert min(figures) > 0, line


def test_the_profile_books_time_to_parts(capsys: pytest.CaptureFixture[str]) -> None:
    page = smoked("profile", capsys)

    # What takes little is not always seen in a moment.
    for part in ("database", "all"):
        assert re.search(rf"\| {part} \| [1-9][\d,]* µs \| [1-9][\d,]* µs \|", page), page


def test_what_judging_costs_is_measured_for_every_size_of_account(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = smoked("risk", capsys)

    figure = r" ([\d,]+) µs \|"
    rows = re.findall(rf"\| (\d+) \|{4 * figure}\n", page)
    assert len(rows) > 1, page
    assert all(int(each.replace(",", "")) > 0 for row in rows for each in row), page


def smoked(section: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a section for a moment, and return what it prints."""
    assert main(["--smoke", "--only", section]) == 0
    page = capsys.readouterr().out
    assert "Not measured" not in page
    return page


def test_every_section_is_tried_here() -> None:
    assert set(sections.SECTIONS) == {*ROWS, "profile", "risk"}
