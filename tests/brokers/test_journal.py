"""The journal: durable before it is read, whole after a crash, and nobody else's meanwhile."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from brokers.paper import journal as journal_module
from brokers.paper.exchange import Exchange
from brokers.paper.journal import Journal, JournalError, Stamp
from brokers.paper.ledger import Ledger
from brokers.paper.messages import Entry
from tests.brokers.world import NOON, STAMP, SlowDisk, cancel, catalogue, new, quote, said, settle
from trading.order import Side
from trading.ports import Environment


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


def entries(count: int) -> list[Entry]:
    """Make entries of an order each, of two events the first and of one the others."""
    exchange = Exchange(catalogue())
    exchange.quote(quote(99, 5, 100, 1))
    made = [exchange.handle(new(f"o{n}", Side.BUY, 1, 100), NOON) for n in range(count)]
    return [entry for entry in made if entry is not None]


async def written(path: Path, count: int) -> list[Entry]:
    journal = Journal(path, lambda _: None, STAMP)
    made = entries(count)
    for entry in made:
        journal.append(entry)
    await journal.close()
    return made


def restored(path: Path) -> list[Entry]:
    found: list[Entry] = []
    journal = Journal(path, found.append, STAMP)
    asyncio.run(journal.close())
    return found


async def test_what_was_written_is_restored_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = await written(path, 3)

    found: list[Entry] = []
    journal = Journal(path, found.append, STAMP)

    assert found == made
    assert journal.last_number == made[-1].events[-1].number == 4
    assert list(journal.read(journal.line_after(2))) == made[1:]
    assert list(journal.read(journal.line_after(1))) == made
    await journal.close()


async def test_a_journal_keeps_the_id_of_its_exchange(tmp_path: Path) -> None:
    await Journal(tmp_path / "j", lambda _: None, STAMP).close()

    again = Journal(tmp_path / "j", lambda _: None, Stamp("other", Environment.SIM))

    assert again.stamp == STAMP
    await again.close()


async def test_nothing_is_read_before_it_is_durable(tmp_path: Path, disk: SlowDisk) -> None:
    journal = Journal(tmp_path / "j", lambda _: None, STAMP)
    reader = asyncio.create_task(journal.reached(0))
    first, second, third = entries(3)

    journal.append(first)
    await settle()
    journal.append(second)
    journal.append(third)
    waiter = asyncio.create_task(journal.flushed())
    await settle()
    assert not reader.done()
    assert not waiter.done()

    disk.release.set()
    await waiter

    assert await reader
    assert list(journal.read(0)) == [first, second, third]
    assert disk.batches == [1, 2], "what comes in during one write makes up the next"
    await journal.close()


async def test_every_batch_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, synced = Journal(tmp_path / "j", lambda _: None, STAMP), []
    fsync = os.fsync

    def watched(fd: int) -> None:
        fsync(fd)
        synced.append(fd)

    monkeypatch.setattr(os, "fsync", watched)
    for entry in entries(3):
        journal.append(entry)
    await journal.flushed()

    assert len(synced) == 1
    await journal.close()


async def test_readers_end_when_it_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", lambda _: None, STAMP)
    reader = asyncio.create_task(journal.reached(0))
    await asyncio.sleep(0)

    await journal.close()

    assert not await reader
    assert journal.closed


def test_a_torn_last_line_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "j"
    made = asyncio.run(written(path, 3))
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1

    for size in range(last + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert restored(path) == made[:2]
        assert path.read_bytes() == whole[:last]
    assert "cut off its torn line 4" in caplog.text


def test_a_torn_header_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"journ')

    assert restored(path) == []
    assert path.read_bytes().startswith(b'{"journal"')


@pytest.mark.parametrize(
    "broken",
    [
        b"{}\n",
        b"not JSON\n",
        b"\xff\xfe\n",
        b'{"events":[]}\n',
        b'{"events":[{"report":{"number":2}}]}\n',
        b'{"events":[{"rapport":{}}]}\n',
        b'{"events":[{"report":{"colour":"red"}}]}\n',
        b'{"events":[{"cancel_reject":{"number":true}}]}\n',
        b'{"events":[],"more":1}\n',
        b"\n",
    ],
)
async def test_any_other_broken_line_is_refused_by_its_number(
    tmp_path: Path, broken: bytes
) -> None:
    path = tmp_path / "j"
    await written(path, 3)
    header, first, second, third = path.read_bytes().splitlines(keepends=True)

    for lines, number in [
        ((header, broken, second, third), 2),
        ((header, first, broken, third), 3),
        ((header, first, second, broken), 4),
    ]:
        path.write_bytes(b"".join(lines))
        with pytest.raises(JournalError, match=rf"{path}, line {number}: .* move it away"):
            Journal(path, Ledger().restore, STAMP)


async def test_a_missing_or_repeated_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await written(path, 3)
    header, first, second, third = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(header + first + third)
    with pytest.raises(JournalError, match=r"line 3: event 4 follows 2"):
        Journal(path, Ledger().restore, STAMP)
    path.write_bytes(header + first + second + second)
    with pytest.raises(JournalError, match=r"line 4: the wire id o1 was used before"):
        Journal(path, Ledger().restore, STAMP)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"journal": "paper exchange", "version": 1}, "written in version 1, where .* version 2"),
        (
            {"journal": "paper exchange", "version": 2, "exchange": "x", "environment": "paper"},
            "it belongs to the environment paper, not sim",
        ),
        ({"journal": "paper exchange", "version": 2}, "not the journal of a paper exchange"),
        ({"journal": "diary", "version": 1}, "not the journal of a paper exchange"),
    ],
)
def test_another_kind_of_file_is_refused(
    tmp_path: Path, header: dict[str, object], problem: str
) -> None:
    path = tmp_path / "j"
    path.write_text(json.dumps(header) + "\n")

    with pytest.raises(JournalError, match=f"line 1: {problem}"):
        Journal(path, lambda _: None, STAMP)


async def test_two_cannot_share_a_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", lambda _: None, STAMP)

    with pytest.raises(JournalError, match="in use by another process: stop that one"):
        Journal(tmp_path / "j", lambda _: None, STAMP)

    await first.close()
    await Journal(tmp_path / "j", lambda _: None, STAMP).close()


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened: No such file"):
        Journal(tmp_path / "nowhere" / "j", lambda _: None, STAMP)


async def test_a_failed_write_is_told_to_everybody_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j", lambda _: None, STAMP)

    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module, "_write", full)
    for entry in entries(2):
        journal.append(entry)

    with pytest.raises(JournalError, match="No space left"):
        await journal.flushed()
    assert journal.failed
    await journal.close()


async def test_every_kind_of_entry_survives_the_file(tmp_path: Path) -> None:
    exchange, path = Exchange(catalogue()), tmp_path / "j"
    exchange.quote(quote("99.5", "0.000008", 100, None))
    made = [
        exchange.handle(new("a", Side.SELL, 5, "101.50", account="é\n"), NOON),
        exchange.handle(cancel("c", "nobody"), NOON),
        exchange.handle(cancel("d", "a"), NOON),
    ]
    journal = Journal(path, lambda _: None, STAMP)
    for entry in made:
        assert entry is not None
        journal.append(entry)
    await journal.close()

    found: list[Entry] = []
    await Journal(path, found.append, STAMP).close()
    assert found == made
    assert [said(entry) for entry in found] == [
        ["a NEW"],
        ["nobody CANCEL_REJECT UNKNOWN_ORDER"],
        ["a CANCELED"],
    ]
