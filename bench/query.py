"""The sections `query` and `lists`: what a query costs, and what long ones cost the orders."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import measuring, servers, stores
from bench.load import Measured
from bench.measuring import Refused, Round
from bench.query_load import Asked
from bench.query_server import KINDS, LISTS, ORDER_FIELDS, POSITION_FIELDS, account
from bench.servers import Server

QUERY = """
## query

Queries a second on 8 connections, of what is in memory and the same for all: an order of 10
fields, and lists of positions of 8. *no GraphQL* writes the same bytes with orjson, by code for
these fields alone; *Strawberry, cached* has its caches of parsing and validation; *drawbridge* is
the endpoint as the gateway runs it, with policies, bounds and deadlines, without the verification
of tokens and the store. CPU is that of the server, for one query.

"""
LISTED = """
## lists

place_order on 8 connections, alone and while another client pulls the longest pages that it may,
one after another as fast as it can: 100 orders with their fills, and 100 reports.

"""
HEAD = ("query", "server", "per second", "p50 ms", "p99 ms", "CPU µs")
LISTS_HEAD = ("server", "beside", "orders/s", "p50 ms", "p99 ms", "times p99 alone")
_CONNECTIONS, _PULLERS = 8, 1
_PATIENCE_S = 60
_WARM_S = 0.3

_PAGE = (
    "query($a: ID!) { orders(accountId: $a, first: 100) { nodes { id clOrdId symbol side ordType"
    " orderQty price ordStatus cumQty leavesQty avgPx transactTime fills { seq lastQty lastPx }"
    " } } orderReports(accountId: $a, first: 100) { nodes { seq clOrdId } } }"
)


def _asked() -> Mapping[str, tuple[str, str]]:
    """Return bodies, and what their answers contain."""
    order = f"query($id: ID!) {{ order(id: $id) {{ {' '.join(ORDER_FIELDS)} }} }}"
    positions = " ".join(POSITION_FIELDS)
    positions = f"query($accountId: ID!) {{ positions(accountId: $accountId) {{ {positions} }} }}"
    bodies = {"order, 10 fields": (_body(order, id="o1"), '"leavesQty":"60"')}
    for count in LISTS:
        asked = _body(positions, accountId=account(count))
        bodies[f"{count:,} positions"] = asked, f'"asOfSeq":"{count - 1}"'
    return bodies


def _body(query: str, **variables: str) -> str:
    return json.dumps({"query": query, "variables": variables})


def measure(rounds: int, seconds: float, directory: Path) -> Iterator[Sequence[str]]:
    """Measure the queries, and yield the rows of a table."""
    with ExitStack() as stack:
        running = {kind: stack.enter_context(_server(kind, directory)) for kind in KINDS}
        for name, (body, contains) in _asked().items():
            done: dict[str, list[Round]] = {kind: [] for kind in running}
            for number in range(rounds + 1):
                for kind, server in running.items():
                    found = _round(server, body, contains, seconds if number else _WARM_S)
                    done[kind] += [found] if number else []
            for kind, found_all in done.items():
                each = measuring.median(found_all)
                figures = f"{each.per_second:,.0f}", f"{each.p50_ms:.2f}", f"{each.p99_ms:.2f}"
                yield (name, kind, *figures, f"{each.cpu_us:,.0f}")


def beside_lists(rounds: int, seconds: float, server: Server) -> Iterator[Sequence[str]]:
    """Measure orders alone and beside long lists, and yield the rows of a table."""
    found: dict[str, list[Round]] = {"nothing": [], "lists": []}
    for _ in range(rounds):
        found["nothing"].append(_placed(server, seconds))
        with _pulling(server, seconds):
            found["lists"].append(_placed(server, seconds))
    alone = statistics.median(each.p99_ms for each in found["nothing"])
    for name, rounds_of in found.items():
        each = measuring.median(rounds_of)
        figures = f"{each.per_second:,.0f}", f"{each.p50_ms:.2f}", f"{each.p99_ms:.2f}"
        yield (server.name, name, *figures, f"{each.p99_ms / alone:.2f}")


def _placed(server: Server, seconds: float) -> Round:
    return measuring.place(server, stores.MANY, _CONNECTIONS, seconds)


@contextmanager
def _pulling(server: Server, seconds: float) -> Iterator[None]:
    """Pull the longest pages there are while something else is measured."""
    body = _body(_PAGE, a=stores.MANY[0])
    asked = Asked(
        port=server.port,
        token=server.token,
        body=body,
        contains='"nodes":[{',
        connections=_PULLERS,
        seconds=seconds + 1,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "bench.query_load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as pulling:
        if pulling.stdin is None:
            raise Refused("the load has no pipe")
        pulling.stdin.write(json.dumps(dataclasses.asdict(asked)))
        pulling.stdin.close()
        pulling.stdin = None
        yield
        _checked(server, pulling.communicate(timeout=_PATIENCE_S)[0])


def _round(server: Server, body: str, contains: str, seconds: float) -> Round:
    asked = Asked(
        port=server.port,
        token="",
        body=body,
        contains=contains,
        connections=_CONNECTIONS,
        seconds=seconds,
    )
    before = server.cpu_us()
    done = subprocess.run(
        [sys.executable, "-m", "bench.query_load"],
        input=json.dumps(dataclasses.asdict(asked)),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=True,
    )
    measured = _checked(server, done.stdout)
    spent = server.cpu_us() - before
    return Round(
        per_second=measured.per_second,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        cpu_us=spent / measured.orders,
    )


def _checked(server: Server, text: str) -> Measured:
    measured = Measured(**json.loads(text))
    if measured.refused:
        raise Refused(f"{server.name}: {measured.refused[0]}")
    return measured


@contextmanager
def _server(kind: str, directory: Path) -> Iterator[Server]:
    port = servers.free_port()
    log = directory / f"{kind.split(',', maxsplit=1)[0].replace(' ', '-')}.log"
    with servers.module_running(["bench.query_server", kind, str(port)], {}, log) as process:
        servers.wait_for(port, process, log, servers.takes_connections)
        yield Server(name=kind, port=port, watched=port, processes=(process,), store=directory)
