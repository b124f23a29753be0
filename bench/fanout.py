"""The section `fanout`: how many deliveries a second a server makes to a crowd, in time."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import servers
from bench.fanout_load import Crowd, Heard
from bench.fanout_server import KINDS, SYMBOLS, symbol
from bench.servers import Server, Unavailable

_KEPT_UP = 0.9
_SETTLE_S, _DRAIN_S = 0.3, 10.0
_FIRST = {"plain Strawberry": 1_000.0}
_FIRST_OTHERWISE = 16_000.0
_LOOKS, _LOOK_S, _CLOSE = 8, 0.5, 1.25
_TICKS_MIN, _STEPS_DOWN = 3, 3

INTRODUCTION = """
## fanout

Deliveries a second of quotes to subscribers, each on a socket and with an operation id of its own,
at the highest pace at which the 99th percentile, from when a quote was due to when its subscriber's
process had it, stays under 100 ms and nine tenths of the quotes come. One process on one
core serves, another one listens. All send the same JSON. *raw Starlette* is `send_text` of bytes
that are encoded once, without GraphQL; *plain Strawberry* has a queue for each subscription;
*drawbridge* is the endpoint as the gateway runs it, over its streams and news, without store and
tokens. *Peak* is the most that came in any half second, however late. CPU is that of the server,
for one delivery. The last rows have 100 symbols, and as many different subscriptions of two each.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowds:
    """How large the crowds are, how late they may be told, and how long a pace is looked for."""

    sockets: Sequence[int] = (100, 500, 1_000, 5_000)
    sockets_of_sets: int = 1_000
    late_ms: float = 100
    looks: int = 8
    begins_low: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A crowd, and how many deliveries a tick makes."""

    name: str
    sockets: int
    sets: list[list[str]]
    symbols: int = 1

    @property
    def per_tick(self) -> int:
        """How many deliveries a tick makes."""
        return self.sockets * len(self.sets[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a server has kept up with."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def cases(crowds: Crowds) -> Iterator[Case]:
    """List the crowds."""
    for sockets in crowds.sockets:
        yield Case(name="the same", sockets=sockets, sets=[[symbol(0)]])
    pairs = [[symbol(number), symbol((number + 1) % SYMBOLS)] for number in range(SYMBOLS)]
    yield Case(name=f"{SYMBOLS} sets", sockets=crowds.sockets_of_sets, sets=pairs, symbols=SYMBOLS)


def measure(
    crowds: Crowds, rounds: int, seconds: float, directory: Path
) -> Iterator[Sequence[str]]:
    """Measure all, and yield the rows of a table."""
    beaten: set[tuple[str, str]] = set()
    for case in cases(crowds):
        for kind in KINDS:
            # Who cannot tell a crowd in time is only asked for its peak with a greater one.
            is_beaten = (kind, case.name) in beaten
            with _server(kind, directory) as server, _crowd(server, case) as listen:
                trial = Trial(crowds, server, case, listen)
                found = None if is_beaten else _pace(trial, rounds, seconds)
                if is_beaten:
                    trial.overload()
            if found is None:
                beaten.add((kind, case.name))
            yield (kind, case.name, f"{case.sockets:,}", *_figures(found), f"{trial.peak:,.0f}")


def _figures(found: Pace | None) -> Sequence[str]:
    if found is None:
        return ("none", "", "", "")
    figures = f"{found.per_second:,.0f}", f"{found.p50_ms:.1f}", f"{found.p99_ms:.1f}"
    return (*figures, f"{found.cpu_us:.1f}")


type _Listen = Callable[[float], Heard]

HEAD = ("server", "symbols", "sockets", "deliveries/s", "p50 ms", "p99 ms", "CPU µs", "peak/s")


@dataclass(slots=True)
class Trial:
    """A server, and a crowd that listens to it; `peak` is the most that came in a second so far."""

    crowds: Crowds
    server: Server
    case: Case
    listen: _Listen
    peak: float = 0.0

    @property
    def least(self) -> float:
        """The lowest pace that is looked at."""
        return float(_TICKS_MIN * self.case.per_tick)

    @property
    def first(self) -> float:
        """The pace that is looked at first."""
        first = _FIRST.get(self.server.name, _FIRST_OTHERWISE)
        return self.least if self.crowds.begins_low else max(first, self.least)

    def look(self, pace: float) -> Heard:
        """Look for a moment how a pace is kept up with."""
        heard, _ = _round(self, pace, _LOOK_S)
        self.peak = max(self.peak, heard.deliveries / heard.seconds)
        return heard

    def overload(self) -> None:
        """Ask for more than it can tell, for its peak."""
        self.look(max(_FIRST_OTHERWISE, self.least))

    def is_kept(self, heard: Heard, pace: float) -> bool:
        """Tell whether all but a tenth came, and one tick that the end cut off, and in time."""
        wanted = _KEPT_UP * pace * heard.seconds - self.case.per_tick
        return 0 < heard.deliveries >= wanted and heard.p99_ms < self.crowds.late_ms


def _pace(trial: Trial, rounds: int, seconds: float) -> Pace | None:
    """Find the highest pace that a server keeps up with, and measure it there."""
    pace = _search(trial)
    for _ in range(_STEPS_DOWN if pace else 0):
        found = _settled([_round(trial, pace, seconds) for _ in range(rounds)])
        if found.p99_ms < trial.crowds.late_ms:
            return found
        pace *= 0.8
    return None


def _search(trial: Trial) -> float:
    """Close in on the highest pace that is kept up with, in a bounded number of looks."""
    pace, kept, failed = trial.first, 0.0, 0.0
    for _ in range(trial.crowds.looks):
        heard = trial.look(pace)
        if not trial.is_kept(heard, pace):
            # Something else on the machine may have been in the way: it would bound all looks.
            heard = trial.look(pace)
        if trial.is_kept(heard, pace):
            kept = pace
        else:
            failed = pace
        if not failed:
            pace *= 2
        elif not kept:
            pace = min(0.7 * heard.deliveries / heard.seconds, 0.4 * failed)
        elif failed / kept > _CLOSE:
            pace = (kept * failed) ** 0.5
        else:
            break
        if pace < trial.least:
            break
    return kept


def _settled(done: Sequence[tuple[Heard, float]]) -> Pace:
    return Pace(
        per_second=statistics.median(each.deliveries / each.seconds for each, _ in done),
        p50_ms=statistics.median(each.p50_ms for each, _ in done),
        p99_ms=statistics.median(each.p99_ms for each, _ in done),
        cpu_us=statistics.median(cpu / max(each.deliveries, 1) for each, cpu in done),
    )


def _round(trial: Trial, pace: float, seconds: float) -> tuple[Heard, float]:
    """Tell at a pace; return what was heard, and the server's CPU time in microseconds."""
    server, case, listen = trial.server, trial.case, trial.listen
    _set(server, pace / case.per_tick, case.symbols)
    time.sleep(_SETTLE_S)
    before = server.cpu_us()
    heard = listen(seconds)
    spent = server.cpu_us() - before
    _set(server, 0, case.symbols)
    ends = time.monotonic() + _DRAIN_S
    while listen(_SETTLE_S).deliveries and time.monotonic() < ends:
        pass
    return heard, spent


