"""A broker's simulator as a process of its own, as a user runs it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.process import DRAWBRIDGE, STOP_S, environment, free_port


@contextmanager
def simulated(broker: str, folder: Path, *options: object) -> Iterator[str]:
    """Run a broker's simulator with its data in `simulator`; give its address. It must end well."""
    port, log = free_port(), folder / "simulator.log"
    command = (DRAWBRIDGE, "simulate", broker, "--port", port, "--data", folder / "simulator")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*map(str, command), *map(str, options)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        assert "is open" in process.stdout.readline(), log.read_text()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(STOP_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait(STOP_S)
        process.stdout.close()
