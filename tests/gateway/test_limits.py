"""Limits on the command line: read, imported whole or not at all, loosened by two people."""

from pathlib import Path
from typing import Any

import pytest

from gateway.arguments import LIMIT_COLUMNS
from gateway.limitfile import LINES_MAX, LimitFileError, read_limits
from tests.gateway.conftest import Command, Ran


def line(**columns: Any) -> str:
    plain = {"account": "equity", "owner": "desk", "reason": "a test"}
    return ",".join(str((plain | columns).get(name, "")) for name in LIMIT_COLUMNS)


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "limits.csv"
    path.write_text("\n".join([",".join(LIMIT_COLUMNS), *lines, ""]), encoding="utf-8")
    return path


def test_what_is_exported_is_imported_without_a_change(
    command: Command, data: Path, tmp_path: Path
) -> None:
    exported = command("limits", "export", "--data", data).out
    (tmp_path / "limits.csv").write_text(exported, encoding="utf-8")
    ran = command("limits", "import", tmp_path / "limits.csv", "--by", "operator", "--data", data)

    assert exported.count("\n") > 20
    assert (ran.status, ran.out) == (0, "version 1, 0 limits changed\n")
    listed = command("limits", "list", "--data", data).out
    assert listed.startswith(f"version 1, {exported.count('\n') - 1} limits in force\n")
    assert "MAX_OPEN_ORDERS 200 for account=equity (risk: " in listed


def test_a_file_that_tightens_is_set_at_once(command: Command, data: Path, tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        line(name="MAX_OPEN_ORDERS", value="5"),
        line(name="MAX_ORDER_QTY", value="3", symbol="AAPL"),
        line(name="MIN_BUYING_POWER", value="10.5", expires_at="2200-01-01T00:00:00Z"),
    )
    ran = command("limits", "import", path, "--by", "risk_officer", "--data", data)

    assert (ran.status, ran.out.splitlines()[0]) == (0, "version 2, 3 limits changed")
    listed = command("limits", "list", "--data", data).out
    assert "MAX_OPEN_ORDERS 5 for account=equity (desk: a test)" in listed
    assert "MAX_ORDER_QTY 3 for account=equity symbol=AAPL@XNAS (desk: a test)" in listed
    assert "MIN_BUYING_POWER 10.5 until 2200-01-01T00:00:00Z for account=equity" in listed


def decided(ran: Ran) -> str:
    """Return the id of the request that awaits another person."""
    assert ran.status == 3
    return ran.out.split()[-1]


def test_a_file_that_loosens_takes_two_people(command: Command, data: Path, tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        line(name="MAX_OPEN_ORDERS", value="5"),
        line(name="PRICE_COLLAR", value="0.06"),
    )
    asked = command("limits", "import", path, "--by", "operator", "--data", data)
    request = decided(asked)
    assert "PRICE_COLLAR would be 0.06 for" in asked.out
    listed = command("limits", "list", "--data", data).out
    own = command("limits", "approve", request, "--by", "operator", "--data", data)
    approved = command("limits", "approve", request, "--by", "risk_officer", "--data", data)
    again = command("limits", "approve", request, "--by", "risk_officer_2", "--data", data)

    assert listed.startswith("version 1,")
    assert "another person than the requester" in own.refused()
    assert approved.out.splitlines()[0] == "version 2, 2 limits changed"
    assert "ask anew" in again.refused()


def test_one_limit_is_set_and_requests_are_decided(command: Command, data: Path) -> None:
    def limits(*arguments: str, user: str = "operator") -> Ran:
        return command("limits", *arguments, "--by", user, "--data", data)

    where = ("--account", "equity", "--owner", "desk", "--reason", "a test")
    assert limits("set", "MAX_OPEN_ORDERS", "7", *where).status == 0
    first = decided(limits("set", "MAX_OPEN_ORDERS", "8", *where))
    second = decided(limits("set", "MAX_OPEN_ORDERS", "9", *where))
    assert f"{first} DENIED" in limits("deny", first, "--reason", "no", user="risk_officer").out
    assert f"{second} WITHDRAWN" in limits("withdraw", second).out
    shown = limits("requests").out

    assert shown.count("asked by operator") == 2
    assert f"{first} DENIED asked by operator, decided by risk_officer\n" in shown
    assert limits("set", "MAX_OPEN_ORDERS", "none", *where).status == 0
    assert "MAX_OPEN_ORDERS 7" not in command("limits", "list", "--data", data).out


