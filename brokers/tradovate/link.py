"""One link to Tradovate: where it is, as which user, and everything between that and the wire."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from brokers.instants import SECOND_NS
from brokers.link.breaker import Breaker
from brokers.link.budget import Budget
from brokers.link.http import Http, Timeouts
from brokers.link.keys import Key
from brokers.link.wirelog import WireLog
from brokers.tradovate.client import TradovateClient
from brokers.tradovate.fence import DATA_HOST, Credentials, check_url
from brokers.tradovate.maintenance import Maintenance
from brokers.tradovate.penalty import Penalties
from brokers.tradovate.socket import Socket, opened
from brokers.tradovate.token import login_of
from trading.ids import AccountID
from trading.ports import Clock, Environment

_REQUESTS_MAX = 5000
_KEPT = 500
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TradovateSettings:
    """Where Tradovate is, the user, and which of our accounts are which of the user's.

    Raises Unauthorized where a host is of another environment.

    `accounts` has their names at Tradovate by our ids; None is the only one that the user has.
    `watermark_s` is how often, in seconds, the stream is compared with what REST shows, and
    `arrival_s` how long after an order has left its absence is no proof: it may be on its way.
    `data_url` is the socket of quotes, if it is elsewhere.
    """

    environment: Environment
    url: str
    credentials: Key[Credentials]
    accounts: Mapping[AccountID, str | None]
    directory: Path
    data_url: str | None = None
    maintenance: Maintenance = field(default_factory=Maintenance)
    timeouts: Timeouts = field(default_factory=Timeouts)
    watermark_s: float = 10.0
    arrival_s: float = 10.0

    def __post_init__(self) -> None:
        """Stand before the fence, so that nobody gets a link past it."""
        check_url(self.url, self.environment)
        if self.data_url is not None:
            check_url(self.data_url, self.environment, DATA_HOST)

    @property
    def socket_url(self) -> str:
        """The socket of orders, and where nothing else is said, of quotes."""
        return f"ws{self.url.removeprefix('http').rstrip('/')}/v1/websocket"


class TradovateLink:
    """A client, and sockets, by one log-in, one budget and one log."""

    def __init__(self, settings: TradovateSettings, clock: Clock, log_name: str) -> None:
        """Open the log, and connect to nothing yet."""
        self._settings = settings
        self._clock = clock
        settings.directory.mkdir(parents=True, exist_ok=True)
        secrets = settings.credentials.now().secrets()
        self._log = WireLog(settings.directory / log_name, clock, secrets)
        self.login = login_of(settings.url, settings.credentials, clock, settings.maintenance)
        self.penalties = Penalties(clock)
        http = Http(
            settings.url,
            headers=self.login.headers,
            budget=Budget(
                clock, limit=_REQUESTS_MAX, window_s=_HOUR_S, reserve=_KEPT, bar_s=_HOUR_S
            ),
            breaker=Breaker(clock),
            log=self._log,
            timeouts=settings.timeouts,
        )
        self.client = TradovateClient(http, self.login, self._log, self.penalties)

    def shut_s(self) -> float:
        """Return for how many seconds the calendar still has Tradovate shut; 0 when it is open."""
        now = self._clock.now()
        until = self._settings.maintenance.until(now)
        return 0.0 if until is None else (until - now) / SECOND_NS

    def socket(self) -> AbstractAsyncContextManager[Socket]:
        """Open the socket of orders."""
        return opened(self._settings.socket_url, self._clock, self._log)

    def data_socket(self) -> AbstractAsyncContextManager[Socket]:
        """Open the socket of quotes."""
        url = self._settings.data_url or self._settings.socket_url
        return opened(url, self._clock, self._log)

    async def close(self) -> None:
        """Let go of everything."""
        await self.client.close()
        self._log.close()
