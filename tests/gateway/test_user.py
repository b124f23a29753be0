"""`drawbridge user`: who is added may call, with the role and the accounts that were said."""

from pathlib import Path

import pytest

from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.process import running
from tests.gateway.tokens import minted


def listed(command: Command, data: Path, user: str) -> str:
    lines = command("user", "list", "--data", data).out.splitlines()
    return next((line for line in lines if line.startswith(f"{user} ")), "")


def test_a_user_is_added_and_changed(command: Command, data: Path) -> None:
    grants = ("--account", "equity", "--account", "futures=READ")
    added = command(
        "user", "add", "ann", "--role", "trader", *grants, "--by", "bob", "--data", data
    )
    told = "ann tenant=demo role=trader equity=TRADE futures=READ"
    assert (added.status, added.out) == (0, f"added the user {told}\n")
    assert listed(command, data, "ann") == told

    changed = ("--role", "viewer", "--account", "futures", "--withdraw", "equity")
    command("user", "change", "ann", *changed, "--data", data)
    assert listed(command, data, "ann") == "ann tenant=demo role=viewer futures=TRADE"

    command("audit", "seal", "--data", data)
    acts = command("audit", "export", "--acts", "--data", data).out
    for words in (["ADD_USER", "bob", "user:ann"], ["CHANGE_USER", "withdraw equity"]):
        assert any(all(word in line for word in words) for line in acts.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "trader", "--role", "viewer"], "the user trader exists already"),
        (["add", "ann", "--role", "king"], "say one of viewer, trader"),
        (["add", "ann"], "required: --role"),
        (["add", "ann", "--role", "viewer", "--tenant", "x"], "there is no tenant x"),
        (["add", "ann", "--role", "viewer", "--account", "x"], "the tenant demo has no account x"),
        (["add", "ann", "--role", "viewer", "--account", "equity=ALL"], "say ID=READ or TRADE"),
        (["change", "ann", "--role", "viewer"], "there is no user ann"),
        (["change", "trader"], "nothing to change: say --role"),
        (
            ["change", "trader", "--account", "equity", "--withdraw", "equity"],
            "--withdraw equity: --account grants it as well",
        ),
    ],
)
def test_one_that_cannot_be_is_refused_and_nothing_is_changed(
    command: Command, data: Path, arguments: list[str], words: str
) -> None:
    before = command("user", "list", "--data", data).out
    assert words in command("user", *arguments, "--data", data).refused()
    assert command("user", "list", "--data", data).out == before


@pytest.mark.slow
def test_who_was_added_may_call(command: Command, data: Path) -> None:
    command("user", "add", "ann", "--role", "viewer", "--account", "futures", "--data", data)
    with running(data) as gateway, Client(gateway.url, minted(data, "ann")) as client:
        assert [each["id"] for each in client.data("{ accounts { id } }")] == ["futures"]
