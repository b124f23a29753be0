"""The servers that are measured: each a process of its own, with a store of its own."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from bench import stores
from bench.tap import Tap, tapped

_START_S, _STOP_S, _LOOK_S = 60, 30, 0.05
_PORTS = range(24_000, 32_000)
AMQP = os.environ.get("DRAWBRIDGE_TEST_AMQP") or "amqp://guest:guest@127.0.0.1:5672/"
REDIS = os.environ.get("DRAWBRIDGE_TEST_REDIS") or "redis://127.0.0.1:6379/14"


class Unavailable(Exception):
    """A server cannot be measured here; it says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that takes orders at `port`, and tells of them at `watched`."""

    name: str
    port: int
    store: str | Path
    watched: int
    processes: tuple[subprocess.Popen[bytes], ...]
    token: str = ""
    tap: Tap | None = None

    def cpu_us(self) -> int:
        """Return the CPU time that its processes have used so far."""
        return sum(map(_cpu_us, self.processes))


def _cpu_us(process: subprocess.Popen[bytes]) -> int:
    # The clock of another process, as clock_getcpuclockid(3) makes it: /proc counts in hundredths.
    return time.clock_gettime_ns(~process.pid << 3 | 2) // 1_000


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
        with module_running([module, url, str(port)], {}, log) as process:
            wait_for(port, process, log, takes_connections)
            yield Server(name=name, port=port, store=url, watched=port, processes=(process,))


@contextmanager
def hop(directory: Path) -> Iterator[Server]:
    """Run the floor of the report path: a socket, RabbitMQ, a WebSocket."""
    name = f"drawbridge.bench.{os.getpid()}"
    with ExitStack() as stack:
        ports, processes = [], []
        for part in ("deliver", "publish"):
            ports.append(port := free_port())
            log = directory / f"{part}.log"
            arguments = ["bench.hop", part, AMQP, name, str(port)]
            processes.append(stack.enter_context(module_running(arguments, {}, log)))
            wait_for(port, processes[-1], log, takes_connections)
        watched, port = ports
        yield Server(name="floor", port=port, store="", watched=watched, processes=tuple(processes))


@contextmanager
def store(name: str, directory: Path) -> Iterator[str | Path]:
    """Lend a store with accounts to a gateway of this name."""
    with ExitStack() as stack:
        where = directory / name if name == "embedded" else stack.enter_context(stores.database())
        stores.prepare(where)
        yield where


@contextmanager
def embedded(
    directory: Path, module: Sequence[str] = ("gateway.cli",), where: str | Path | None = None
) -> Iterator[Server]:
    """Run Drawbridge with everything in one process: SQLite, its own bus, its own exchange."""
    with _given(where, "embedded", directory) as found:
        data = Path(found)
        with _gateway("embedded", module, data, {}, data) as server:
            yield server


@contextmanager
def shared(
    directory: Path, module: Sequence[str] = ("gateway.cli",), where: str | Path | None = None
) -> Iterator[Server]:
    """Run Drawbridge as one process among many: PostgreSQL, RabbitMQ, Redis, an exchange."""
    with _given(where, "shared", directory) as url, _exchange(directory) as exchange:
        elsewhere = _elsewhere(str(url), exchange)
        with _gateway("shared", module, directory / "shared", elsewhere, url) as server:
            yield server


@contextmanager
def two(directory: Path) -> Iterator[Server]:
    """Run two gateways: one owns the session, which is tapped, and the other is subscribed to."""
    data = directory / "two"
    with ExitStack() as stack:
        url = stack.enter_context(store("two", directory))
        exchange = stack.enter_context(_exchange(directory))
        tap = stack.enter_context(tapped(exchange, free_port()))
        tapping = _elsewhere(str(url), tap.port)
        owner = stack.enter_context(_gateway("two", ("gateway.cli",), data, tapping, url))
        beside = stack.enter_context(
            _gateway("beside", ("gateway.cli",), data, _elsewhere(str(url), exchange), url)
        )
        yield replace(
            owner, watched=beside.port, processes=owner.processes + beside.processes, tap=tap
        )


@contextmanager
def _given(where: str | Path | None, name: str, directory: Path) -> Iterator[str | Path]:
    """Lend the store that is given, or one of its own."""
    if where is not None:
        yield where
        return
    with store(name, directory) as own:
        yield own


@contextmanager
def _exchange(directory: Path) -> Iterator[int]:
    """Run the exchange, and lend its port."""
    port = free_port()
    log, data = directory / "exchange.log", directory / "exchange"
    arguments = ["gateway.cli", "exchange", "--port", str(port), "--data", str(data)]
    with module_running(arguments, {}, log) as exchange:
        wait_for(port, exchange, log, takes_connections)
        yield port


def _elsewhere(url: str, exchange: int) -> Mapping[str, str]:
    return {
        "DATABASE_URL": url,
        "AMQP_URL": AMQP,
        "REDIS_URL": REDIS,
        "EXCHANGE": f"127.0.0.1:{exchange}",
    }


@contextmanager
def _gateway(
    name: str, module: Sequence[str], data: Path, variables: Mapping[str, str], store: str | Path
) -> Iterator[Server]:
    port, log = free_port(), data.with_name(f"{name}.log")
    arguments = [*module, "serve", "--port", str(port), "--data", str(data)]
    with module_running(arguments, variables, log) as process:
        wait_for(port, process, log, _is_ready)
        token = _run(["gateway.cli", "token", "--role", "trader", "--data", str(data)], variables)
        yield Server(
            name=name,
            port=port,
            store=store,
            watched=port,
            processes=(process,),
            token=token.strip(),
        )


def free_port() -> int:
    """Find a port below those that the system gives to outgoing connections."""
    # At random, for whoever looks at the same moment must not find the same one.
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port in {_PORTS}")


@contextmanager
def module_running(
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


def wait_for(
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


def takes_connections(port: int) -> bool:
    """Tell whether something listens there."""
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


class Gateways(Protocol):
    """Runs a gateway: by another module than its own, and on a store that is given."""

    def __call__(
        self, directory: Path, module: Sequence[str] = ..., where: str | Path | None = ...
    ) -> AbstractContextManager[Server]: ...


GATEWAYS: Mapping[str, Gateways] = {"embedded": embedded, "shared": shared}
SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "floor": floor,
    "plain": plain,
    **GATEWAYS,
}
