"""Alpaca's clients in two languages trade with the simulator; its answers fit Alpaca's API."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.foreign import openapi
from tests.foreign.test_graphql_ws import DRAWBRIDGE, HERE, free_port

pytestmark = pytest.mark.foreign


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """Run a simulator; give its address and its key."""
    folder = tmp_path_factory.mktemp("alpaca")
    port, data = free_port(), folder / "data"
    plain = {name: text for name, text in os.environ.items() if not name.startswith("DRAWBRIDGE_")}
    command = (DRAWBRIDGE, "simulate", "alpaca", "--port", str(port), "--data", data)
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            command, env=plain, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}", *_key(data / "credentials")
        finally:
            process.terminate()
            process.stdout.close()
            status = process.wait(timeout=30)
            sys.stdout.write((folder / "log").read_text()[-5000:])
    assert status == 0, "the simulator did not stop in order on SIGTERM"


def _key(folder: Path) -> tuple[str, str]:
    return (folder / "key_id").read_text().strip(), (folder / "secret_key").read_text().strip()


@pytest.fixture(scope="module")
def sdk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_module("tests.foreign.alpaca_sdk")


@pytest.fixture
def answers() -> list[tuple[str, str, int, Any]]:
    return []


@pytest.fixture
def client(
    sdk: Any, simulator: tuple[str, str, str], answers: list[tuple[str, str, int, Any]]
) -> Any:
    url, key_id, secret_key = simulator
    made = sdk.TradingClient(key_id, secret_key, url_override=url)

    def keep(response: Any, *_: object, **__: object) -> None:
        body = json.loads(response.text) if response.text else None
        answers.append((response.request.method, response.url, response.status_code, body))

    made._session.hooks["response"].append(keep)
    return made


def terms(sdk: Any, client_order_id: str) -> dict[str, Any]:
    plain = {"symbol": "AAPL", "qty": 2, "client_order_id": client_order_id}
    return plain | {"side": sdk.OrderSide.BUY, "time_in_force": sdk.TimeInForce.GTC}


def rest(sdk: Any, client: Any, client_order_id: str) -> Any:
    request = sdk.LimitOrderRequest(**terms(sdk, client_order_id), limit_price=1)
    return client.submit_order(request)


def test_alpaca_py_trades(sdk: Any, client: Any, answers: list[tuple[str, str, int, Any]]) -> None:
    resting: Any = rest(sdk, client, "py-1")
    with pytest.raises(sdk.APIError, match="client_order_id must be unique") as duplicate:
        rest(sdk, client, "py-1")
    assert (duplicate.value.status_code, duplicate.value.code) == (422, 40010001)
    again: Any = client.get_order_by_client_id("py-1")
    assert again.id == resting.id

    change = sdk.ReplaceOrderRequest(qty=3, limit_price=2, client_order_id="py-2")
    following: Any = client.replace_order_by_id(resting.id, change)
    assert (following.replaces, following.qty) == (resting.id, "3")
    client.cancel_order_by_id(following.id)
    with pytest.raises(sdk.APIError, match="already in canceled state"):
        client.cancel_order_by_id(following.id)

    client.submit_order(sdk.MarketOrderRequest(**terms(sdk, "py-3")))
    filled: Any = _filled(sdk, client, "py-3")
    position: Any = client.get_open_position("AAPL")
    assert float(position.qty) >= float(filled.filled_qty) == 2
    closed = client.get_orders(sdk.GetOrdersRequest(status=sdk.QueryOrderStatus.CLOSED))
    assert {each.client_order_id for each in closed} >= {"py-1", "py-2", "py-3"}
    account: Any = client.get_account()
    assert account.account_number.startswith("SIM")
    client.get_all_positions()
    client.get_clock()
    client.get_asset("AAPL")
    client.get("/account/activities/FILL")
    client.cancel_orders()

    if not openapi.TRADING.is_file():
        pytest.skip("Alpaca's OpenAPI is not here")
    checked = [each for each in answers if openapi.describes(*each[:3])]
    assert len(checked) >= 10
    assert {(m, u): p for m, u, s, b in answers if (p := openapi.problems(m, u, s, b))} == {}


def _filled(sdk: Any, client: Any, client_order_id: str) -> Any:
    for _ in range(100):
        found: Any = client.get_order_by_client_id(client_order_id)
        if found.status is sdk.OrderStatus.FILLED:
            return found
        time.sleep(0.1)  # between two looks: more of them would be refused as too many
    raise TimeoutError(client_order_id)


def test_the_check_against_the_api_finds_what_does_not_fit() -> None:
    if not openapi.TRADING.is_file():
        pytest.skip("Alpaca's OpenAPI is not here")

    assert openapi.problems("GET", "http://x/v2/account", 200, {"id": 7, "status": "ACTIVE"})


def test_alpaca_py_follows_trades(sdk: Any, simulator: tuple[str, str, str], client: Any) -> None:
    url, key_id, secret_key = simulator
    stream = sdk.TradingStream(
        key_id, secret_key, url_override=f"{url.replace('http', 'ws')}/stream"
    )
    heard: list[tuple[str, str]] = []
    news = threading.Condition()

    async def hear(update: Any) -> None:
        with news:
            heard.append(
                (str(getattr(update.event, "value", update.event)), update.order.client_order_id)
            )
            news.notify()

    def told(event: tuple[str, str]) -> bool:
        with news:
            return news.wait_for(lambda: event in heard, 10)

    stream.subscribe_trade_updates(hear)
    following = threading.Thread(target=stream.run)
    following.start()
    try:
        # It says nothing when it listens: orders are placed until one is told of.
        for number in itertools.count():
            client.cancel_order_by_id(rest(sdk, client, f"early-{number}").id)
            with news:
                if news.wait_for(lambda: heard, 0.2):
                    break
            assert number < 50
        order: Any = rest(sdk, client, "follow-1")
        client.cancel_order_by_id(order.id)
        client.submit_order(sdk.MarketOrderRequest(**terms(sdk, "follow-2")))
        _filled(sdk, client, "follow-2")
        assert told(("fill", "follow-2"))
    finally:
        stream.stop()
        following.join(10)

    followed = [each for each in heard if each[1].startswith("follow")]
    assert followed[:2] == [("new", "follow-1"), ("canceled", "follow-1")]
    assert followed[2] == ("new", "follow-2")
    assert followed[-1] == ("fill", "follow-2")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")
@pytest.mark.skipif(
    not (HERE / "node_modules" / "@alpacahq").is_dir(), reason="run make test-foreign"
)
def test_alpaca_s_npm_client_trades(simulator: tuple[str, str, str]) -> None:
    command = ("node", HERE / "alpaca.mjs", *simulator)
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])

    assert seen["duplicate"] == [422, "client_order_id must be unique"]
    assert seen["replaced"] == [True, "3"]
    assert (seen["late"], seen["found"], seen["account"]) == (422, "canceled", "ACTIVE")
    assert seen["updates"][:4] == [
        ["new", "js-1"],
        ["replaced", "js-1"],
        ["new", "js-2"],
        ["canceled", "js-2"],
    ]
    assert seen["updates"][-1] == ["fill", "js-3"]
    assert seen["open"] == 0
    assert [symbol for symbol, _ in seen["positions"]] == ["AAPL"]
