"""Rounds of measurements, and the medians over them."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import Load, Measured
from bench.servers import Server

IN_FLIGHT = (1, 8, 32)
_ORDERS_MAX = 200_000
_PATIENCE_S = 120
_SETTLE_S = 0.3
_WARM_S = 1.0


class Refused(Exception):
    """A server has answered something else than an order that it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: how it went, and what CPU time each order cost the server's process."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def place(server: Server, accounts: Sequence[str], in_flight: int, seconds: float) -> Round:
    """Place orders, and wait a moment for what they leave behind. Raises Refused."""
    return _measure("bench.load", server, accounts, in_flight, seconds)


def follow(server: Server, account: str, in_flight: int, seconds: float) -> Round:
    """Place orders, and take the time until their fills are heard of. Raises Refused."""
    return _measure("bench.fills", server, [account], in_flight, seconds)


def warm(server: Server, accounts: Sequence[str]) -> None:
    """Have a server do everything once before it is measured."""
    place(server, accounts, IN_FLIGHT[-1], _WARM_S)


def _measure(
    module: str, server: Server, accounts: Sequence[str], in_flight: int, seconds: float
) -> Round:
    load = Load(
        port=server.port,
        token=server.token,
        name=f"{in_flight}-{time.time_ns()}",
        accounts=list(accounts),
        in_flight=in_flight,
        seconds=seconds,
        orders=_ORDERS_MAX,
    )
    before = server.cpu_us()
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(dataclasses.asdict(load)),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S + seconds,
        check=False,
    )
    if done.returncode:
        raise Refused(f"{server.name}: {done.stderr.strip().splitlines()[-1]}")
    measured = Measured(**json.loads(done.stdout))
    if measured.refused:
        raise Refused(f"{server.name}: {measured.refused[0]}")
    # What an order causes after its answer is part of what it costs.
    time.sleep(_SETTLE_S)
    return Round(
        per_second=measured.per_second,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        cpu_us=(server.cpu_us() - before) / measured.orders,
    )


def median(rounds: Sequence[Round]) -> Round:
    """Take the median of each figure."""
    columns = zip(*(dataclasses.astuple(each) for each in rounds), strict=True)
    per_second, p50_ms, p99_ms, cpu_us = map(statistics.median, columns)
    return Round(per_second=per_second, p50_ms=p50_ms, p99_ms=p99_ms, cpu_us=cpu_us)
