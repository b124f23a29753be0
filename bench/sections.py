"""The sections of the page: each measures, and yields its text as it comes."""

from __future__ import annotations

import json
import math
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from bench import fanout, history, judging, measuring, query, servers, stores
from bench.measuring import PathRound, Round
from bench.servers import Server, Unavailable

INTRODUCTION = """# Benchmarks

Written by `make bench`, in one run on one machine; expect the figures to differ by a fifth from run
to run, and trust ratios and CPU time more than rates. Every figure is the median of its rounds.
What a table compares takes turns, round by round, so that a busy minute is everybody's. Load comes
from a process of its own, over loopback, and shares the machine's cores with what is measured, as
do PostgreSQL, RabbitMQ and Redis, and whatever else ran: below each table stands the load average
of the minute before it and of its last one, the bench itself included.

- **floor**: a bare ASGI handler with orjson that writes an acknowledged order's rows through
  asyncpg in natural batches. No GraphQL, no authentication, no risk, no broker.
- **plain**: Strawberry over SQLAlchemy and asyncpg, a transaction for each order and a statement
  for each of the same rows; parsing and validation cached. No authentication, no risk, no broker.
- **embedded**: Drawbridge in one process with SQLite, everything in the path; every order is filled
  by its paper exchange and recorded as such, in the same time.
- **shared**: Drawbridge with PostgreSQL, RabbitMQ and Redis, and the paper exchange in a process of
  its own. They all take their share of the cores.
- **two**: the same, with two gateways: one owns the broker session and takes the orders, and the
  other has the subscriber.

"""

# A service that a server needs does not answer, or the server itself will not start.
_MISSING = (Unavailable, OSError)

