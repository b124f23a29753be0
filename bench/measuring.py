"""Rounds of measurements, and the medians over them."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import Load, Measured, percentiles
from bench.servers import Server

_ORDERS_MAX = 200_000
_PATIENCE_S = 120
_SETTLE_S = 0.3
_WARM_S, _WARM_IN_FLIGHT = 1.0, 32


class Refused(Exception):
    """A server has answered something else than an order that it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: how it went, and what CPU time each order cost the server's process."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRound(Round):
    """One round of reports; also how long each took from the broker on."""

    broker_p50_ms: float
    broker_p99_ms: float


def place(server: Server, accounts: Sequence[str], in_flight: int, seconds: float) -> Round:
    """Place orders, and wait a moment for what they leave behind. Raises Refused."""
    done, cpu_us = _measured("bench.load", server, _load(server, accounts, in_flight, seconds))
    return Round(**_figures(done, cpu_us))


def place_some(server: Server, accounts: Sequence[str], orders: int) -> None:
    """Place so many orders, the same number in each account. Raises Refused."""
    load = _load(server, accounts, len(accounts), _PATIENCE_S)
    _measured("bench.load", server, dataclasses.replace(load, orders=orders))


def follow(server: Server, account: str, in_flight: int, seconds: float) -> PathRound:
    """Place orders, and take the time until their fills are heard of. Raises Refused.

    The broker's time is that at which the tap passed the fill on; where there is no tap, that at
    which the broker says that it was done.
    """
    load = _load(server, [account], in_flight, seconds)
    done, cpu_us = _measured("bench.reports", server, load)
    if server.tap is None:
        took = [since for _, since in done.heard.values()]
    else:
        told = server.tap.told()
        took = [at - told[exec_id] for exec_id, (at, _) in done.heard.items()]
    p50_ms, p99_ms = percentiles(took)
    return PathRound(**_figures(done, cpu_us), broker_p50_ms=p50_ms, broker_p99_ms=p99_ms)


def hop(server: Server, in_flight: int, seconds: float) -> PathRound:
    """Send lines by the floor of the report path, where nothing comes before the broker."""
    load = _load(server, [], in_flight, seconds)
    done, cpu_us = _measured("bench.hop", server, load)
    nothing = {"p50_ms": math.nan, "p99_ms": math.nan}
    return PathRound(
        **_figures(done, cpu_us) | nothing, broker_p50_ms=done.p50_ms, broker_p99_ms=done.p99_ms
    )


def warm(server: Server, accounts: Sequence[str]) -> None:
    """Have a server do everything once before it is measured."""
    place(server, accounts, _WARM_IN_FLIGHT, _WARM_S)


def _load(server: Server, accounts: Sequence[str], in_flight: int, seconds: float) -> Load:
    return Load(
        port=server.port,
        watched=server.watched,
        token=server.token,
        name=f"{in_flight}-{time.time_ns()}",
        accounts=list(accounts),
        in_flight=in_flight,
        seconds=seconds,
        orders=_ORDERS_MAX,
    )


def _measured(module: str, server: Server, load: Load) -> tuple[Measured, float]:
    """Let a process of its own put the load on; also return the CPU time of each order."""
    before = server.cpu_us()
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(dataclasses.asdict(load)),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S + load.seconds,
        check=False,
    )
    if done.returncode:
        raise Refused(f"{server.name}: {done.stderr}")
    measured = Measured(**json.loads(done.stdout))
    if measured.refused:
        raise Refused(f"{server.name}: {measured.refused[0]}")
    # What an order causes after its answer is part of what it costs.
    time.sleep(_SETTLE_S)
    return measured, (server.cpu_us() - before) / measured.orders


def _figures(done: Measured, cpu_us: float) -> dict[str, float]:
    return {
        "per_second": done.per_second,
        "p50_ms": done.p50_ms,
        "p99_ms": done.p99_ms,
        "cpu_us": cpu_us,
    }


def median[R: Round](rounds: Sequence[R]) -> R:
    """Take the median of each figure."""
    names = [each.name for each in dataclasses.fields(rounds[0])]
    medians = {name: statistics.median(getattr(each, name) for each in rounds) for name in names}
    return type(rounds[0])(**medians)
