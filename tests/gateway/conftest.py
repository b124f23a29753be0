"""The command line inside the test's own process, and a gateway on a market that stands still."""

import asyncio
import decimal
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.client import Client
from tests.gateway.market import populate, standing
from tests.gateway.process import Running, drawbridge, running
from tests.gateway.tokens import minted

# Every replace of an NVDA order is turned away for an hour, and so stays pending.
FAULTS = {
    "faults": [
        {
            "kind": "rate_limit",
            "operation": "replace",
            "every": 1,
            "symbol": "NVDA@XNAS",
            "retry_after_ms": 3_600_000,
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    status: int
    out: str
    err: str

    def refused(self) -> str:
        """Return the words of a refusal, which is told without a traceback."""
        assert self.status == 2, self
        assert self.out == ""
        assert "Traceback" not in self.err
        return self.err


type Command = Callable[..., Ran]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run a command with these DRAWBRIDGE_* variables and no others."""
    root, precision = logging.getLogger(), decimal.DefaultContext.prec
    handlers, level, context = [*root.handlers], root.level, decimal.getcontext()

    def run(*arguments: object, **variables: str) -> Ran:
        for name in [name for name in os.environ if name.startswith("DRAWBRIDGE_")]:
            monkeypatch.delenv(name)
        for name, text in variables.items():
            monkeypatch.setenv(f"DRAWBRIDGE_{name.upper()}", text)
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:  # argparse ends the process by itself
            status = end.code if isinstance(end.code, int) else 1
        return Ran(status, *capsys.readouterr())

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    decimal.DefaultContext.prec = precision
    decimal.setcontext(context)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data directory with the accounts that a fresh one gets."""
    directory = tmp_path_factory.mktemp("migrated") / "data"
    done = drawbridge("migrate", "--data", directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def data(migrated: Path, tmp_path: Path) -> Path:
    """Copy that directory, for a test to change."""
    return shutil.copytree(migrated, tmp_path / "data")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a gateway where what is off tick, too late or beyond a limit is so every time."""
    folder = tmp_path_factory.mktemp("still")
    asyncio.run(populate(folder / "data"))
    (folder / "faults.json").write_text(json.dumps(FAULTS))
    quotes = standing(folder / "quotes.csv")
    options = ("--quotes", quotes, "--faults", folder / "faults.json")
    with running(folder / "data", *options) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def trader(gateway: Running) -> Iterator[Client]:
    with Client(gateway.url, minted(gateway.data)) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(gateway: Running) -> Iterator[Client]:
    with Client(gateway.url, minted(gateway.data, "stranger")) as client:
        yield client
