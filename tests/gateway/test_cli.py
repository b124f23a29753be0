"""The command line: what each command prints, and what it refuses in words."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from persistence.migration import head
from security.roles import Role
from tests.gateway.conftest import Command
from tests.tidy.rules import ROOT


def test_the_schema_is_the_one_that_is_committed(command: Command) -> None:
    ran = command("sdl")

    assert ran.status == 0
    assert ran.out == (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8")


def test_help_names_every_command(command: Command) -> None:
    ran = command("--help")

    assert ran.status == 0
    for name in ("serve", "token", "account", "user", "limits", "migrate", "sdl", "check-config"):
        assert f"\n    {name}" in ran.out


def test_without_a_command_the_usage_is_shown(command: Command) -> None:
    assert "usage: drawbridge" in command().refused()


def test_a_refusal_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--port", "x"]) == 2
    assert capsys.readouterr().err.startswith("drawbridge: --port x: ")


# --- token ---


@pytest.mark.parametrize("role", Role)
def test_a_token_is_printed_and_nothing_else(command: Command, data: Path, role: Role) -> None:
    ran = command("token", "--role", role, "--data", data)

    assert (ran.status, ran.err) == (0, "")
    [line] = ran.out.splitlines()
    assert [bool(part) for part in line.split(".")] == [True] * 3


def test_a_token_of_an_unknown_role_is_refused(command: Command, data: Path) -> None:
    refused = command("token", "--role", "king", "--data", data).refused()

    assert "viewer, trader, risk_officer" in refused


def test_a_token_without_a_data_directory_is_refused(command: Command, tmp_path: Path) -> None:
    refused = command("token", "--role", "trader", "--data", tmp_path / "none").refused()

    assert f"no store in {tmp_path / 'none'}" in refused
    assert "drawbridge serve" in refused


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"environment": "paper"}, "serves sim alone"),
        ({"environment": "live"}, "serves sim alone"),
        ({"host": "0.0.0.0"}, "serves loopback alone"),
        ({"host": "192.0.2.1"}, "serves loopback alone"),
    ],
)
def test_a_token_is_refused_outside_sim_and_off_loopback(
    command: Command, data: Path, variables: dict[str, str], words: str
) -> None:
    assert words in command("token", "--role", "trader", "--data", data, **variables).refused()


def test_the_key_that_signs_tokens_is_its_owners_alone(command: Command, data: Path) -> None:
    command("token", "--role", "trader", "--data", data)
    key = data / "development-key.json"
    assert key.stat().st_mode & 0o077 == 0

    key.chmod(0o644)
    assert "others may read" in command("token", "--role", "trader", "--data", data).refused()


# --- account ---


def test_an_account_is_added_with_limits_and_entitlements(command: Command, data: Path) -> None:
    ran = command("account", "add", "second", "--cash", "5000.25", "--data", data)

    assert (ran.status, ran.out) == (0, "added the account second\n")
    with sqlite3.connect(data / "store.sqlite3") as store:
        rows = dict(store.execute("select id, cash from accounts").fetchall())
        limits = [
            store.execute(
                "select security_type, symbol, name, value from limit_values"
                " where account_id = ? order by 1, 2, 3",
                [each],
            ).fetchall()
            for each in ("equity", "second")
        ]
    store.close()
    assert rows["second"] == "5000.25"
    assert limits[0] == limits[1] != []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["equity"], "the account equity exists already"),
        (["new", "--like", "nothing"], "--like nothing: there is no such account"),
        (["new", "--tenant", "stranger"], "its tenant stranger"),
        (["new", "--cash", "1e6"], "not a plain decimal number"),
        (["new", "--cash", "NaN"], "not a plain decimal number"),
        ([], "the following arguments are required: id"),
    ],
)
def test_an_account_that_cannot_be_is_refused(
    command: Command, data: Path, arguments: list[str], words: str
) -> None:
    assert words in command("account", "add", *arguments, "--data", data).refused()


# --- migrate ---


def test_to_migrate_again_changes_nothing(command: Command, data: Path) -> None:
    again = command("migrate", "--data", data)

    assert (again.status, again.out) == (0, f"the store in {data} is at revision {head()}\n")
    with sqlite3.connect(data / "store.sqlite3") as store:
        assert store.execute("select count(*) from accounts").fetchone() == (2,)
    store.close()


def test_help_imports_nothing_of_what_runs() -> None:
    """It is the first that a user sees, and to import everything takes over a second."""
    look = (
        "import sys, gateway.cli; gateway.cli.parser().format_help();"
        " print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT
    )

    heavy = {"graphql", "strawberry", "sqlalchemy", "alembic", "uvicorn", "persistence", "serving"}
    assert heavy & set(done.stdout.split()) == set()
