"""The fence: nothing of one environment meets another, and a refusal says what to do."""

from pathlib import Path

import pytest

from brokers.alpaca.broker import AlpacaBroker
from brokers.alpaca.fence import Credentials, check_account, check_url
from brokers.alpaca.link import AlpacaSettings
from brokers.alpaca.simulator import account
from gateway.system import SystemClock
from tests.brokers.alpaca import KEY, simulated
from tests.brokers.world import catalogue
from trading.ids import AccountID
from trading.ports import Environment, Unauthorized

PAPER, LIVE = "https://paper-api.alpaca.markets", "https://api.alpaca.markets"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (Environment.PAPER, PAPER),
        (Environment.LIVE, LIVE),
        (Environment.SIM, "http://127.0.0.1:8200"),
        (Environment.SIM, "http://localhost:1"),
        (Environment.SIM, "http://[::1]:8200"),
    ],
)
def test_a_host_of_the_environment_is_let_through(environment: Environment, url: str) -> None:
    check_url(url, environment)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (Environment.PAPER, LIVE),
        (Environment.LIVE, PAPER),
        (Environment.PAPER, "http://paper-api.alpaca.markets"),
        (Environment.PAPER, "https://paper-api.alpaca.markets.example.org"),
        (Environment.PAPER, "https://paper-api.alpaca.markets@example.org"),
        (Environment.LIVE, "https://api.alpaca.markets:8443"),
        (Environment.PAPER, "http://127.0.0.1:8200"),
        (Environment.SIM, PAPER),
        (Environment.SIM, "http://192.0.2.1:8200"),
    ],
)
def test_a_host_of_another_is_refused(environment: Environment, url: str) -> None:
    with pytest.raises(Unauthorized, match=f"is not of the environment {environment}"):
        check_url(url, environment)


def broker(folder: Path, environment: Environment, url: str, key_id: str) -> AlpacaBroker:
    settings = AlpacaSettings(
        environment=environment,
        url=url,
        credentials=Credentials(key_id, KEY.secret_key),
        account_id=AccountID("a"),
        directory=folder,
    )
    return AlpacaBroker(settings, catalogue(), SystemClock())


@pytest.mark.parametrize(
    ("environment", "url", "key_id", "theirs"),
    [
        (Environment.PAPER, PAPER, "AKMADEUP", "live"),
        (Environment.LIVE, LIVE, "PKMADEUP", "paper"),
        (Environment.LIVE, LIVE, "SIMMADEUP", "sim"),
        (Environment.SIM, "http://127.0.0.1:1", "AKMADEUP", "live"),
    ],
)
def test_a_key_of_another_environment_is_refused_before_anything_is_opened(
    tmp_path: Path, environment: Environment, url: str, key_id: str, theirs: str
) -> None:
    with pytest.raises(
        Unauthorized, match=f"is of Alpaca's environment {theirs}, .* {environment}"
    ):
        broker(tmp_path, environment, url, key_id)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "theirs"), [("PA3ABCDEF", "paper"), ("123456789", "live"), ("", "live")]
)
def test_the_account_that_the_broker_names_must_be_of_the_environment(
    number: str, theirs: str
) -> None:
    with pytest.raises(Unauthorized, match=f"is of the environment {theirs}, .* nothing is sent"):
        check_account(number, Environment.SIM)


async def test_who_we_are_is_asked_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "NUMBER", "123456789")
    async with simulated(tmp_path, catalogue()) as alpaca:
        opened = alpaca.broker()
        with pytest.raises(Unauthorized, match="account is of the environment live"):
            await opened.connect(None)
        lines = (tmp_path / "adapter" / "alpaca.jsonl").read_text().splitlines()

    assert [line.split('"what":"')[1].split('"')[0] for line in lines] == [
        "GET /v2/account",
        "200 GET /v2/account",
    ]


async def test_a_wrong_key_is_refused_in_the_broker_s_words(tmp_path: Path) -> None:
    async with simulated(tmp_path, catalogue()) as alpaca:
        opened = broker(tmp_path / "x", Environment.SIM, alpaca.url, "SIMOTHER")
        with pytest.raises(Unauthorized, match="request is not authorized"):
            await opened.connect(None)


@pytest.mark.parametrize("text", ["", "two words", "with\x00nul"])
def test_a_credential_that_cannot_be_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "key_id").write_text(text)
    with pytest.raises(Unauthorized, match="key_id must be one line"):
        Credentials.read(tmp_path)


def test_a_key_is_read_from_its_mounted_folder_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match=r"key_id cannot be read"):
        Credentials.read(tmp_path)
    (tmp_path / "key_id").write_text("PKX\n")
    (tmp_path / "secret_key").write_text("made-up\n")

    credentials = Credentials.read(tmp_path)
    assert credentials.headers() == {"apca-api-key-id": "PKX", "apca-api-secret-key": "made-up"}
    assert "made-up" not in repr(credentials)
