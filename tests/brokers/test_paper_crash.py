"""The exchange is killed in the middle of its work, and loses nothing that it has told."""

import subprocess
import sys
from pathlib import Path

import pytest

from brokers.paper.journal import Journal
from brokers.paper.ledger import Ledger
from brokers.paper.messages import Entry
from tests.brokers.world import STAMP
from trading.ids import AccountID, WireID

ROOT = Path(__file__).parents[2]


@pytest.mark.crash
@pytest.mark.parametrize("rounds", [3, 40, 200])
async def test_what_was_answered_is_there_after_a_kill(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "paper.journal"
    told = told_before_a_kill(path, rounds)

    ledger = Ledger()
    numbers: list[int] = []

    def restore(entry: Entry) -> None:
        ledger.restore(entry)
        numbers.extend(event.number for event in entry.events)

    journal = Journal(path, restore, STAMP)

    assert all(ledger.order_of(WireID(each)) for each in told)
    assert numbers == list(range(1, len(numbers) + 1))
    filled = sum(order.cum_qty for order in ledger.orders.values())
    assert set(ledger.positions.values()) == {filled}
    assert {account_id for account_id, _ in ledger.positions} == {AccountID("a")}
    await journal.close()


def told_before_a_kill(path: Path, rounds: int) -> list[str]:
    """Let a trader run for some rounds, kill it, and return every order it was told of."""
    command = [sys.executable, "-m", "tests.brokers.trader", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as trader:
        assert trader.stdout is not None
        told = [trader.stdout.readline() for _ in range(rounds)]
        trader.kill()
        told += [line for line in trader.stdout if line.endswith("\n")]
    assert len(told) >= rounds
    return " ".join(told).split()
