"""Many processes: what they must be told, what they keep to themselves, and what is refused."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.config import ConfigError, Role, check, describe, from_environment
from tests.gateway.conftest import Command
from tests.gateway.process import free_port

PASSWORD = "hunter2"
SHARED = {
    "database_url": f"postgresql://drawbridge:{PASSWORD}@127.0.0.1:1/drawbridge",
    "amqp_url": f"amqp://drawbridge:{PASSWORD}@127.0.0.1:1/",
    "redis_url": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    "exchange": "127.0.0.1:1",
}
"""Addresses of all that is shared; on this port nobody answers."""

REMEDIES = {
    "amqp_url": "say amqp://",
    "redis_url": "say redis://",
    "exchange": "start `drawbridge exchange`, and say its host:port",
}
HEADER = "ts,symbol,bid,bid_size,ask,ask_size"


def refused(variables: dict[str, str]) -> str:
    """Return what is said against these settings together."""
    named = {f"DRAWBRIDGE_{name.upper()}": text for name, text in variables.items()}
    with pytest.raises(ConfigError) as error:
        check(from_environment(named))
    return str(error.value)


@contextmanager
def taken_port() -> Iterator[str]:
    """Listen on a port, so that nobody else can."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        yield str(port)


# --- what belongs together ---


@pytest.mark.parametrize("role", Role)
def test_with_all_addresses_every_role_can_run(command: Command, role: Role) -> None:
    ran = command("check-config", "--role", role, **SHARED)

    assert (ran.status, ran.err) == (0, "")
    assert f"DRAWBRIDGE_ROLE={role}" in ran.out.splitlines()
    assert "DRAWBRIDGE_EXCHANGE=127.0.0.1:1" in ran.out.splitlines()


@pytest.mark.parametrize("missing", REMEDIES)
def test_many_processes_need_every_address(missing: str) -> None:
    words = refused({name: text for name, text in SHARED.items() if name != missing})

    assert words.startswith(
        f"DRAWBRIDGE_{missing.upper()} is not set: with DRAWBRIDGE_DATABASE_URL"
    )
    assert REMEDIES[missing] in words
    assert len(words.splitlines()) == 1


def test_all_that_is_missing_is_told_at_once() -> None:
    words = refused({"database_url": SHARED["database_url"]}).splitlines()

    assert len(words) == len(REMEDIES)


@pytest.mark.parametrize("alone", REMEDIES)
def test_one_process_alone_has_all_of_it_inside(alone: str) -> None:
    words = refused({alone: SHARED[alone]})

    assert words.startswith(
        f"DRAWBRIDGE_{alone.upper()} is set, but DRAWBRIDGE_DATABASE_URL is not"
    )
    assert words.endswith("set both or neither")


@pytest.mark.parametrize("role", [Role.API, Role.SESSION])
def test_one_process_alone_must_do_everything(role: Role) -> None:
    words = refused({"role": role})

    assert words.startswith(f"DRAWBRIDGE_ROLE={role}: ")
    assert words.endswith("set DRAWBRIDGE_DATABASE_URL, or leave the role out")


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [("environment", "paper", "set it to sim"), ("host", "0.0.0.0", "use 127.0.0.1")],
)
def test_what_one_process_may_not_many_may_not_either(variable: str, text: str, words: str) -> None:
    assert words in refused({**SHARED, variable: text})


def test_a_role_that_is_none_is_answered_with_those_there_are(command: Command) -> None:
    words = command("serve", "--role", "worker", **SHARED).refused()

    assert "--role worker: say one of api, session, all" in words


# --- passwords ---


def test_passwords_are_never_described(command: Command) -> None:
    ran = command("check-config", **SHARED)

    lines = ran.out.splitlines()
    for name in ("DATABASE_URL", "AMQP_URL", "REDIS_URL"):
        assert f"DRAWBRIDGE_{name}=(set, not shown)" in lines
    assert PASSWORD not in ran.out + ran.err


def test_what_is_not_set_is_described_as_empty() -> None:
    assert "DRAWBRIDGE_DATABASE_URL=" in describe(from_environment({})).splitlines()


@pytest.mark.parametrize("name", ["database_url", "amqp_url", "redis_url"])
def test_a_url_of_another_kind_is_refused_without_being_shown(command: Command, name: str) -> None:
    words = command("serve", **SHARED | {name: f"mysql://root:{PASSWORD}@db/x"}).refused()

    assert f"DRAWBRIDGE_{name.upper()}=…: say a URL that begins with" in words
    assert PASSWORD not in words


