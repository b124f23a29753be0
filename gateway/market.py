"""The broker that is set, and the market that its orders are judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from brokers.faults import FaultScript
from brokers.paper.client import Address
from brokers.quotes.remote import RemoteQuotes
from brokers.quotes.replay import Replay
from brokers.quotes.simulated import SimulatedQuotes
from brokers.registry import QUOTES, Access, Surroundings, open_broker
from gateway.config import PAPER, SIMULATED, ConfigError, Settings
from gateway.system import SystemClock
from trading.instrument import Catalogue
from trading.ports import Broker, MarketClock, MarketData


@runtime_checkable
class Remote(Protocol):
    """A source of quotes that is elsewhere: connected to first, and let go of at the end."""

    async def connect(self) -> None:
        """Connect. Raises BrokerError."""

    async def close(self) -> None:
        """Let go."""


def market_data(settings: Settings, clock: SystemClock) -> MarketData:
    """Open a gateway's source of quotes. Raises ReplayError, and ConfigError where there is none.

    Quotes of a broker elsewhere are its own, for orders are judged by the prices they will meet.
    """
    if (source := QUOTES.get(settings.broker)) is not None:
        return source(_surroundings(settings, Catalogue(), clock, clock))
    if settings.exchange is not None:
        return RemoteQuotes(
            address=_exchange(settings), environment=settings.environment, clock=clock
        )
    if settings.broker != PAPER:
        raise ConfigError(f"the adapter {settings.broker} brings no quotes, and orders need them")
    return own_market(settings, clock)


def own_market(settings: Settings, clock: SystemClock) -> SimulatedQuotes | Replay:
    """Open the quotes of a market that is here; a file is read to its end. Raises ReplayError.

    An exchange or a simulator is one, also where the settings that gateways share name it.
    """
    if settings.quotes == SIMULATED:
        return SimulatedQuotes(clock, settings.seed)
    return Replay(Path(settings.quotes), clock, settings.speed)


def broker(
    settings: Settings, catalogue: Catalogue, clock: SystemClock, market: MarketClock
) -> Broker:
    """Make the adapter that is set. Raises what it refuses to start for."""
    return open_broker(settings.broker, _surroundings(settings, catalogue, clock, market))


def _surroundings(
    settings: Settings, catalogue: Catalogue, clock: SystemClock, market: MarketClock
) -> Surroundings:
    return Surroundings(
        environment=settings.environment,
        catalogue=catalogue,
        clock=clock,
        market=market,
        directory=settings.data,
        seed=settings.seed,
        faults=FaultScript.load(settings.faults) if settings.faults else FaultScript(),
        exchange=_exchange(settings) if settings.exchange else None,
        access=_access(settings),
    )


def _access(settings: Settings) -> Access | None:
    if settings.broker_url is None or settings.broker_credentials is None:
        return None
    return Access(
        url=settings.broker_url,
        credentials=settings.broker_credentials,
        accounts=settings.broker_accounts,
        data_url=settings.broker_data_url,
        symbols=[each.strip() for each in settings.symbols.split(",") if each.strip()],
        maintenance=settings.broker_maintenance,
    )


def _exchange(settings: Settings) -> Address:
    if settings.exchange is None:
        raise ConfigError("the address of the exchange is not set")
    return Address(settings.exchange.host, settings.exchange.port)
