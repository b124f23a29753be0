"""A client that nobody here wrote gets every report and fill once, in order, over lost sockets."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DRAWBRIDGE = Path(sys.executable).with_name("drawbridge")
ACCOUNT, SYMBOL = "equity", "AAPL"
ORDERS = 1000
TIMEOUT_S = 180

pytestmark = pytest.mark.foreign


def free_port() -> int:
    """Find a port below those that the system gives to outgoing connections."""
    for port in range(20_000, 32_768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port from 20000 to 32767")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Run a gateway on a fresh directory; give its address and that directory."""
    port, data = free_port(), tmp_path / "data"
    plain = {name: text for name, text in os.environ.items() if not name.startswith("DRAWBRIDGE_")}
    command = (DRAWBRIDGE, "serve", "--port", str(port), "--data", data)
    with (tmp_path / "gateway.log").open("w+") as log:
        process = subprocess.Popen(
            command, env=plain, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            welcome = process.stdout.readline() or process.stdout.readline()
            assert welcome, (tmp_path / "gateway.log").read_text()
            yield f"http://127.0.0.1:{port}/graphql", data
        finally:
            process.terminate()
            process.stdout.close()
            status = process.wait(timeout=30)
            # Shown by pytest where the test fails.
            sys.stdout.write((tmp_path / "gateway.log").read_text()[-10_000:])
    assert status == 0, "the gateway did not stop in order on SIGTERM"


def token(data: Path) -> str:
    command = (DRAWBRIDGE, "token", "--role", "trader", "--data", data)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def trade(url: str, data: Path) -> Any:
    """Run the client; return what it saw."""
    node = shutil.which("node")
    assert node, "this suite needs Node.js 20 or later"
    assert (HERE / "node_modules").is_dir(), "run `npm ci` in tests/foreign"
    done = subprocess.run(
        (node, HERE / "client.mjs", url, token(data), ACCOUNT, SYMBOL, str(ORDERS)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_report_and_fill_comes_once_in_order(gateway: tuple[str, Path]) -> None:
    saw = trade(*gateway)
    assert saw["filledOrders"] == ORDERS

    # Two cuts, each with reports before it and more to come after it.
    assert len(saw["connections"]) == 3
    reported = [connection["reports"] for connection in saw["connections"]]
    assert 0 == reported[0] < reported[1] < reported[2] < saw["log"]

    assert saw["reports"] == list(range(1, saw["log"] + 1))
    assert saw["reportsAreTheLog"]
    assert saw["lastSeq"] == str(saw["log"])

    assert saw["fills"] == sorted(set(saw["fills"]))
    assert len(saw["fills"]) >= ORDERS
    assert saw["fillsAreTheLogs"]

    assert {quote["symbol"].partition("@")[0] for quote in saw["quotes"]} == {SYMBOL}
    begins = [connection["quotes"] for connection in saw["connections"]]
    for begin, end in pairwise([*begins, len(saw["quotes"])]):
        quotes = saw["quotes"][begin:end]
        assert quotes
        assert all(before != after for before, after in pairwise(quotes))
