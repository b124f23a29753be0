"""`drawbridge simulate alpaca`: a broker's own wire on this machine, over the paper exchange."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from pathlib import Path

import uvloop

from brokers.alpaca.fence import Credentials
from brokers.alpaca.simulator.server import served
from brokers.alpaca.simulator.simulator import Simulator
from brokers.faults import FaultScript
from brokers.paper.venue import JOURNAL, Venue
from gateway import log
from gateway.config import ConfigError, Settings
from gateway.market import own_market
from gateway.system import SystemClock
from trading.instrument import Catalogue
from trading.ports import Environment, MarketData
from trading.quantity import use_exact_arithmetic

CREDENTIALS = "credentials"
"""The folder, in the data directory, with the key that a simulator takes."""


def simulate(settings: Settings, *, replays: bool, rate_limit: int) -> None:
    """Run a simulator until a signal. Raises ConfigError, JournalError, ReplayError."""
    if settings.environment is not Environment.SIM:
        raise ConfigError(
            f"DRAWBRIDGE_ENVIRONMENT={settings.environment}: a simulator belongs to sim"
        )
    if not settings.is_loopback:
        raise ConfigError(f"DRAWBRIDGE_HOST={settings.host}: a simulator is for this machine alone")
    log.configure(settings.log_level)
    use_exact_arithmetic()
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_simulate(settings, replays=replays, rate_limit=rate_limit))


async def _simulate(settings: Settings, *, replays: bool, rate_limit: int) -> None:
    clock = SystemClock()
    source = own_market(settings, clock)
    catalogue = Catalogue(source.instruments)
    with _listen(settings) as listener:
        settings.data.mkdir(parents=True, exist_ok=True)
        venue = Venue(
            journal=settings.data / JOURNAL,
            environment=settings.environment,
            catalogue=catalogue,
            clock=clock,
            market=source.clock,
            seed=settings.seed,
            faults=FaultScript.load(settings.faults) if settings.faults else None,
        )
        credentials = _credentials(settings.data / CREDENTIALS)
        simulator = Simulator(
            venue, catalogue, clock, credentials, replays=replays, rate_limit=rate_limit
        )
        async with served(simulator, listener):
            _say_ready(settings)
            await _until_signal(source, simulator)


async def _until_signal(source: MarketData, simulator: Simulator) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    feeding = asyncio.create_task(_feed(source, simulator))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({feeding, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if feeding.done():
        feeding.result()  # A source that has ended leaves the last prices; one that fails, raises.
        await stopping
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)


async def _feed(source: MarketData, simulator: Simulator) -> None:
    async for quote in source.quotes():
        simulator.on_quote(quote)


def _credentials(folder: Path) -> Credentials:
    """Return the key of an earlier run, or make one; only its owner can read it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in {
        "key_id": f"SIM{secrets.token_hex(8).upper()}",
        "secret_key": secrets.token_urlsafe(32),
    }.items():
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(f"{text}\n", encoding="ascii")
    return Credentials.read(folder)


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): end what does,"
            " or choose another with --port"
        ) from error


def _say_ready(settings: Settings) -> None:
    print(  # noqa: T201
        f"The simulator of alpaca is open at http://{settings.host}:{settings.port}."
        f" Its key is in {(settings.data / CREDENTIALS).resolve()}",
        flush=True,
    )
