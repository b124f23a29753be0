"""The audits of the reference server of GraphQL over HTTP: a live gateway passes all of them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.process import Running, running, token

HERE = Path(__file__).parent
AUDITS = 61
TIMEOUT_S = 120

pytestmark = pytest.mark.foreign


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "data") as gateway:
        yield gateway


def test_every_audit_passes(gateway: Running) -> None:
    node = shutil.which("node")
    assert node is not None, "Node.js is missing; it runs the foreign client"
    done = subprocess.run(
        [node, HERE / "audit.mjs", gateway.url, token(gateway.data, "trader")],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    audits = json.loads(done.stdout)

    assert [each for each in audits if each["status"] != "ok"] == []
    assert len({each["id"] for each in audits}) == AUDITS
