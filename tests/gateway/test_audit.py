"""`drawbridge audit` on a data directory: what was done is on record, sealed, and can be shown."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence.opening import store_file
from tests.gateway.conftest import Command

pytestmark = pytest.mark.slow


def halted(command: Command, data: Path) -> None:
    words = ["--scope", "account:equity", "--by", "ann", "--reason", "a drill", "--data", data]
    command("halt", *words)
    request = command("release", *words).out.split("drawbridge approve ")[1].split()[0]
    command("approve", request, "--by", "ann", "--data", data).refused()


def sql(data: Path, *statements: str) -> None:
    with closing(sqlite3.connect(store_file(data))) as store:
        for each in statements:
            store.execute(each)
        store.commit()


def test_acts_are_on_record_with_who_and_what_became_of_them(command: Command, data: Path) -> None:
    halted(command, data)
    command("account", "add", "second", "--by", "bob", "--data", data)
    assert "sealed 4 records; the last seal is 1:" in command("audit", "seal", "--data", data).out

    told = command("audit", "export", "--acts", "--by", "eve", "--data", data).out
    acts = [line for line in told.splitlines() if '"type": "record"' in line]
    wanted = [
        ("SET_TRADING_STATE", "DONE", "ann", "HALTED NONE: a drill"),
        ("SET_TRADING_STATE", "AWAITS_APPROVAL", "ann", "ACTIVE NONE: a drill"),
        ("APPROVE_TRADING_STATE", "REFUSED", "ann", "another person"),
        ("ADD_ACCOUNT", "DONE", "bob", "like equity"),
    ]
    assert len(acts) == len(wanted)
    for act, words in zip(acts, wanted, strict=True):
        assert all(word in act for word in words)
    command("audit", "seal", "--data", data)
    assert '"EXPORT_AUDIT"' in command("audit", "export", "--acts", "--data", data).out


def test_a_change_is_named_and_ends_with_1(command: Command, data: Path) -> None:
    halted(command, data)
    command("audit", "seal", "--data", data)
    fits = command("audit", "verify", "--data", data)
    assert fits.out.startswith(
        "all fits: 3 records under 1 seals, 0 not sealed yet; the last is 1:"
    )
    anchor = fits.out.strip().rpartition(" ")[2]
    sql(
        data, "DROP TRIGGER acts_refuses_update", "UPDATE acts SET user_id = 'eve' WHERE number = 2"
    )

    found = command("audit", "verify", "--data", data, "--anchor", anchor)
    assert found.status == 1
    assert found.out.splitlines()[0] == "act 2 was changed after it was sealed (seal 1)"


def test_an_export_is_checked_without_a_store(command: Command, data: Path, tmp_path: Path) -> None:
    halted(command, data)
    command("audit", "seal", "--data", data)
    file = tmp_path / "acts.ndjson"
    file.write_text(command("audit", "export", "--acts", "--data", data).out)
    keys = tmp_path / "public.json"
    keys.write_text(command("audit", "keys", "--data", data).out)

    elsewhere = {"audit_keys": str(keys)}
    fits = command("audit", "verify", "--export", file, **elsewhere)
    assert fits.out == "all fits: 3 records of acts, sealed and in order\n"
    file.write_text(file.read_text().replace("a drill", "no drill"))
    assert command("audit", "verify", "--export", file, **elsewhere).status == 1


def test_what_cannot_be_exported_or_noted_is_refused(command: Command, data: Path) -> None:
    halted(command, data)
    asked = ["audit", "export", "--data", data]

    assert "run `drawbridge audit seal`" in command(*asked, "--acts").refused()
    assert "no such account" in command(*asked, "--account", "nobody").refused()
    assert "--since noon" in command(*asked, "--acts", "--since", "noon").refused()
    assert (
        "say NUMBER:HASH" in command("audit", "verify", "--anchor", "x", "--data", data).refused()
    )
    keys = {"audit_keys": "/nowhere/keys.json"}
    assert "cannot be read" in command("audit", "verify", "--data", data, **keys).refused()
