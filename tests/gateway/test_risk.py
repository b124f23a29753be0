"""`drawbridge risk`: decisions replay as they were stored, and the first that differs is named."""

import re
import sqlite3
from pathlib import Path

import pytest

from risk.catalogue import table
from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.process import running
from tests.gateway.tokens import minted

ORDERS = 3


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have a gateway decide a few orders, one of which it refuses, and end it."""
    data = tmp_path_factory.mktemp("risk") / "data"
    with running(data) as gateway, Client(gateway.url, minted(data)) as client:
        for number in range(ORDERS):
            order = {"accountId": "equity", "symbol": "AAPL", "side": "BUY", "ordType": "MARKET"}
            qty = "10" if number else "10000000"
            placed = client.place(**order, orderQty=qty, clOrdId=f"o-{number}")
            assert (placed["ordStatus"] == "REJECTED") is (number == 0)
    return data


def test_the_table_is_printed_without_a_store(command: Command) -> None:
    ran = command("risk", "table")

    assert (ran.status, ran.out) == (0, table())


def test_what_was_decided_replays(command: Command, traded: Path) -> None:
    ran = command("risk", "replay", "--data", traded)

    assert (ran.status, ran.err) == (0, "")
    assert (
        ran.out
        == f"replayed {ORDERS} decisions of {ORDERS * 36} checks: every verdict is the same\n"
    )


def test_one_that_was_changed_is_named(command: Command, traded: Path) -> None:
    with sqlite3.connect(traded / "store.sqlite3") as store:
        old, new = '"10000000"', '"10"'
        store.execute("UPDATE decisions SET checks = replace(checks, ?, ?)", (old, new))
    store.close()
    ran = command("risk", "replay", "--data", traded)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("drawbridge: decision 1, account=equity clOrdId=o-0 control=")
    assert "was stored as" in ran.err


def test_the_rest_of_a_log_is_replayed_by_its_number(command: Command, traded: Path) -> None:
    ran = command("risk", "replay", "--after", 2, "--data", traded)

    assert ran.out == "replayed 1 decisions of 36 checks: every verdict is the same\n"


def test_a_long_replay_says_how_far_it_is(
    command: Command, traded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.progress.EVERY_S", 0)
    monkeypatch.setattr("gateway.risk._PAGE", 1)
    ran = command("risk", "replay", "--after", 1, "--data", traded)

    assert ran.err.splitlines() == [
        "replayed 1 decisions so far, the last is 2",
        "replayed 2 decisions so far, the last is 3",
    ]


def test_exposure_is_recomputed_from_the_first_fill(command: Command, traded: Path) -> None:
    ran = command("risk", "exposure", "--data", traded)

    assert (ran.status, ran.err) == (0, "")
    assert re.fullmatch(r"folded \d+ fills of 2 accounts: what they hold is the same\n", ran.out)


def test_one_that_was_changed_is_named_with_its_checkpoint(command: Command, traded: Path) -> None:
    with sqlite3.connect(traded / "store.sqlite3") as store:
        store.execute("UPDATE positions SET net_qty = '21'")
        store.execute("""
            INSERT INTO exposure_checkpoints SELECT 'equity', last_seq, '{"AAPL@XNAS": "21"}', 1
            FROM accounts WHERE id = 'equity'
        """)
    store.close()
    ran = command("risk", "exposure", "--data", traded)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "drawbridge: account=equity CHECKPOINT: symbol=AAPL@XNAS kept=21 recomputed=20",
        "account=equity EXPOSURE: symbol=AAPL@XNAS net_qty=21 recomputed=20",
    ]
    assert command("risk", "exposure", "--account", "futures", "--data", traded).status == 0


def test_an_account_that_there_is_not_is_refused(command: Command, traded: Path) -> None:
    ran = command("risk", "exposure", "--account", "nobody", "--data", traded)

    assert "--account nobody: there is no such account" in ran.refused()
