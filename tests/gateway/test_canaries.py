"""Secrets that come in through every entry, and are looked for in all that goes out."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from gateway.log import configure
from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.documents import PLACE
from tests.gateway.otlp import Collector, collecting
from tests.gateway.process import Running, drawbridge, running
from tests.gateway.tokens import minted

CANARY = "canary7f3a9c1e5b2d8046"
TOKEN = f"eyJhbGciOiJFZDI1NTE5In0.{CANARY}.c2ln"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Running]:
    """Run a gateway that logs and traces all that it can."""
    folder = tmp_path_factory.mktemp("loud")
    with pytest.MonkeyPatch.context() as patch:
        for name, text in collector.environment.items():
            patch.setenv(name, text)
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {CANARY}")
        with running(folder / "data", log_level="DEBUG") as gateway:
            yield gateway


def through_http(gateway: Running) -> list[str]:
    """Send canaries in every part of a request; return what came back."""
    url, good = gateway.url, {"authorization": f"Bearer {minted(gateway.data)}"}
    body = {"query": "{ viewer { userId } }"}
    order = {"accountId": "equity", "clOrdId": f"password={CANARY}", "symbol": CANARY}
    order |= {"side": "BUY", "ordType": "MARKET", "orderQty": f"secret={CANARY}"}
    traced = {"tracestate": f"v={CANARY}", "baggage": f"token={CANARY}", "traceparent": CANARY}
    with httpx2.Client(trust_env=False) as client:
        answers = [
            client.post(url, json=body, headers={"authorization": f"Bearer {TOKEN}"}),
            client.post(url, json=body, headers={"authorization": f"Basic {CANARY}"}),
            client.post(url, json=body, headers={"authorization": CANARY, "dpop": TOKEN}),
            client.post(url, json=body, headers=good | {"cookie": f"s={CANARY}", "dpop": TOKEN}),
            client.post(f"{url}?access_token={CANARY}", json=body),
            client.get(url, params={"query": "{ viewer { userId } }", "token": CANARY}),
            client.post(url, content=f'{{"password": "{CANARY}'.encode(), headers=good),
            client.post(f"{url}/{CANARY}", json=body, headers=good),
            client.post(url, json=body, headers=good | traced),
            client.post(url, json=body | {"extensions": traced}, headers=good),
        ]
        # What a caller has sent may come back to it, and goes nowhere else.
        client.post(url, json={"query": PLACE, "variables": {"input": order}}, headers=good)
        client.post(url, json={"query": f'{{ order(id: "{TOKEN}") {{ id }} }}'}, headers=good)
        client.post(url, json={"query": f"{{ {CANARY} }}"}, headers=good)
        client.post(url, json=body | {"operationName": CANARY}, headers=good)
        recorded = order | {"clOrdId": CANARY, "orderQty": "1"}
        client.post(url, json={"query": PLACE, "variables": {"input": recorded}}, headers=good)
    return [f"{answer.headers} {answer.text}" for answer in answers]


def through_a_socket(gateway: Running) -> list[str]:
    url, protocol = gateway.url.replace("http", "ws"), [Subprotocol("graphql-transport-ws")]
    told = []
    said: list[dict[str, str]] = [
        {"authorization": f"Bearer {TOKEN}"},
        {"password": CANARY},
        {"traceparent": CANARY},
        {},
    ]
    for payload in said:
        with connect(url, subprotocols=protocol, proxy=None) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            if not payload:
                socket.send(f'{{"type": "subscribe", "id": "1", "token": "{CANARY}"')
            try:
                while True:
                    told.append(str(socket.recv(10)))
            except ConnectionClosed as closed:
                told.append(str(closed))
    return told


def test_no_canary_comes_out_of_a_gateway(loud: Running, collector: Collector) -> None:
    answers = through_http(loud) + through_a_socket(loud)

    assert [each for each in answers if CANARY in each] == []
    log = loud.log.read_text()
    assert "is refused" in log  # it was loud enough to say what became of them
    assert CANARY not in log
    assert CANARY not in loud.welcome
    told = {"mutation", "query", "GraphQL Operation", "desk", "transaction"}
    collector.until(lambda: {span.name for span in collector.spans} >= told)
    outcomes = {span.attributes.get("drawbridge.outcome") for span in collector.spans}
    assert outcomes >= {"OK", "UNAUTHENTICATED", "BAD_REQUEST", "REJECTED"}
    assert CANARY.encode() not in b"".join(collector.bodies)
    # What refused credentials were is nowhere in the store either.
    with Client(loud.url, minted(loud.data, "auditor")) as auditor:
        assert CANARY not in json.dumps(auditor.answer("{ acts { subject detail userId } }"))


@pytest.mark.parametrize(
    "variables",
    [
        {"database_url": f"postgresql://gw:{CANARY}@127.0.0.1:1/db"},
        {"database_url": f"mysql://gw:{CANARY}@127.0.0.1:1/db"},
        {"amqp_url": f"amqp://gw:{CANARY}@127.0.0.1:1/"},
        {"redis_url": f"redis://:{CANARY}@127.0.0.1:1/0"},
        {"port": f"postgresql://gw:{CANARY}@db/x"},
        {"exchange": f"gw:{CANARY}@host"},
        {"issuer": f"https://user:{CANARY}@idp.example/"},
        {"password": CANARY},
        {"log_level": f"token={CANARY}"},
    ],
)
def test_no_canary_comes_out_of_a_variable(tmp_path: Path, variables: dict[str, str]) -> None:
    shared = {
        "amqp_url": "amqp://127.0.0.1:1/",
        "redis_url": "redis://127.0.0.1:1/0",
        "exchange": "127.0.0.1:1",
    }
    given = (shared if "database_url" in variables else {}) | variables
    for command in (("check-config",), ("migrate", "--data", tmp_path / "data")):
        done = drawbridge(*command, **given)
        assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", f"postgresql://gw:{CANARY}@db/x"),
        ("halt", "--scope", f"password={CANARY}", "--by", "ann", "--reason", "x"),
        ("audit", "verify", "--anchor", f"token={CANARY}"),
        ("documents", "check", f"https://user:{CANARY}@host/manifest"),
    ],
)
def test_no_canary_comes_out_of_a_command(
    command: Command, data: Path, arguments: tuple[str, ...]
) -> None:
    told = command(*arguments, *(() if arguments[0] == "documents" else ("--data", data)))

    assert told.status != 0
    assert CANARY not in told.out + told.err


def broken() -> None:
    raise ConnectionError(f"APCA-API-SECRET-KEY={CANARY} at https://key:{CANARY}@broker")


def test_no_canary_comes_out_of_an_error_that_nobody_expected(
    capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    del command  # it puts logging back as it was
    configure("DEBUG")
    with pytest.raises(ConnectionError) as raised:
        broken()
    logging.getLogger("x").error("a broker: %s", raised.value, exc_info=raised.value)
    sys.excepthook(raised.type, raised.value, raised.tb)

    told = capsys.readouterr().err
    assert told.count("ConnectionError") >= 2
    assert CANARY not in told
