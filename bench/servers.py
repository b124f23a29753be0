"""The servers that are measured: each a process of its own, with a store of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from bench import stores

_START_S, _STOP_S, _LOOK_S = 60, 30, 0.05
_PORTS = range(24_000, 32_000)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_AMQP = os.environ.get("DRAWBRIDGE_TEST_AMQP") or "amqp://guest:guest@127.0.0.1:5672/"
_REDIS = os.environ.get("DRAWBRIDGE_TEST_REDIS") or "redis://127.0.0.1:6379/14"


class Unavailable(Exception):
    """A server cannot be measured here; it says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that takes orders; `store` is where its rows are."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    store: str | Path
    token: str = ""

    def cpu_us(self) -> int:
        """Return the CPU time that it has used so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) * 1_000_000 // _CLOCK_TICKS


@contextmanager
def floor(directory: Path) -> Iterator[Server]:
    """Run the floor."""
    yield from _bare("floor", "bench.floor", directory)


@contextmanager
def plain(directory: Path) -> Iterator[Server]:
    """Run the plain way."""
    yield from _bare("plain", "bench.plain", directory)


def _bare(name: str, module: str, directory: Path) -> Iterator[Server]:
    with stores.database() as url:
        stores.prepare(url)
        port = free_port()
        log = directory / f"{name}.log"
        with _process([module, url, str(port)], {}, log) as process:
            _wait_for(port, process, log, _takes_connections)
            yield Server(name=name, port=port, process=process, store=url)


@contextmanager
def embedded(
    directory: Path,
    module: Sequence[str] = ("gateway.cli",),
    prepare: Callable[[Path], None] = stores.prepare,
) -> Iterator[Server]:
    """Run Drawbridge with everything in one process: SQLite, its own bus, its own exchange."""
    data = directory / "embedded"
    prepare(data)
    with _gateway("embedded", module, data, {}, data) as server:
        yield server


@contextmanager
def shared(
    directory: Path,
    module: Sequence[str] = ("gateway.cli",),
    prepare: Callable[[str], None] = stores.prepare,
) -> Iterator[Server]:
    """Run Drawbridge as one process among many: PostgreSQL, RabbitMQ, Redis, an exchange."""
    with ExitStack() as stack:
        url = stack.enter_context(stores.database())
        prepare(url)
        port = free_port()
        log, data = directory / "exchange.log", directory / "exchange"
        arguments = ["gateway.cli", "exchange", "--port", str(port), "--data", str(data)]
        exchange = stack.enter_context(_process(arguments, {}, log))
        _wait_for(port, exchange, log, _takes_connections)
        elsewhere = {
            "DATABASE_URL": url,
            "AMQP_URL": _AMQP,
            "REDIS_URL": _REDIS,
            "EXCHANGE": f"127.0.0.1:{port}",
        }
        yield stack.enter_context(_gateway("shared", module, directory / "shared", elsewhere, url))


@contextmanager
def _gateway(
    name: str, module: Sequence[str], data: Path, variables: Mapping[str, str], store: str | Path
) -> Iterator[Server]:
    port, log = free_port(), data.with_suffix(".log")
    arguments = [*module, "serve", "--port", str(port), "--data", str(data)]
    with _process(arguments, variables, log) as process:
        _wait_for(port, process, log, _is_ready)
        token = _run(["gateway.cli", "token", "--role", "trader", "--data", str(data)], variables)
        yield Server(name=name, port=port, process=process, store=store, token=token.strip())


def free_port() -> int:
    """Find a port below those that the system gives to outgoing connections."""
    for port in _PORTS[os.getpid() * 7 % 4000 :]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port in {_PORTS}")


@contextmanager
def _process(
    arguments: Sequence[str], variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module, and end it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=_environment(variables), stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=_START_S,
        check=True,
    )
    return done.stdout


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    rest = {name: text for name, text in os.environ.items() if not name.startswith("DRAWBRIDGE_")}
    return rest | {f"DRAWBRIDGE_{name}": text for name, text in variables.items()}


def _wait_for(
    port: int, process: subprocess.Popen[bytes], log: Path, is_up: Callable[[int], bool]
) -> None:
    """Wait until a server is up. Raises Unavailable."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(_last_line(log) or f"it ended with {process.returncode}")
        if is_up(port):
            return
        time.sleep(_LOOK_S)
    raise Unavailable(f"it is not up after {_START_S} seconds: {_last_line(log)}")


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1][:300] if lines else ""


SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "floor": floor,
    "plain": plain,
    "embedded": embedded,
    "shared": shared,
}
GATEWAYS = ("embedded", "shared")
