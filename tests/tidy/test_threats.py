"""Every test that the threat model and the decisions rest on exists."""

import re
from pathlib import Path

import pytest

from tests.tidy.rules import ROOT

NAMED = re.compile(r"`(tests/[\w/]+(?:\.py)?)`")
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
PAGES = [ROOT / "docs" / "threats.md", ROOT / "SECURITY.md", *DECISIONS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_test_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []


def test_each_threat_names_what_shows_that_it_is_stopped() -> None:
    text = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| A\d \| E\d", line)]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []
    for kind in ("A", "E"):
        listed = set(re.findall(rf"\| ({kind}\d) \| (?!E\d)", text))
        assert listed == set(re.findall(rf"\| ({kind}\d) \|", "\n".join(rows)))
