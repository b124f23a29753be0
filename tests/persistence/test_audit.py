"""The audit record: append-only, sealed, and every change of it found and named."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from persistence.audit import SqlAudit
from persistence.connection import Connection
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from security.sealing import SealKeys, open_keys
from tests.persistence.changes import A, place, refuse_cancel, save
from tests.persistence.samples import TENANT, StoppedClock, an_act
from trading.audit import ACTS, chain_of
from trading.exporting import Exported, ExportError, Line, export
from trading.ids import TenantID
from trading.sealing import Sealer
from trading.verification import Verification

CHAIN = chain_of(A)

type Spoil = Callable[[dict[str, Any]], object]


@pytest.fixture
def keys(tmp_path: Path) -> SealKeys:
    return open_keys(None, tmp_path)


@pytest.fixture
def sealer(store: SqlStore, keys: SealKeys, clock: StoppedClock) -> Sealer:
    return Sealer(seals=store.audit, signer=keys, clock=clock)


async def recorded(store: SqlStore) -> None:
    """Record six reports of an account, two of another, and two acts."""
    await save(store, place("1", "2", "3", "4", "5"))
    await save(store, place("6", "7", account_id="b"))
    await save(store, lambda books: refuse_cancel(books, "gone"))
    for subject in ("first", "second"):
        await store.audit.record(an_act(subject=subject))


async def found(
    store: SqlStore, keys: SealKeys, anchors: Mapping[int, str] | None = None
) -> list[str]:
    verification = Verification(store.audit, keys, anchors or {})
    return [finding async for finding in verification.findings()]


async def tamper(store: SqlStore, *statements: str) -> None:
    """Do what nobody may: the guards are taken away first, as an owner of the tables could."""
    on_sqlite = isinstance(store._database, SqliteDatabase)
    guards = [
        f"DROP TRIGGER {table}_refuses_{verb}" + ("" if on_sqlite else f" ON {table}")
        for table in ("fills", "reports", "acts", "sealed_pages", "seals")
        for verb in (("update", "delete") if on_sqlite else ("changes",))
    ]

    def job(connection: Connection) -> None:
        for statement in (*guards, *statements):
            connection.text(statement)

    await store._database.write(job)


async def test_what_is_sealed_and_unchanged_fits(
    store: SqlStore, keys: SealKeys, sealer: Sealer
) -> None:
    await recorded(store)
    assert await sealer.seal() == 10
    await save(store, place("8"))
    verification = Verification(store.audit, keys)

    assert [each async for each in verification.findings()] == []
    assert (verification.seals, verification.sealed, verification.unsealed) == (1, 10, 1)
    assert await sealer.seal() == 1
    assert await sealer.seal() == 0
    assert await found(store, keys) == []


@pytest.mark.parametrize(
    ("statements", "findings"),
    [
        (
            ["UPDATE reports SET order_qty = '11' WHERE account_id = 'a' AND seq = 3"],
            ["account a seq 3 was changed after it was sealed (seal 1)"],
        ),
        (
            ["DELETE FROM reports WHERE account_id = 'a' AND seq = 2"],
            ["account a seq 2 is missing (seal 1)"],
        ),
        (
            [
                "UPDATE reports SET seq = 99 WHERE account_id = 'a' AND seq = 2",
                "UPDATE reports SET seq = 2 WHERE account_id = 'a' AND seq = 4",
                "UPDATE reports SET seq = 4 WHERE account_id = 'a' AND seq = 99",
            ],
            [
                "account a seq 2 holds what was recorded as 4: reordered (seal 1)",
                "account a seq 4 holds what was recorded as 2: reordered (seal 1)",
            ],
        ),
        (
            ["UPDATE acts SET user_id = 'somebody' WHERE number = 1"],
            ["act 1 was changed after it was sealed (seal 1)"],
        ),
        (
            ["UPDATE seals SET at = 1 WHERE number = 1"],
            ["seal 1 was changed after it was signed"],
        ),
        (
            ["UPDATE seals SET signature = 'x' WHERE number = 1"],
            ["seal 1: its signature is by no key in"],
        ),
        (
            ["UPDATE sealed_pages SET last = last - 1, leaves = substr(leaves, 65)"],
            [
                "seal 1: its pages are not those that were signed for",
                "account a seq 1: seal 1 does not go on where the chain ended",
            ],
        ),
        (
            [
                "DELETE FROM reports WHERE account_id = 'a' AND seq = 6",
                "UPDATE accounts SET last_seq = 5 WHERE id = 'a'",
            ],
            ["account a seq 6 is missing (seal 1)", "account a ends at 5, and was sealed up to 6"],
        ),
    ],
)
async def test_every_change_is_found_and_named(
    store: SqlStore, keys: SealKeys, sealer: Sealer, statements: list[str], findings: list[str]
) -> None:
    await recorded(store)
    await sealer.seal()
    quoted = statements
    if not isinstance(store._database, SqliteDatabase):
        quoted = [each.replace("'11'", "11") for each in statements]
    await tamper(store, *quoted)

    told = await found(store, keys)
    assert [each[: len(wanted)] for each, wanted in zip(told, findings, strict=False)] == findings


async def test_a_rewritten_history_does_not_fit_what_was_signed(
    store: SqlStore, keys: SealKeys, sealer: Sealer, tmp_path: Path, clock: StoppedClock
) -> None:
    await recorded(store)
    await sealer.seal()
    await tamper(
        store,
        "DELETE FROM sealed_pages",
        "DELETE FROM seals",
        "DELETE FROM chain_heads",
        "UPDATE reports SET symbol = 'MSFT@XNAS' WHERE seq = 1",
    )
    (tmp_path / "theirs").mkdir()
    theirs = open_keys(None, tmp_path / "theirs")
    await Sealer(seals=store.audit, signer=theirs, clock=clock).seal()

    assert [each.split(" in ")[0] for each in await found(store, keys)] == [
        "seal 1: its signature is by no key"
    ]


async def test_a_seal_that_was_noted_elsewhere_shows_what_was_cut_off(
    store: SqlStore, keys: SealKeys, sealer: Sealer
) -> None:
    await recorded(store)
    await sealer.seal()
    first = await store.audit.newest()
    await save(store, place("8"))
    await sealer.seal()
    noted = await store.audit.newest()
    assert first is not None
    assert noted is not None
    anchors = {1: first.digest, 2: noted.digest}
    assert await found(store, keys, anchors) == []
    await tamper(
        store,
        "DELETE FROM sealed_pages WHERE seal = 2",
        "DELETE FROM seals WHERE number = 2",
        "DELETE FROM reports WHERE account_id = 'a' AND seq = 7",
        "UPDATE accounts SET last_seq = 6 WHERE id = 'a'",
    )

    # Without the note, nobody could tell this from a record that ended there.
    assert await found(store, keys) == []
    assert await found(store, keys, anchors) == [
        "seal 2 is missing: it was there when its hash was noted"
    ]
    assert await found(store, keys, {1: "0" * 64}) == ["seal 1 is not the one whose hash was noted"]


@pytest.mark.parametrize("table", ["reports", "acts", "seals", "sealed_pages"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
async def test_nobody_changes_what_is_append_only(
    store: SqlStore, sealer: Sealer, table: str, verb: str
) -> None:
    await recorded(store)
    await sealer.seal()
    column = {"reports": "text", "acts": "detail", "seals": "root", "sealed_pages": "head"}[table]

    with pytest.raises(Exception, match=f"{table} is append-only"):
        await store._database.write(Connection.text, verb.format(table, column, column))


async def test_acts_have_no_gap_however_many_come_at_once(store: SqlStore) -> None:
    await asyncio.gather(*(store.audit.record(an_act(subject=str(n))) for n in range(5)))

    acts = await store.audit.acts(TENANT, 10, 1 << 62)
    assert [each.number for each in acts] == [5, 4, 3, 2, 1]
    assert {each.subject for each in acts} == {"0", "1", "2", "3", "4"}
    assert [each.number for each in await store.audit.acts(TENANT, 2, 4)] == [3, 2]


async def test_acts_are_their_tenants_alone(store: SqlStore) -> None:
    for tenant_id in (TENANT, TenantID("another"), None):
        await store.audit.record(an_act(tenant_id=tenant_id))

    acts = await store.audit.acts(TENANT, 10, 1 << 62)
    assert [(each.number, each.tenant_id) for each in acts] == [(1, TENANT)]


async def test_two_sealers_at_once_seal_each_record_once(
    store: SqlStore, keys: SealKeys, clock: StoppedClock
) -> None:
    await recorded(store)
    sealers = [Sealer(seals=store.audit, signer=keys, clock=clock) for _ in range(3)]

    sealed = await asyncio.gather(*(each.seal() for each in sealers))

    assert sorted(sealed) == [0, 0, 10]
    assert await found(store, keys) == []


async def test_a_long_past_is_sealed_a_bounded_part_at_a_time(
    store: SqlStore, sealer: Sealer, keys: SealKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.sealing.RECORDS_AT_ONCE", 4)
    monkeypatch.setattr("trading.sealing.RECORDS_A_ROUND", 8)
    await save(store, place(*(str(n) for n in range(13))))

    assert [await sealer.seal() for _ in range(3)] == [8, 5, 0]
    assert await found(store, keys) == []


async def test_a_record_that_vanished_before_it_was_sealed_is_not_sealed_over(
    store: SqlStore, keys: SealKeys, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    await recorded(store)
    await tamper(store, "DELETE FROM reports WHERE account_id = 'a' AND seq = 2")
    await sealer.seal()

    assert "account:a lacks the record 2" in caplog.text
    assert await found(store, keys) == ["account a seq 2 is missing (not sealed yet)"]


async def exported(audit: SqlAudit, chain: str = CHAIN, since: int = 0) -> list[Line]:
    return [line async for line in export(audit, chain, since, 1 << 62)]


async def test_an_export_is_verified_without_the_store(
    store: SqlStore, keys: SealKeys, sealer: Sealer
) -> None:
    await recorded(store)
    await sealer.seal()
    await save(store, place("8"))
    await sealer.seal()

    for chain, count in ((CHAIN, 7), (ACTS, 2)):
        export = Exported.of(await exported(store.audit, chain))
        assert (list(export.findings(keys)), len(export.records)) == ([], count)


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lambda line: line.get("position") == 3 and line["content"].update(symbol="X"), "changed"),
        (lambda line: line.get("position") == 3 and line.update(position=30), "3 is missing"),
        (lambda line: line["type"] == "page" and line.update(before="00" * 32), "not under seal"),
        (lambda line: line["type"] == "page" and line.update(path=["00" * 32]), "not under seal"),
        (lambda line: line["type"] == "page" and line.update(seal=9), "has no seal"),
        (lambda line: line["type"] == "seal" and line.update(root="00"), "after it was signed"),
        (lambda line: line["type"] == "seal" and line.update(signature="x"), "by no key"),
    ],
)
async def test_a_spoiled_export_is_found_out(
    store: SqlStore, keys: SealKeys, sealer: Sealer, spoil: Spoil, finding: str
) -> None:
    await recorded(store)
    await sealer.seal()
    lines = [dict(line) for line in await exported(store.audit)]
    for line in lines:
        spoil(line)

    assert finding in "\n".join(Exported.of(lines).findings(keys))


async def test_what_is_not_sealed_is_not_exported(store: SqlStore) -> None:
    await recorded(store)

    with pytest.raises(ExportError, match="audit seal"):
        await exported(store.audit)
    assert len(await exported(store.audit, since=1 << 61)) == 1
    with pytest.raises(ExportError, match="no export"):
        Exported.of([{"type": "something"}])