@pytest.mark.parametrize(
    ("lines", "complaints"),
    [
        ([line(name="MAX", value="5")], [":2: name: say one of MAX_ORDER_QTY, "]),
        ([line(name="MAX_ORDER_QTY")], [":2: value: say a value"]),
        ([line(name="MAX_ORDER_QTY", value="1e5")], [":2: value: not a plain decimal"]),
        ([line(name="MAX_ORDER_QTY", value="-1")], [":2: value: -1 is negative"]),
        ([line(name="MAX_ORDER_QTY", value="1", account="x")], [":2: account: there is no acc"]),
        ([line(name="MAX_ORDER_QTY", value="1", symbol="x")], [":2: symbol: no one instrument"]),
        ([line(name="MAX_ORDER_QTY", value="1", reason="")], [":2: reason: say why"]),
        ([line(name="MAX_ORDER_QTY", value="1", tenant="demo")], [":2: scope: a scope names"]),
        ([line(name="MAX_ORDER_QTY", value="1", security_type="x")], [":2: security_type: say"]),
        ([line(name="MAX_ORDER_QTY", value="1", expires_at="now")], [":2: expires_at: not an RFC"]),
        (
            [line(name="MAX_ORDER_QTY", value="1", effective_at="2000-01-01T00:00:00Z")],
            [":2: effective_at: effectiveAt is over"],
        ),
        (["a,b"], [":2: a line has 12 columns"]),
        ([line(name="MAX_ORDER_QTY", value="1") + ",more"], [":2: a line has 12 columns"]),
        (
            [line(name="MAX_ORDER_QTY", value="1"), line(name="x", value="y"), "z"],
            [":3: name: ", ":3: value: ", ":4: a line has"],
        ),
        (
            [line(name="MAX_ORDER_QTY", value="1")] * 2,
            [":3: name: MAX_ORDER_QTY of "],
        ),
    ],
)
def test_a_wrong_file_is_told_by_line_and_column_and_changes_nothing(
    command: Command, data: Path, tmp_path: Path, lines: list[str], complaints: list[str]
) -> None:
    good = line(name="MAX_OPEN_ORDERS", value="1")
    path = file_of(tmp_path, *lines, good)
    told = command("limits", "import", path, "--by", "operator", "--data", data).refused()

    for each in complaints:
        assert f"{path}{each}" in told
    assert command("limits", "list", "--data", data).out.startswith("version 1,")


def test_a_file_that_is_no_list_of_limits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.csv"
    with pytest.raises(LimitFileError, match="cannot be read"):
        read_limits(path)
    for text, complaint in (
        ("", "the first line must be broker,tenant"),
        ("name,value\n", "the first line must be broker,tenant"),
        (f'{",".join(LIMIT_COLUMNS)}\n"', "not CSV"),
        (
            "\n".join([",".join(LIMIT_COLUMNS), *[line(name="x")] * (LINES_MAX + 1)]),
            "at most 10000",
        ),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LimitFileError, match=complaint):
            read_limits(path)
    path.write_bytes(b"\xff")
    with pytest.raises(LimitFileError, match="UTF-8"):
        read_limits(path)


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ("nobody", "--by nobody: there is no such user; there are auditor, "),
        ("trader", "this takes the permission limits:write"),
    ],
)
def test_who_does_it_is_stated_and_may(
    command: Command, data: Path, user: str, complaint: str
) -> None:
    where = ("--account", "equity", "--owner", "o", "--reason", "r", "--data", data)
    ran = command("limits", "set", "MAX_OPEN_ORDERS", "1", "--by", user, *where)

    assert complaint in ran.refused()


def test_nobody_sets_limits_without_a_name(command: Command, data: Path) -> None:
    ran = command("limits", "set", "MAX_OPEN_ORDERS", "1", "--data", data)

    assert "--by" in ran.refused()
