"""A past that the bench makes is one that real orders could have left behind."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from bench import history, stores
from bench.measuring import place_some
from persistence import tables

pytestmark = pytest.mark.services

REPORTS = 2_000


@pytest.mark.parametrize("name", ["embedded", "shared"])
def test_a_past_is_whole_and_goes_on(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "shared":
        request.getfixturevalue("at_hand")
    with history.grown(name, tmp_path, REPORTS) as server:
        orders = counted(server.store, "orders")
        assert counted(server.store, "reports") == 3 * orders <= REPORTS < 3 * orders + 200
        for table in ("commands", "cl_ord_ids", "decisions", "fills"):
            assert counted(server.store, table) == orders
        assert counted(server.store, "broker_events") == 2 * orders
        assert counted(server.store, "outbox") == 0

        place_some(server, stores.MANY, 64)
        history.wait_until_over(server.store)
        assert counted(server.store, "orders") == orders + 64
        assert counted(server.store, "breaks") == 0
        check(server.store)


def check(where: str | Path) -> None:
    """Look for gaps in the sequences, and for rows that refer to none."""
    assert history.ask(where, GAPS) == []
    for table in tables.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            assert counted(where, dangling(table, key)) == 0, key.name


GAPS = """
    SELECT id FROM accounts JOIN (
        SELECT account_id, max(seq) AS head, count(*) AS number FROM reports GROUP BY account_id
    ) log ON account_id = id WHERE last_seq <> head OR head <> number
"""


def dangling(table: sa.Table, key: sa.ForeignKeyConstraint) -> str:
    """Name the rows whose foreign key is that of no row."""
    pairs = [(part.parent.name, part.column.name) for part in key.elements]
    meets = " AND ".join(f"one.{mine} = other.{theirs}" for mine, theirs in pairs)
    is_set = " AND ".join(f"one.{mine} IS NOT NULL" for mine, _ in pairs)
    found = f"SELECT 1 FROM {key.referred_table.name} other WHERE {meets}"
    return f"{table.name} one WHERE {is_set} AND NOT EXISTS ({found})"


def counted(where: str | Path, what: str) -> int:
    return int(history.ask(where, f"SELECT count(*) FROM {what}")[0][0])


def test_what_orders_leave_behind_is_not_guessed(tmp_path: Path) -> None:
    """Copies of nothing, or of orders that are not all alike, would be a past of another kind."""
    stores.prepare(tmp_path / "data")
    before = history.counts(tmp_path / "data")
    with pytest.raises(history.NoPast):
        history.multiply(tmp_path / "data", before, REPORTS)
