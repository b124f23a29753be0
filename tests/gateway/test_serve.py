"""A gateway refuses to start where it could not keep its promises, and lets nobody in unasked."""

import json
import re
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.config import ConfigError, Settings
from gateway.serve import serve
from tests.gateway.client import Client, received
from tests.gateway.conftest import Command
from tests.gateway.market import HEADER
from tests.gateway.process import Running, free_port, running
from tests.gateway.tokens import minted

VIEWER = "{ viewer { userId } }"


# --- it does not start ---


@pytest.fixture
def taken() -> Iterator[int]:
    """Hold a port as another server would."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_found_before_the_store_is_touched(
    command: Command, taken: int, tmp_path: Path
) -> None:
    refused = command("serve", "--port", taken, "--data", tmp_path / "data").refused()

    assert f"cannot listen on 127.0.0.1:{taken} (Address already in use)" in refused
    assert "--port or DRAWBRIDGE_PORT" in refused
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("above", ["file", "/proc"])
def test_a_data_directory_that_cannot_be_written_is_refused(
    command: Command, above: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / above / "data"

    refused = command("serve", "--port", free_port(), "--data", data).refused()
    assert f"the data directory {data} cannot be written to" in refused
    assert "--data" in refused


def test_a_data_directory_of_another_environment_is_refused(
    command: Command, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert command("migrate", "--data", data, environment="paper").status == 0
    before = (data / "store.sqlite3").read_bytes()

    refused = command("serve", "--port", free_port(), "--data", data).refused()
    assert "belongs to the environment paper, and this gateway runs in sim" in refused
    assert (data / "store.sqlite3").read_bytes() == before
    assert not (data / "paper.journal").exists()


@pytest.mark.parametrize("environment", ["paper", "live"])
def test_only_sim_can_be_served(command: Command, environment: str, tmp_path: Path) -> None:
    refused = command("serve", "--data", tmp_path / "data", environment=environment).refused()

    assert f"DRAWBRIDGE_ENVIRONMENT={environment}" in refused
    assert not (tmp_path / "data").exists()


def test_an_address_of_the_network_is_refused(command: Command, tmp_path: Path) -> None:
    assert "--host" in command("serve", "--host", "everywhere").refused()
    refused = command("serve", "--host", "0.0.0.0", "--data", tmp_path / "data").refused()
    assert "DRAWBRIDGE_HOST=0.0.0.0" in refused
    assert not (tmp_path / "data").exists()


GOOD = "2026-01-05T15:00:00Z,AAPL,230.00,,230.02,"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([GOOD, "2026-01-05T15:00:01Z,AAPL,230.00"], "line 3: 3 fields where"),
        ([GOOD, "yesterday,AAPL,230.00,,230.02,"], "line 3: 'yesterday' is not an RFC 3339"),
        ([GOOD, "2026-01-05T15:00:01Z,AAPL,x,,230.02,"], "line 3: bid 'x' is not a plain"),
        ([GOOD, "2026-01-05T15:00:01Z,AAPL,230.03,,230.02,"], "line 3: crossed quote: bid 230.03"),
        ([GOOD, "2026-01-05T14:59:59Z,AAPL,230.00,,230.02,"], "line 3: time goes backwards"),
        ([GOOD, "2026-01-05T15:00:01Z,NOBODY,1,,2,"], "line 3: no instrument is known"),
        ([], "has no quotes"),
    ],
)
def test_a_file_of_quotes_that_is_wrong_is_refused_by_its_line(
    command: Command, lines: list[str], words: str, tmp_path: Path
) -> None:
    file, data = tmp_path / "quotes.csv", tmp_path / "data"
    file.write_text("\n".join([HEADER, *lines, ""]))

    refused = command("serve", "--port", free_port(), "--data", data, "--quotes", file).refused()
    assert f"{file}" in refused
    assert words in refused
    assert not data.exists()


def test_a_fault_script_that_is_wrong_is_refused_by_its_entry(
    command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "faults.json"
    file.write_text('{"faults": [{"kind": "flood", "operation": "submit", "nth": 1}]}')
    options = ("--port", free_port(), "--data", tmp_path / "data", "--faults", file)

    refused = command("serve", *options).refused()
    assert f"{file}, faults entry 1: kind must be one of" in refused


def test_a_journal_of_another_exchange_is_refused(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert command("migrate", "--data", data).status == 0
    (data / "paper.journal").write_text('{"journal": "something else"}\n')

    refused = command("serve", "--port", free_port(), "--data", data).refused()
    assert "paper.journal, line 1: not the journal of a paper exchange" in refused


# --- it runs ---


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("serve") / "data") as gateway:
        yield gateway


def test_what_it_prints_works(gateway: Running) -> None:
    """The page, the token and the command that places an order."""
    [token] = re.findall(r"^  Token +(\S+)$", gateway.welcome, re.MULTILINE)
    [body] = re.findall(r"^    -d '(.*)'$", gateway.welcome, re.MULTILINE)
    assert f"  GraphiQL   {gateway.url}\n" in gateway.welcome
    request = json.loads(body)

    with Client(gateway.url, token) as client:
        order = client.data(request["query"], **request["variables"])
    assert order["__typename"] == "Order"
    assert order["ordStatus"] in {"NEW", "PARTIALLY_FILLED", "FILLED"}


def test_it_says_that_it_lives_and_is_ready(gateway: Running) -> None:
    base = gateway.url.removesuffix("/graphql")
    with httpx2.Client(trust_env=False) as http:
        assert http.get(f"{base}/healthz").json() == {"status": "ok"}
        ready = http.get(f"{base}/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


def test_what_is_there_at_the_start_is_never_collected(gateway: Running) -> None:
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    [told] = [each["message"] for each in lines if "are kept for good" in each["message"]]

    assert int(told.partition(" ")[0]) > 100_000  # a full collection would walk through so many


def test_a_directory_in_use_is_refused(command: Command, gateway: Running) -> None:
    for arguments in (("serve", "--port", free_port()), ("migrate",), ("account", "add", "x")):
        refused = command(*arguments, "--data", gateway.data).refused()
        assert f"the data directory {gateway.data} is in use by another process" in refused


def test_a_port_that_a_gateway_has_is_found_in_use(gateway: Running, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Address already in use"):
        serve(Settings(port=gateway.port, data=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


# --- who may come in ---


@dataclass(frozen=True, slots=True)
class Wrong:
    token: str | None
    words: str


@pytest.fixture(params=["missing", "expired", "of another key", "tampered", "unsigned", "garbage"])
def wrong(request: pytest.FixtureRequest, gateway: Running, tmp_path: Path) -> Wrong:
    good = minted(gateway.data)
    header, payload, signature = good.split(".")
    other = "A" if payload[10] != "A" else "B"
    match request.param:
        case "missing":
            return Wrong(None, "no token: send `authorization: Bearer <token>`")
        case "expired":
            return Wrong(minted(gateway.data, issued_s_ago=3600), "it has expired; get a new one")
        case "of another key":
            return Wrong(minted(tmp_path), "not signed by a key that is trusted here")
        case "tampered":
            return Wrong(
                f"{header}.{payload[:10]}{other}{payload[11:]}.{signature}",
                "not signed by a key that is trusted here",
            )
        case "unsigned":
            return Wrong(f"{header}.{payload}.", "the token is refused")
        case _:
            return Wrong("garbage", "the token is refused: it is malformed")


def test_a_token_that_is_right_opens(gateway: Running) -> None:
    with Client(gateway.url, minted(gateway.data)) as client:
        assert client.data(VIEWER) == {"userId": "trader"}


def test_the_cache_of_documents_hits_and_says_so(gateway: Running) -> None:
    query = "{ gateway { documentCache { hits misses size } } }"
    with Client(gateway.url, minted(gateway.data)) as client:
        before, after = (client.data(query)["documentCache"] for _ in range(2))

    assert int(after["hits"]) == int(before["hits"]) + 1
    assert (after["misses"], after["size"]) == (before["misses"], before["size"])
    assert after["size"] >= 1


def test_a_wrong_token_is_refused_over_http(gateway: Running, wrong: Wrong) -> None:
    with Client(gateway.url, wrong.token) as client:
        response = client.post(VIEWER)

    assert response.status_code == 401
    told = 'Bearer error="invalid_token"' if wrong.token else "Bearer"  # RFC 6750, 3.1
    assert response.headers["www-authenticate"] == told
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert wrong.words in error["message"]


def test_a_wrong_token_closes_a_socket(gateway: Running, wrong: Wrong) -> None:
    with (
        Client(gateway.url, wrong.token) as client,
        client.socket() as socket,
        pytest.raises(ConnectionClosed),
    ):
        received(socket)
    assert socket.close_code == 4403
    assert wrong.words in (socket.close_reason or "")


def test_a_token_that_expires_ends_its_streams(gateway: Running) -> None:
    with Client(gateway.url, minted(gateway.data, lifetime_s=2)) as client:
        query = 'subscription { quotes(symbols: ["AAPL"]) { bid } }'
        with client.subscribe(query) as quotes, pytest.raises(ConnectionClosed) as closed:
            deque(quotes, maxlen=0)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "token expired")


def test_a_role_without_the_permission_is_refused(gateway: Running) -> None:
    state: dict[str, Any] = {
        "scope": {"accountId": "equity"},
        "state": "HALTED",
        "reason": "a trader may not",
    }
    query = """mutation($input: SetTradingStateInput!) {
      setTradingState(input: $input) { __typename }
    }"""
    with Client(gateway.url, minted(gateway.data)) as client:
        error = client.error(query, input=state)
        assert client.account()["tradingState"] == "ACTIVE"
    assert error["extensions"]["code"] == "FORBIDDEN"
