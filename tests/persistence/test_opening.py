"""Which stores are opened, and which are refused with the reason and the remedy."""

import asyncio
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from persistence import migration
from persistence.errors import StoreRefused
from persistence.opening import open_store
from persistence.store import SqlStore
from tests.persistence.conftest import opened, populate
from tests.persistence.samples import STOCK, StoppedClock
from trading.ids import InstrumentID
from trading.instrument import Catalogue
from trading.ports import Environment


async def reopened(directory: Path) -> None:
    await (await opened(directory)).close()


def sql(directory: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(directory / "store.sqlite3")
    with connection:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


async def test_a_fresh_directory_is_made_and_stamped(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    store = await opened(directory, StoppedClock(7))
    await store.close()

    stamp = sql(directory, "SELECT environment, created_at, version FROM gateway")
    assert stamp == [("sim", 7, "0.1.0")]
    assert directory.stat().st_mode & 0o077 == 0


async def test_what_was_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await populate(first)
    await first.close()
    second = await opened(tmp_path, StoppedClock(9))
    heads = await second.reads.heads(["a", "b"])  # type: ignore[list-item]
    await second.close()

    assert heads == {"a": 0, "b": 0}
    assert sql(tmp_path, "SELECT created_at FROM gateway") == [(0,)]


async def test_a_store_keeps_its_identity_and_shares_it_with_none(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "one", "other"):
        store = await opened(tmp_path / name)
        seen.append(await store.identity())
        await store.close()

    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 32


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_directory_that_is_in_use_is_refused(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match=r"data is in use by another process: .* --data"):
        await opened(tmp_path / "data")

    assert await store.reads.heads([]) == {}


async def test_a_directory_in_use_by_another_process_is_refused_until_that_dies(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from persistence.lock import DirectoryLock;"
        " lock = DirectoryLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"

    with pytest.raises(StoreRefused, match="in use by another process"):
        await opened(tmp_path)
    holder.kill()
    await holder.communicate()
    await reopened(tmp_path)


async def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreRefused, match=r"file/data cannot be written to .* --data"):
        await opened(tmp_path / "file" / "data")


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_bytes(b"something else altogether" * 100)

    with pytest.raises(StoreRefused, match=r"store\.sqlite3 cannot be used as a store"):
        await opened(tmp_path)


async def test_a_store_of_another_environment_is_refused_and_unchanged(tmp_path: Path) -> None:
    await reopened(tmp_path)

    with pytest.raises(StoreRefused, match=r"belongs to the environment sim, .* runs in live"):
        await open_store(
            tmp_path,
            environment=Environment.LIVE,
            catalogue=Catalogue([STOCK, replace(STOCK, symbol="MSFT")]),
            clock=StoppedClock(),
            version="0.1.0",
        )
    assert sql(tmp_path, "SELECT symbol FROM instruments") == [("AAPL",)]
    await reopened(tmp_path)


async def test_a_store_that_a_newer_program_changed_is_refused(tmp_path: Path) -> None:
    await reopened(tmp_path)
    sql(tmp_path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreRefused, match=f"9999, and this one knows up to {migration.head()}"):
        await opened(tmp_path)


async def test_instruments_of_earlier_runs_stay_known(tmp_path: Path) -> None:
    old = replace(STOCK, symbol="OLD")
    await reopened(tmp_path)
    first = await open_store(
        tmp_path,
        environment=Environment.SIM,
        catalogue=Catalogue([old, replace(STOCK, description="renamed")]),
        clock=StoppedClock(),
        version="0.1.0",
    )
    await first.close()
    second = await opened(tmp_path)
    await second.close()

    assert second.catalogue.get(InstrumentID("OLD@XNAS")) == old
    assert second.catalogue.get(STOCK.id) == STOCK
