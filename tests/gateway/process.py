"""A real gateway process, and the command line beside it, as a user runs them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRAWBRIDGE = Path(sys.executable).with_name("drawbridge")
START_S = 60
STOP_S = 30


def free_port() -> int:
    """Find a port below those that the system gives to outgoing connections."""
    # Suites that run at the same time begin to look at different places.
    for port in range(21_000 + os.getpid() % 1000 * 10, 32_768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port below 32768")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with these DRAWBRIDGE_* variables and no others."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("DRAWBRIDGE_")}
    return plain | {f"DRAWBRIDGE_{name.upper()}": text for name, text in variables.items()}


def drawbridge(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [DRAWBRIDGE, *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def token(data: Path, role: str, user: str | None = None) -> str:
    """Mint a token by the command line."""
    named = ("--user", user) if user else ()
    done = drawbridge("token", "--role", role, *named, "--data", data)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway that takes orders; `welcome` is what it printed when it began to."""

    process: subprocess.Popen[str]
    port: int
    data: Path
    log: Path
    welcome: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """Send SIGTERM; the gateway must end in order and have had nothing to complain about."""
        self.process.terminate()
        assert self.process.wait(STOP_S) == 0, self.log.read_text()
        assert complaints(self.log) == []


@contextmanager
def started(
    data: Path,
    *options: object,
    program: Sequence[object] = (DRAWBRIDGE,),
    **variables: str,
) -> Iterator[Running]:
    """Start a gateway that its user ends; one that is left running is killed."""
    port, log = free_port(), data.with_name(f"{data.name}.log")
    arguments = map(str, ("--port", port, "--data", data, *options))
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*map(str, program), "serve", *arguments],
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield Running(process=process, port=port, data=data, log=log, welcome=_welcome(process))
    except BaseException:
        # Shown by pytest with the test that failed.
        sys.stdout.write(log.read_text()[-10_000:])
        raise
    finally:
        process.kill()
        process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def running(
    data: Path,
    *options: object,
    program: Sequence[object] = (DRAWBRIDGE,),
    **variables: str,
) -> Iterator[Running]:
    """Run a gateway, and stop it in order."""
    with started(data, *options, program=program, **variables) as gateway:
        yield gateway
        gateway.stop()


def complaints(log: Path) -> list[Mapping[str, Any]]:
    """Return the errors of a log, each line of which is one JSON object."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["level"] in {"ERROR", "CRITICAL"} or "exception" in line]


def _welcome(process: subprocess.Popen[str]) -> str:
    """Read what a gateway prints when it is open: it ends with the curl command, or the issuer."""
    assert process.stdout is not None
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    text = ""
    try:
        while not text.endswith("}'\n") and "\n  Tokens " not in text:
            line = process.stdout.readline()
            assert line, f"the gateway ended with {process.wait(STOP_S)}"
            text += line
    finally:
        watchdog.cancel()
    return text