def _set(server: Server, ticks: float, symbols: int) -> None:
    url = f"http://127.0.0.1:{server.port}/rate/{ticks:.4f}/{symbols}"
    # A server that has fallen behind answers once it has told what it was to tell.
    with urllib.request.urlopen(url, timeout=_DRAIN_S * 3):
        pass


@contextmanager
def _server(kind: str, directory: Path) -> Iterator[Server]:
    port = servers.free_port()
    log = directory / f"{kind.replace(' ', '-')}.log"
    with servers.module_running(["bench.fanout_server", kind, str(port)], {}, log) as process:
        servers.wait_for(port, process, log, servers.takes_connections)
        _pin(process.pid, 0)
        yield Server(name=kind, port=port, watched=port, processes=(process,), store=directory)


@contextmanager
def _crowd(server: Server, case: Case) -> Iterator[_Listen]:
    """Subscribe a crowd from another process."""
    crowd = Crowd(port=server.port, sockets=case.sockets, sets=case.sets)
    with subprocess.Popen(
        [sys.executable, "-m", "bench.fanout_load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        _pin(load.pid, 1)
        if load.stdin is None or load.stdout is None:
            raise Unavailable("the load has no pipes")
        stdin, stdout = load.stdin, load.stdout

        def say(line: str) -> str:
            stdin.write(f"{line}\n")
            stdin.flush()
            return stdout.readline()

        def listen(seconds: float) -> Heard:
            return Heard(**json.loads(say(str(seconds))))

        try:
            if say(json.dumps(dataclasses.asdict(crowd))) != "ready\n":
                raise Unavailable(f"not all of {case.sockets} sockets could be opened")
            yield listen
        finally:
            stdin.close()
            load.wait()


def _pin(process: int, core: int) -> None:
    """Give each process a core of its own, where there are several."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(process, {core})