@pytest.mark.parametrize("missing", REMEDIES)
def test_what_is_missing_is_told_without_what_is_there(missing: str) -> None:
    assert PASSWORD not in refused({k: v for k, v in SHARED.items() if k != missing})


def test_a_database_that_does_not_answer_is_told_without_its_password(
    command: Command, tmp_path: Path
) -> None:
    words = command("serve", "--role", "api", "--port", free_port(), data=str(tmp_path), **SHARED)

    assert "127.0.0.1:1/drawbridge cannot be used as a store" in words.refused()
    assert "see that the server runs and lets us in, or name another database" in words.err
    assert PASSWORD not in words.err


# --- what is refused before anything is touched ---


def test_an_exchange_that_does_not_answer_is_told_before_the_database_is_asked(
    command: Command, tmp_path: Path
) -> None:
    ran = command("serve", "--port", free_port(), data=str(tmp_path), **SHARED)

    assert "the exchange at 127.0.0.1:1 cannot be used" in ran.refused()


def test_a_port_in_use_is_told_before_anything_else(command: Command, tmp_path: Path) -> None:
    with taken_port() as port:
        ran = command("serve", "--port", port, data=str(tmp_path / "data"), **SHARED)

    assert f"cannot listen on 127.0.0.1:{port}" in ran.refused()
    assert not (tmp_path / "data").exists()


def test_a_token_of_many_processes_needs_the_key_alone(command: Command, tmp_path: Path) -> None:
    arguments = ("token", "--role", "trader", "--data", tmp_path / "shared")
    ran = command(*arguments, **SHARED)

    assert (ran.status, ran.err) == (0, "")
    assert [bool(part) for part in ran.out.strip().split(".")] == [True] * 3
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["development-key.json"]


# --- the exchange ---


def test_an_exchange_is_refused_real_money(command: Command, tmp_path: Path) -> None:
    ran = command("exchange", "--data", tmp_path / "exchange", environment="live")

    assert "DRAWBRIDGE_ENVIRONMENT=live: the paper exchange belongs to sim or paper" in (
        ran.refused()
    )
    assert not (tmp_path / "exchange").exists()


def test_an_exchange_whose_port_is_in_use_leaves_its_journal_alone(
    command: Command, tmp_path: Path
) -> None:
    with taken_port() as port:
        ran = command("exchange", "--port", port, "--data", tmp_path / "exchange")

    assert f"cannot listen on 127.0.0.1:{port}" in ran.refused()
    assert "end what does, or choose another" in ran.err
    assert not (tmp_path / "exchange").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2026-01-05T15:00:00Z,AAPL,1,1,x,1", "line 2: ask 'x' is not a plain decimal number"),
        ("2026-01-05T15:00:00Z,AAPL,2,1,1,1", "line 2: "),
        ("yesterday,AAPL,1,1,2,1", "line 2: "),
    ],
)
def test_an_exchange_names_the_line_of_quotes_that_is_broken(
    command: Command, tmp_path: Path, line: str, words: str
) -> None:
    quotes = tmp_path / "quotes.csv"
    quotes.write_text(f"{HEADER}\n{line}\n")
    ran = command("exchange", "--quotes", quotes, "--data", tmp_path / "exchange")

    assert f"{quotes}, {words}" in ran.refused()
    assert not (tmp_path / "exchange").exists()


@pytest.mark.parametrize("variable", ["quotes", "faults"])
def test_an_exchange_is_refused_a_file_that_is_not_there(
    command: Command, tmp_path: Path, variable: str
) -> None:
    absent = tmp_path / "absent"
    words = command("exchange", f"--{variable}", absent, "--data", tmp_path / "exchange").refused()

    assert f"DRAWBRIDGE_{variable.upper()}={absent}: there is no such file" in words


def test_an_exchange_is_refused_a_journal_that_is_none(command: Command, tmp_path: Path) -> None:
    (tmp_path / "paper.journal").write_text("a letter\n")
    words = command("exchange", "--port", free_port(), "--data", tmp_path).refused()

    assert f"{tmp_path / 'paper.journal'}, line 1" in words
    assert (tmp_path / "paper.journal").read_text() == "a letter\n"
