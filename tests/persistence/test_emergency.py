"""The journal of emergency cancels survives its process, and is read in once."""

import os
from pathlib import Path

import pytest

from persistence.emergency import FileEmergencyJournal
from trading.emergency import EmergencyCancel
from trading.ids import AccountID, ClOrdID, OrderID, WireID


def entry(number: int, orig: str | None = "o1") -> EmergencyCancel:
    return EmergencyCancel(
        account_id=AccountID("a"),
        cl_ord_id=ClOrdID(f"c{number}"),
        body_hash="0" * 64,
        order_id=OrderID(f"order{number}"),
        order_wire_id=WireID(f"wire{number}"),
        orig_cl_ord_id=None if orig is None else ClOrdID(orig),
        wire_id=WireID(f"cancel{number}"),
        asked_at=1_700_000_000_000_000_000 + number,
    )


def files(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    journal = FileEmergencyJournal(tmp_path, "one", "db")
    for each in (entry(1), entry(2, orig=None)):
        await journal.append(each)

    assert await journal.entries() == [entry(1), entry(2, orig=None)]
    journal.close()


async def test_a_successor_reads_what_an_ended_process_left(tmp_path: Path) -> None:
    ended = FileEmergencyJournal(tmp_path, "ended", "db")
    await ended.append(entry(1))
    ended.close()
    successor = FileEmergencyJournal(tmp_path, "successor", "db")

    assert await successor.entries() == [entry(1)]
    await successor.forget([entry(1)])
    assert await successor.entries() == []
    successor.close()
    assert files(tmp_path) == []


async def test_a_living_process_keeps_its_own(tmp_path: Path) -> None:
    living, other = (FileEmergencyJournal(tmp_path, name, "db") for name in ("living", "other"))
    await living.append(entry(1))

    assert await other.entries() == []
    assert await living.entries() == [entry(1)]
    for journal in (living, other):
        journal.close()


async def test_what_was_written_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    journal = FileEmergencyJournal(tmp_path, "one", "db")
    await journal.append(entry(1))
    known = await journal.entries()
    await journal.append(entry(2))
    await journal.forget(known)

    assert entry(2) in await journal.entries()
    journal.close()


async def test_a_torn_last_line_does_not_hide_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = FileEmergencyJournal(tmp_path, "one", "db")
    await journal.append(entry(1))
    os.write(journal._fd, b'{"account_id": "a", "cl')

    assert await journal.entries() == [entry(1)]
    assert "cannot be read" in caplog.text
    journal.close()


async def test_lines_of_another_database_are_left_to_it(tmp_path: Path) -> None:
    ended = FileEmergencyJournal(tmp_path, "ended", "db")
    await ended.append(entry(1))
    ended.close()
    stranger = FileEmergencyJournal(tmp_path, "stranger", "other")

    assert await stranger.entries() == []
    await stranger.forget([entry(1)])
    stranger.close()
    successor = FileEmergencyJournal(tmp_path, "successor", "db")
    assert await successor.entries() == [entry(1)]
    successor.close()


async def test_lines_of_a_release_that_named_no_database_are_read_in(tmp_path: Path) -> None:
    ended = FileEmergencyJournal(tmp_path, "ended", "db")
    await ended.append(entry(1))
    ended.close()
    (tmp_path / "emergency-ended@db.jsonl").rename(tmp_path / "emergency-ended.jsonl")
    successor = FileEmergencyJournal(tmp_path, "successor", "db")

    assert await successor.entries() == [entry(1)]
    successor.close()
