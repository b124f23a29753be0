"""An npm client of Tradovate's API trades with the simulator; its types know all that it is told.

The client is of others and follows Tradovate's published interface: its service asks over REST, its
sockets hear of changes and quotes.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.test_graphql_ws import DRAWBRIDGE, HERE, free_port

pytestmark = [
    pytest.mark.foreign,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "tradovate").is_dir(), reason="run make test-foreign"
    ),
]

LOGIN = ("name", "password", "cid", "sec")
PLACED = [
    ["order", "Created"],
    ["orderVersion", "Created"],
    ["command", "Created"],
    ["commandReport", "Created"],
    ["commandReport", "Created"],
    ["command", "Updated"],
    ["executionReport", "Created"],
    ["order", "Updated"],
]


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Run a simulator; give its address and a log-in."""
    port, data = free_port(), tmp_path / "data"
    plain = {name: text for name, text in os.environ.items() if not name.startswith("DRAWBRIDGE_")}
    command = (DRAWBRIDGE, "simulate", "tradovate", "--port", str(port), "--data", data)
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            command, env=plain, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), (tmp_path / "log").read_text()
            login = [(data / "credentials" / name).read_text().strip() for name in LOGIN]
            yield f"http://127.0.0.1:{port}", *login
        finally:
            process.terminate()
            process.stdout.close()
            status = process.wait(timeout=30)
            sys.stdout.write((tmp_path / "log").read_text()[-5000:])
    assert status == 0, "the simulator did not stop in order on SIGTERM"


def test_an_npm_client_trades_and_is_told_what_it_knows(simulator: tuple[str, ...]) -> None:
    command = ["node", str(HERE / "tradovate.mjs"), *simulator]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])

    assert seen["unknown"] == []
    assert seen["refused"].startswith("Incorrect username or password")
    assert seen["account"] == ["SIM1000001", True, True]
    assert seen["product"] == [0.25, 50]
    assert seen["snapshot"] == [True] * 4
    assert (seen["modified"], seen["canceled"]) == ("number", "number")
    assert (seen["late"], seen["unknownSymbol"]) == ("TooLate", "InvalidContract")
    assert seen["versions"] == [[2, 1], [3, 2]]
    assert seen["labels"] == ["js-1"]
    assert seen["changes"][: len(PLACED)] == PLACED
    assert ["fill", "Created"] in seen["changes"]
    assert ["cashBalance", "Updated"] in seen["changes"]
    assert seen["fill"] == [True, 1, "Sell"]
    assert seen["positions"] == [[True, -1]]
    assert seen["quotes"] >= 1
    assert (seen["renewed"], seen["after"], seen["evicted"]) == (True, "Filled", True)
