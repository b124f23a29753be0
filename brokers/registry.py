"""Adapters by name: those of this package, and those that other distributions bring.

A distribution offers an adapter as an entry point of the group `drawbridge.brokers`: a function
from Surroundings to a Broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from brokers.alpaca.broker import AlpacaBroker
from brokers.alpaca.fence import Credentials, check_key
from brokers.alpaca.link import AlpacaSettings
from brokers.alpaca.quotes import AlpacaQuotes
from brokers.faults import FaultScript
from brokers.link.keys import MountedKey
from brokers.paper.broker import PaperBroker
from brokers.paper.client import Address
from brokers.paper.remote import RemotePaperBroker
from brokers.paper.venue import JOURNAL, Venue
from brokers.tradovate.broker import TradovateBroker
from brokers.tradovate.fence import DATA_HOST
from brokers.tradovate.fence import Credentials as TradovateCredentials
from brokers.tradovate.link import TradovateSettings
from brokers.tradovate.maintenance import PUBLISHED, Maintenance
from brokers.tradovate.quotes import TradovateQuotes
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.ports import Broker, Clock, Environment, MarketClock, MarketData, Unauthorized
from trading.quote import Quote

GROUP = "drawbridge.brokers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a broker is, the folder of our key there, and which of our accounts it trades.

    `accounts` has the broker's names of them, by our ids; None is the only one that the key is for.
    `data_url` is where its quotes come from, if that is elsewhere, and `symbols` whose they are.
    `maintenance` is when in the week it is shut, in the adapter's own words.
    """

    url: str
    credentials: Path
    accounts: Mapping[AccountID, str | None]
    data_url: str | None = None
    symbols: Sequence[str] = ()
    maintenance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that an adapter may ask of the process. `directory` is where it keeps its own files.

    `seed` and `faults` are for simulators; `latency_ms` is their range in milliseconds. `exchange`
    is where the paper exchange listens, if it is a process of its own; `access` is for brokers that
    are somebody else's.
    """

    environment: Environment
    catalogue: Catalogue
    clock: Clock
    market: MarketClock
    directory: Path
    seed: int = 0
    latency_ms: tuple[int, int] = (0, 0)
    faults: FaultScript = field(default_factory=FaultScript)
    exchange: Address | None = None
    access: Access | None = None


type Factory = Callable[[Surroundings], Broker]


@runtime_checkable
class TakesQuotes(Protocol):
    """A broker that trades against quotes, and so must be given them."""

    def on_quote(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market."""


class UnknownBroker(LookupError):
    """No adapter has this name."""


def names() -> Sequence[str]:
    """Return the names of all adapters."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def open_broker(name: str, surroundings: Surroundings) -> Broker:
    """Make an adapter. Raises UnknownBroker, and whatever the adapter refuses to start for."""
    if (factory := _BUILT_IN.get(name)) is not None:
        return factory(surroundings)
    for point in entry_points(group=GROUP, name=name):
        offered: Factory = point.load()
        return offered(surroundings)
    raise UnknownBroker(f"no broker {name}: known are {', '.join(names())}")


def _paper(surroundings: Surroundings) -> Broker:
    if surroundings.exchange is not None:
        return RemotePaperBroker(
            address=surroundings.exchange,
            environment=surroundings.environment,
            clock=surroundings.clock,
        )
    if surroundings.environment is not Environment.SIM:
        raise ValueError(
            "the paper exchange in this process belongs to the environment sim, not"
            f" {surroundings.environment}"
        )
    venue = Venue(
        journal=surroundings.directory / JOURNAL,
        environment=surroundings.environment,
        catalogue=surroundings.catalogue,
        clock=surroundings.clock,
        market=surroundings.market,
        seed=surroundings.seed,
        latency_ms=surroundings.latency_ms,
        faults=surroundings.faults,
    )
    return PaperBroker(venue, surroundings.clock)


def _alpaca(surroundings: Surroundings) -> Broker:
    return AlpacaBroker(_alpaca_settings(surroundings), surroundings.catalogue, surroundings.clock)


def alpaca_quotes(surroundings: Surroundings) -> AlpacaQuotes:
    """Make the source of Alpaca's quotes. Raises Unauthorized where the fence refuses."""
    access = _access(surroundings)
    data_url = access.data_url or f"ws{access.url.removeprefix('http').rstrip('/')}/v2/iex"
    return AlpacaQuotes(
        _alpaca_settings(surroundings),
        surroundings.clock,
        symbols=access.symbols,
        data_url=data_url,
    )


def _alpaca_settings(surroundings: Surroundings) -> AlpacaSettings:
    access = _access(surroundings)
    return AlpacaSettings(
        environment=surroundings.environment,
        url=access.url,
        credentials=MountedKey(
            access.credentials,
            Credentials.read,
            lambda key: check_key(key, surroundings.environment),
            surroundings.clock,
        ),
        account_id=_only_account(access),
        directory=surroundings.directory,
    )


def _only_account(access: Access) -> AccountID:
    match [*access.accounts.items()]:
        case [(account_id, None)]:
            return account_id
        case _:
            raise Unauthorized("a key of Alpaca is for one account: name ours, and no more")


def _tradovate(surroundings: Surroundings) -> Broker:
    settings = _tradovate_settings(surroundings)
    return TradovateBroker(settings, surroundings.catalogue, surroundings.clock)


def tradovate_quotes(surroundings: Surroundings) -> TradovateQuotes:
    """Make the source of Tradovate's quotes. Raises Unauthorized where the fence refuses."""
    symbols = _access(surroundings).symbols
    return TradovateQuotes(_tradovate_settings(surroundings), surroundings.clock, symbols=symbols)


def _tradovate_settings(surroundings: Surroundings) -> TradovateSettings:
    access = _access(surroundings)
    simulated = surroundings.environment is Environment.SIM
    shut = access.maintenance or ("none" if simulated else PUBLISHED)
    return TradovateSettings(
        environment=surroundings.environment,
        url=access.url,
        credentials=MountedKey(
            access.credentials, TradovateCredentials.read, lambda _: None, surroundings.clock
        ),
        accounts=access.accounts,
        directory=surroundings.directory,
        data_url=access.data_url or (None if simulated else f"wss://{DATA_HOST}/v1/websocket"),
        maintenance=Maintenance.read(shut),
    )


QUOTES: Mapping[str, Callable[[Surroundings], MarketData]] = {
    "alpaca": alpaca_quotes,
    "tradovate": tradovate_quotes,
}
"""Sources of quotes, by the names of the brokers elsewhere that bring them."""

SHUT_AT_TIMES = frozenset({"tradovate"})
"""Brokers with hours of maintenance that can be set."""


def _access(surroundings: Surroundings) -> Access:
    if surroundings.access is None:
        raise Unauthorized("this broker needs an address and a key: none are set")
    return surroundings.access


_BUILT_IN: Mapping[str, Factory] = {
    "paper": _paper,
    "alpaca": _alpaca,
    "tradovate": _tradovate,
}
