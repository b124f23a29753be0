"""`drawbridge exchange`: the paper exchange as a process of its own, for many gateways."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import uvloop

from brokers.faults import FaultScript
from brokers.paper.server import run_exchange
from gateway import log
from gateway.config import Settings
from gateway.market import own_market
from gateway.system import SystemClock
from trading.quantity import use_exact_arithmetic


def exchange(settings: Settings) -> None:
    """Run an exchange until a signal. Raises what `run_exchange` does, and ReplayError."""
    log.configure(settings.log_level)
    use_exact_arithmetic()
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_exchange(settings))


async def _exchange(settings: Settings) -> None:
    clock = SystemClock()
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a coroutine that runs has a task")
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    await run_exchange(
        host=settings.host,
        port=settings.port,
        directory=settings.data,
        environment=settings.environment,
        source=own_market(settings, clock),
        clock=clock,
        ready=lambda host, port: _say_ready(settings, host, port),
        seed=settings.seed,
        faults=FaultScript.load(settings.faults) if settings.faults else None,
    )


def _say_ready(settings: Settings, host: str, port: int) -> None:
    print(  # noqa: T201
        f"The paper exchange is open, in the environment {settings.environment}, at {host}:{port}."
        f" Journal: {settings.data.resolve()}",
        flush=True,
    )
