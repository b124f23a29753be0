"""The sections of the page: each measures, and yields its text as it comes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from bench import history, measuring, servers, stores
from bench.measuring import IN_FLIGHT, Round
from bench.servers import Server, Unavailable

INTRODUCTION = """# Benchmarks

Written by `make bench`, in one run on one machine; expect the figures to differ by a fifth from run
to run, trust ratios and CPU time more than rates, and look at the load average: whatever else ran
took its share. Every figure is the median of its rounds. Load comes from a process of its own, over
loopback, one order to a connection, and shares the machine's cores with what is measured.

- **floor**: a bare ASGI handler with orjson that writes an acknowledged order's rows through
  asyncpg in natural batches. No GraphQL, no authentication, no risk, no broker.
- **plain**: Strawberry over SQLAlchemy and asyncpg, a transaction for each order and a statement
  for each of the same rows; parsing and validation cached. No authentication, no risk, no broker.
- **embedded**: Drawbridge in one process with SQLite, everything in the path; every order is filled
  by its paper exchange and recorded as such, in the same time.
- **shared**: Drawbridge with PostgreSQL, RabbitMQ and Redis, and the paper exchange in a process of
  its own. They all take their share of the cores.

"""

# A service that a server needs does not answer, or the server itself will not start.
_MISSING = (Unavailable, OSError)

PLACES = {"one": [stores.HOT], "many": stores.MANY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much to measure; `only` these servers, or all."""

    rounds: int
    seconds: float
    reports: int
    only: Sequence[str] | None = None

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Pick those that are asked for."""
        return [name for name in names if self.only is None or name in self.only]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def place_order(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure how fast orders are acknowledged."""
    yield (
        "\n## place_order\n\nDurable orders, acknowledged, on one account and on 32. CPU is that of"
        " the server's own process,\nfor all that an order causes.\n\n"
    )
    with ExitStack() as stack:
        running, skipped = _started(stack, settings, directory)
        cases = list(product(running, IN_FLIGHT, PLACES))
        rounds: dict[tuple[str, int, str], list[Round]] = {}
        # One round of everything after another, so that a busy minute is everybody's.
        for _ in range(settings.rounds):
            for name, in_flight, where in cases:
                done = measuring.place(running[name], PLACES[where], in_flight, settings.seconds)
                rounds.setdefault((name, in_flight, where), []).append(done)
    rows = [
        (name, where, str(in_flight), *_figures(measuring.median(rounds[name, in_flight, where])))
        for where, in_flight, name in product(PLACES, IN_FLIGHT, running)
    ]
    yield table(("server", "accounts", "in flight", *_FIGURES), rows)
    yield from skipped


