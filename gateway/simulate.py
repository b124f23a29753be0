"""`drawbridge simulate BROKER`: a broker's own wire on this machine, over the paper exchange."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import uvloop

from brokers.alpaca.fence import Credentials
from brokers.alpaca.simulator import server as alpaca_server
from brokers.alpaca.simulator import simulator as alpaca
from brokers.faults import FaultScript
from brokers.paper.venue import JOURNAL, Venue
from brokers.tradovate.simulator import server as tradovate_server
from brokers.tradovate.simulator import simulator as tradovate
from brokers.tradovate.simulator import window
from brokers.tradovate.simulator.account import USER
from brokers.tradovate.simulator.maintenance import Maintenance
from brokers.tradovate.simulator.sessions import LIFE_S, Login
from gateway import log
from gateway.config import ConfigError, Settings
from gateway.market import own_market
from gateway.system import SystemClock
from trading.instrument import Catalogue
from trading.ports import Environment, MarketData
from trading.quantity import use_exact_arithmetic
from trading.quote import Quote

CREDENTIALS = "credentials"
"""The folder, in the data directory, with the key that a simulator takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a simulator behaves; what is None is as its broker has it.

    `rate_limit` is in requests a minute for Alpaca, and an hour for Tradovate. `replays` is
    Alpaca's; how long a token lasts, and the daily span of maintenance in UTC, are Tradovate's.
    """

    replays: bool = True
    rate_limit: int | None = None
    token_life_s: float | None = None
    maintenance: str | None = None


class _Simulator(NamedTuple):
    """What takes in quotes, and what serves it on a socket that listens."""

    on_quote: Callable[[Quote], None]
    served: Callable[[socket.socket], AbstractAsyncContextManager[None]]


type _Made = Callable[[Venue, Catalogue, SystemClock, Path, Manners], _Simulator]


def simulate(settings: Settings, name: str, manners: Manners) -> None:
    """Run a broker's simulator until a signal. Raises ConfigError, JournalError, ReplayError."""
    if settings.environment is not Environment.SIM:
        raise ConfigError(
            f"DRAWBRIDGE_ENVIRONMENT={settings.environment}: a simulator belongs to sim"
        )
    if not settings.is_loopback:
        raise ConfigError(f"DRAWBRIDGE_HOST={settings.host}: a simulator is for this machine alone")
    log.configure(settings.log_level)
    use_exact_arithmetic()
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_simulate(settings, name, manners))


async def _simulate(settings: Settings, name: str, manners: Manners) -> None:
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
        folder = settings.data / CREDENTIALS
        simulator = _MADE[name](venue, catalogue, clock, folder, manners)
        async with simulator.served(listener):
            _say_ready(settings, name)
            await _until_signal(source, simulator)


def _alpaca(
    venue: Venue, catalogue: Catalogue, clock: SystemClock, folder: Path, manners: Manners
) -> _Simulator:
    limit = manners.rate_limit or alpaca.REQUESTS_MAX
    made = alpaca.Simulator(
        venue,
        catalogue,
        clock,
        _credentials(folder),
        replays=manners.replays,
        rate_limit=limit,
    )
    return _Simulator(made.on_quote, lambda listener: alpaca_server.served(made, listener))


def _tradovate(
    venue: Venue, catalogue: Catalogue, clock: SystemClock, folder: Path, manners: Manners
) -> _Simulator:
    try:
        maintenance = Maintenance.read(clock, manners.maintenance)
    except ValueError as error:
        raise ConfigError(f"--maintenance: {error}") from None
    made = tradovate.Simulator(
        venue,
        catalogue,
        clock,
        _login(folder),
        lambda: secrets.token_urlsafe(48),
        token_life_s=manners.token_life_s or LIFE_S,
        rate_limit=manners.rate_limit or window.REQUESTS_MAX,
        maintenance=maintenance,
    )
    return _Simulator(made.on_quote, lambda listener: tradovate_server.served(made, listener))


_MADE: Mapping[str, _Made] = {"alpaca": _alpaca, "tradovate": _tradovate}
"""The simulators, by the names that `arguments` knows."""


async def _until_signal(source: MarketData, simulator: _Simulator) -> None:
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


async def _feed(source: MarketData, simulator: _Simulator) -> None:
    async for quote in source.quotes():
        simulator.on_quote(quote)


def _credentials(folder: Path) -> Credentials:
    """Return the key of an earlier run, or make one."""
    key = {"key_id": f"SIM{secrets.token_hex(8).upper()}", "secret_key": secrets.token_urlsafe(32)}
    _kept(folder, key)
    return Credentials.read(folder)


def _login(folder: Path) -> Login:
    """Return the log-in of an earlier run, or make one."""
    fresh = {
        "name": USER,
        "password": secrets.token_urlsafe(24),
        "cid": "1",
        "sec": secrets.token_urlsafe(24),
    }
    return Login(**_kept(folder, fresh))


def _kept(folder: Path, fresh: Mapping[str, str]) -> Mapping[str, str]:
    """Return what files hold, made where they are missing; only their owner can read them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in fresh.items():
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(f"{text}\n", encoding="ascii")
    return {name: (folder / name).read_text(encoding="ascii").strip() for name in fresh}


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): end what does,"
            " or choose another with --port"
        ) from error


def _say_ready(settings: Settings, name: str) -> None:
    print(  # noqa: T201
        f"The simulator of {name} is open at http://{settings.host}:{settings.port}."
        f" Its key is in {(settings.data / CREDENTIALS).resolve()}",
        flush=True,
    )