PLACES = {"one": [stores.HOT], "many": stores.MANY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much to measure; only these `servers`, or all.

    `reports` is how long a past each gateway gets, and `in_flight` how many orders are under way.
    """

    rounds: int
    seconds: float
    reports: Mapping[str, int]
    in_flight: Sequence[int] = (1, 8, 32)
    crowds: fanout.Crowds = field(default_factory=fanout.Crowds)
    servers: Sequence[str] | None = None

    @property
    def most(self) -> int:
        """The most orders under way."""
        return self.in_flight[-1]

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Pick those that are asked for."""
        return [name for name in names if self.servers is None or name in self.servers]


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
        running, skipped = _started(stack, settings, directory, servers.SERVERS)
        cases = list(product(running, settings.in_flight, PLACES))
        rounds: dict[tuple[str, int, str], list[Round]] = {}
        # One round of everything after another, so that a busy minute is everybody's.
        for _ in range(settings.rounds):
            for name, in_flight, where in cases:
                done = measuring.place(running[name], PLACES[where], in_flight, settings.seconds)
                rounds.setdefault((name, in_flight, where), []).append(done)
    rows = [
        (name, where, str(in_flight), *_figures(measuring.median(rounds[name, in_flight, where])))
        for where, in_flight, name in product(PLACES, settings.in_flight, running)
    ]
    yield table(("server", "accounts", "in flight", *_FIGURES), rows)
    yield from skipped


def report_path(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure how long a fill takes to its subscriber."""
    yield _REPORT_PATH
    with ExitStack() as stack:
        running, skipped = _started(stack, settings, directory, _PATHS)
        cases = list(product(settings.in_flight, running))
        rounds: dict[tuple[int, str], list[PathRound]] = {case: [] for case in cases}
        for _ in range(settings.rounds):
            for in_flight, name in cases:
                done = _followed(running[name], in_flight, settings.seconds)
                rounds[in_flight, name].append(done)
    rows = [
        (name, str(in_flight), *_path_figures(measuring.median(rounds[in_flight, name])))
        for in_flight, name in cases
    ]
    yield table(("server", "in flight", *_PATH_FIGURES), rows)
    yield from skipped


_REPORT_PATH = """
## report_path

Fills heard of by a subscriber to all of an account's reports, which are three for each order, over
a WebSocket. An order is in flight until its fill is heard. Times end when the fill's frame is read.
"In all" begins with the first byte of the order's request: risk, store, exchange, store and bus.
"From broker" begins when the exchange's message with the fill is written to the gateway's socket,
as a tap on that line sees it; embedded, where there is no such line, with the fill's TransactTime,
before the exchange has written its journal.

- **floor**: a line from a socket, in a message over RabbitMQ (a topic of its own, each message
  confirmed before the next, with all lines that came meanwhile) to a second process, and in a frame
  to the subscriber. Nothing understood, nothing recorded. CPU is that of both processes.
- **two**: CPU is that of both gateways.

"""
_PATHS: Mapping[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "floor": servers.hop,
    "embedded": servers.embedded,
    "two": servers.two,
}


def _followed(server: Server, in_flight: int, seconds: float) -> PathRound:
    if server.name == "floor":
        return measuring.hop(server, in_flight, seconds)
    return measuring.follow(server, stores.HOT, in_flight, seconds)


def past(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure whether a long past slows orders down."""
    yield _HISTORY.format(most=settings.most)
    rows, skipped = [], []
    for name in settings.chosen(servers.GATEWAYS):
        try:
            rows += _with_and_without(name, settings, directory)
        except _MISSING as why:
            skipped.append(_skipped(name, why))
    yield table(("server", "reports before", *_FIGURES, "to empty"), rows)
    yield from skipped


_HISTORY = """
## history

place_order on 32 accounts, {most} in flight, with an empty store, and beside it with one that has a
past: what real orders have left behind in every table, multiplied by the database itself, then
analysed and vacuumed as in a database that has run for a while. Rounds of the two take turns; "to
empty" is the median of what a round came to beside the empty store's round next to it.

"""


def _with_and_without(name: str, settings: Settings, directory: Path) -> list[Sequence[str]]:
    reports = settings.reports[name]
    with ExitStack() as stack:
        running = []
        for each, count in ("empty", 0), ("full", reports):
            (directory / each).mkdir(exist_ok=True)
            running.append(stack.enter_context(history.grown(name, directory / each, count)))
        for server in running:
            measuring.warm(server, stores.MANY)
        empty, full = _in_turns(running[0], running[1], settings)
    ratios = [each.per_second / beside.per_second for beside, each in zip(empty, full, strict=True)]
    return [
        (name, "0", *_figures(measuring.median(empty)), ""),
        (
            name,
            f"{reports:,}",
            *_figures(measuring.median(full)),
            f"{statistics.median(ratios):.2f}",
        ),
    ]


def _in_turns(
    empty: Server, full: Server, settings: Settings
) -> tuple[Sequence[Round], Sequence[Round]]:
    """Measure two servers in pairs of rounds, of which every other begins with the second."""
    done: dict[Server, list[Round]] = {empty: [], full: []}
    for number in range(2 * settings.rounds):
        for server in (empty, full) if number % 2 else (full, empty):
            seconds = settings.seconds
            done[server].append(measuring.place(server, stores.MANY, settings.most, seconds))
    return done[empty], done[full]


def profile(settings: Settings, directory: Path) -> Iterator[str]:
    """Find where an order's CPU time goes."""
    yield (
        f"\n## profile\n\nCPU time of the gateway's process for each order, {settings.most} in"
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
    with servers.GATEWAYS[name](directory, module=("bench.profiled", str(out))) as server:
        measuring.warm(server, stores.MANY)
        server.processes[0].send_signal(signal.SIGUSR1)
        began = server.cpu_us()
        done = measuring.place(server, stores.MANY, settings.most, seconds)
        spent = server.cpu_us() - began
    orders = spent / done.cpu_us
    parts = json.loads(out.read_text(encoding="utf-8"))["parts"]
    return {part: ns / 1000 / orders for part, ns in parts.items()}


def _started(
    stack: ExitStack,
    settings: Settings,
    directory: Path,
    kinds: Mapping[str, Callable[[Path], AbstractContextManager[Server]]],
) -> tuple[dict[str, Server], list[str]]:
    """Start servers, warm; say which there are not, and why."""
    running: dict[str, Server] = {}
    skipped = []
    for name in settings.chosen(kinds):
        try:
            running[name] = stack.enter_context(kinds[name](directory))
        except _MISSING as why:
            skipped.append(_skipped(name, why))
        else:
            if kinds[name] is not servers.hop:
                measuring.warm(running[name], stores.MANY)
                measuring.warm(running[name], [stores.HOT])
    time.sleep(1)
    return running, skipped


def _skipped(name: str, why: Exception) -> str:
    return f"\nNot measured: {name}, because {why}\n"


_FIGURES = ("per second", "p50 ms", "p99 ms", "CPU µs")
_PATH_FIGURES = (
    "fills per second",
    "from broker p50 ms",
    "p99 ms",
    "in all p50 ms",
    "p99 ms",
    "CPU µs",
)


def _figures(done: Round) -> Sequence[str]:
    return (
        f"{done.per_second:,.0f}",
        f"{done.p50_ms:.2f}",
        f"{done.p99_ms:.2f}",
        f"{done.cpu_us:,.0f}",
    )


def _path_figures(done: PathRound) -> Sequence[str]:
    times = (done.broker_p50_ms, done.broker_p99_ms, done.p50_ms, done.p99_ms)
    shown = ("" if math.isnan(ms) else f"{ms:.2f}" for ms in times)
    return (f"{done.per_second:,.0f}", *shown, f"{done.cpu_us:,.0f}")


def deliveries(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure how fast a crowd is told the same."""
    yield fanout.INTRODUCTION
    rows = fanout.measure(settings.crowds, settings.rounds, settings.seconds, directory)
    yield table(fanout.HEAD, rows)


def queries(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure what queries cost."""
    yield query.QUERY
    yield table(query.HEAD, query.measure(settings.rounds, settings.seconds, directory))


def lists(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure orders while long lists are pulled."""
    yield query.LISTED
    rows: list[Sequence[str]] = []
    skipped = []
    for name in settings.chosen(("embedded", "shared")):
        try:
            with servers.SERVERS[name](directory) as server:
                measuring.warm(server, stores.MANY)
                rows += query.beside_lists(settings.rounds, settings.seconds, server)
        except _MISSING as why:
            skipped.append(_skipped(name, why))
    yield table(query.LISTS_HEAD, rows)
    yield from skipped


def risk(settings: Settings, directory: Path) -> Iterator[str]:
    """Measure what judging an order costs."""
    del directory
    yield (
        "\n## risk\n\nCPU time in one process to judge one order by all"
        f" {judging.count()} controls: to find the facts that they take,\nto evaluate them, and to"
        " write the decision down as it is stored.\n\n"
    )
    rows = [
        (
            str(held),
            f"{cost.first:,.0f} µs",
            f"{cost.facts:,.0f} µs",
            f"{cost.controls:,.0f} µs",
            f"{cost.words:,.0f} µs",
        )
        for held, cost in judging.costs(settings.rounds)
    ]
    yield table(("instruments held", "first facts", "next", "controls", "written down"), rows)


SECTIONS: Mapping[str, Callable[[Settings, Path], Iterator[str]]] = {
    "place_order": place_order,
    "report_path": report_path,
    "history": past,
    "fanout": deliveries,
    "query": queries,
    "lists": lists,
    "profile": profile,
    "risk": risk,
}