def report_path(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure how long a fill takes to its subscriber."""
    yield (
        "\n## report_path\n\nFills heard of by a subscriber on a WebSocket: from the first byte of"
        " the order's request to the\nlast of the fill's frame, over risk, store, exchange, store"
        " and bus.\n\n"
    )
    with ExitStack() as stack:
        running, skipped = _started(stack, settings, directory, servers.GATEWAYS)
        rows = []
        for name, in_flight in product(running, IN_FLIGHT):
            rounds = [
                measuring.follow(running[name], stores.HOT, in_flight, settings.seconds)
                for _ in range(settings.rounds)
            ]
            rows.append((name, str(in_flight), *_figures(measuring.median(rounds))))
    yield table(("server", "in flight", *_FIGURES), rows)
    yield from skipped


def past(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure whether a long past slows orders down."""
    yield (
        f"\n## history\n\nplace_order on 32 accounts, {IN_FLIGHT[-1]} in flight, with an empty"
        f" store and with one of about {settings.reports:,}\nreports, of as many orders as those"
        " are of.\n\n"
    )
    rows, skipped = [], []
    for name in settings.chosen(servers.GATEWAYS):
        try:
            rows += _with_and_without(name, settings, directory)
        except _MISSING as why:
            skipped.append(_skipped(name, why))
    yield table(("server", "reports before", *_FIGURES), rows)
    yield from skipped


def _with_and_without(name: str, settings: Settings, directory: Path) -> list[Sequence[str]]:
    fill = partial(history.fill, reports=settings.reports)
    with ExitStack() as stack:
        empty = stack.enter_context(_GATEWAYS[name](directory / f"{name}-empty"))
        full = stack.enter_context(_GATEWAYS[name](directory / f"{name}-full", prepare=fill))
        both = {"0": empty, f"{settings.reports:,}": full}
        rounds: dict[str, list[Round]] = {label: [] for label in both}
        for server in both.values():
            measuring.warm(server, stores.MANY)
        for _ in range(settings.rounds):
            for label, server in both.items():
                done = measuring.place(server, stores.MANY, IN_FLIGHT[-1], settings.seconds)
                rounds[label].append(done)
    return [(name, label, *_figures(measuring.median(rounds[label]))) for label in both]


def profile(settings: Settings, directory: Path) -> Iterator[str]:
    """Find where an order's CPU time goes."""
    yield (
        f"\n## profile\n\nCPU time of the gateway's process for each order, {IN_FLIGHT[-1]} in"
        " flight on 32 accounts, fills and all, sampled at\nevery millisecond of it, which makes"
        " everything a little slower. The event loop's part holds sockets,\nthread hand-overs and"
        " the ends of what it has just run.\n\n"
    )
    columns: dict[str, Mapping[str, float]] = {}
    skipped = []
    for name in settings.chosen(servers.GATEWAYS):
        try:
            columns[name] = _profiled(name, settings, directory)
        except _MISSING as why:
            skipped.append(_skipped(name, why))
    parts = sorted({part for each in columns.values() for part in each})
    parts.sort(key=lambda part: -max(each.get(part, 0) for each in columns.values()))
    rows = [
        (part, *(f"{each.get(part, 0):,.0f} µs" for each in columns.values())) for part in parts
    ]
    totals = [f"{sum(each.values()):,.0f} µs" for each in columns.values()]
    yield table(("part", *columns), [*rows, ("all", *totals)])
    yield from skipped


def _profiled(name: str, settings: Settings, directory: Path) -> Mapping[str, float]:
    """Return the microseconds of each part for one order."""
    out = directory / f"{name}.json"
    seconds = settings.seconds * settings.rounds
    with _GATEWAYS[name](directory, module=("bench.profiled", str(out))) as server:
        measuring.warm(server, stores.MANY)
        server.process.send_signal(signal.SIGUSR1)
        began = server.cpu_us()
        done = measuring.place(server, stores.MANY, IN_FLIGHT[-1], seconds)
        spent = server.cpu_us() - began
    orders = spent / done.cpu_us
    parts = json.loads(out.read_text(encoding="utf-8"))["parts"]
    return {part: ns / 1000 / orders for part, ns in parts.items()}


def _started(
    stack: ExitStack,
    settings: Settings,
    directory: Path,
    names: Iterable[str] = tuple(servers.SERVERS),
) -> tuple[dict[str, Server], list[str]]:
    """Start servers, warm; say which there are not, and why."""
    running: dict[str, Server] = {}
    skipped = []
    for name in settings.chosen(names):
        try:
            running[name] = stack.enter_context(servers.SERVERS[name](directory))
        except _MISSING as why:
            skipped.append(_skipped(name, why))
        else:
            measuring.warm(running[name], stores.MANY)
            measuring.warm(running[name], [stores.HOT])
    time.sleep(1)
    return running, skipped


def _skipped(name: str, why: Exception) -> str:
    return f"\nNot measured: {name}, because {why}\n"


_FIGURES = ("per second", "p50 ms", "p99 ms", "CPU µs")
_GATEWAYS = {"embedded": servers.embedded, "shared": servers.shared}


def _figures(done: Round) -> Sequence[str]:
    return (
        f"{done.per_second:,.0f}",
        f"{done.p50_ms:.2f}",
        f"{done.p99_ms:.2f}",
        f"{done.cpu_us:,.0f}",
    )


SECTIONS: Mapping[str, Callable[[Settings, Path], Iterator[str]]] = {
    "place_order": place_order,
    "report_path": report_path,
    "history": past,
    "profile": profile,
}
