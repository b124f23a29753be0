"""The fence at Tradovate: nothing of one environment meets another."""

from pathlib import Path

import pytest

from brokers.tradovate.accounts import Accounts
from brokers.tradovate.fence import Credentials
from brokers.tradovate.link import TradovateSettings
from brokers.tradovate.messages import TradovateAccount
from tests.brokers.tradovate import USER, simulated
from tests.trading.builders import FUTURE
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.ports import Environment, Unauthorized

A = AccountID("a")
DEMO, LIVE = "https://demo.tradovateapi.com", "https://live.tradovateapi.com"
DATA = "wss://md.tradovateapi.com/v1/websocket"


def settings(environment: Environment, url: str, data_url: str | None = None) -> TradovateSettings:
    return TradovateSettings(
        environment=environment,
        url=url,
        credentials=USER,
        accounts={A: None},
        directory=Path("nowhere"),
        data_url=data_url,
    )


@pytest.mark.parametrize(
    ("environment", "url", "data_url", "socket_url"),
    [
        (Environment.PAPER, DEMO, DATA, "wss://demo.tradovateapi.com/v1/websocket"),
        (Environment.LIVE, LIVE, DATA, "wss://live.tradovateapi.com/v1/websocket"),
        (Environment.SIM, "http://127.0.0.1:8200/", None, "ws://127.0.0.1:8200/v1/websocket"),
    ],
)
def test_hosts_of_the_environment_are_let_through(
    environment: Environment, url: str, data_url: str | None, socket_url: str
) -> None:
    assert settings(environment, url, data_url).socket_url == socket_url


@pytest.mark.parametrize(
    ("environment", "url", "data_url"),
    [
        (Environment.PAPER, LIVE, None),
        (Environment.LIVE, DEMO, None),
        (Environment.PAPER, "http://demo.tradovateapi.com", None),
        (Environment.PAPER, DEMO, "wss://md.example.org/v1/websocket"),
        (Environment.PAPER, "http://127.0.0.1:8200", None),
        (Environment.SIM, DEMO, None),
        (Environment.SIM, "http://127.0.0.1:8200", DATA),
    ],
)
def test_hosts_of_another_are_refused(
    environment: Environment, url: str, data_url: str | None
) -> None:
    with pytest.raises(Unauthorized, match=f"is not of the environment {environment}"):
        settings(environment, url, data_url)


@pytest.mark.parametrize(
    ("name", "environment", "theirs"),
    [
        ("DEMO12345", Environment.LIVE, "paper"),
        ("12345", Environment.PAPER, "live"),
        ("12345", Environment.SIM, "live"),
        ("SIM1", Environment.PAPER, "sim"),
    ],
)
def test_the_account_that_tradovate_names_must_be_of_the_environment(
    name: str, environment: Environment, theirs: str
) -> None:
    listed = [TradovateAccount(id=1, name=name, is_open=True)]
    with pytest.raises(Unauthorized, match=f"is of the environment {theirs}, .* nothing is sent"):
        Accounts({A: None}, listed, environment)


def test_an_account_that_is_closed_is_refused() -> None:
    listed = [TradovateAccount(id=1, name="DEMO1", is_open=False)]
    with pytest.raises(Unauthorized, match="DEMO1 cannot trade"):
        Accounts({A: None}, listed, Environment.PAPER)


async def test_who_we_are_is_asked_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated(tmp_path, Catalogue([FUTURE])) as tradovate:
        [entity, *_] = tradovate.simulator.entities.all("account")
        monkeypatch.setitem(entity, "name", "DEMO1")
        broker = tradovate.broker(accounts={A: "DEMO1"})
        with pytest.raises(Unauthorized, match="DEMO1 is of the environment paper"):
            await broker.connect(None)
        lines = (tmp_path / "adapter" / "tradovate.jsonl").read_text().splitlines()

    sent = [line.split('"what":"')[1].split('"')[0] for line in lines if '"is":"sent"' in line]
    assert sent == ["POST /v1/auth/accesstokenrequest", "GET /v1/account/list"]


async def test_wrong_credentials_are_refused_in_the_broker_s_words(tmp_path: Path) -> None:
    wrong = Credentials(name=USER.name, password="wrong", cid=USER.cid, sec=USER.sec)
    async with simulated(tmp_path, Catalogue([FUTURE])) as tradovate:
        with pytest.raises(Unauthorized, match="Incorrect username or password"):
            await tradovate.broker(credentials=wrong).connect(None)


def test_credentials_are_read_from_their_mounted_folder_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match=r"name cannot be read"):
        Credentials.read(tmp_path)
    for name in ("name", "password", "cid", "sec"):
        (tmp_path / name).write_text(f"made up {name}\n" if name == "password" else f"{name}\n")
    credentials = Credentials.read(tmp_path)

    assert credentials.request()["password"] == "made up password"
    assert credentials.request()["appId"] == "Drawbridge"
    assert "made up" not in repr(credentials)
    (tmp_path / "app_id").write_text("Ours\n")
    assert Credentials.read(tmp_path).app_id == "Ours"
