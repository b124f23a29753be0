"""One link to Alpaca: where it is, with which key, and everything between that and the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from brokers.alpaca.client import AlpacaClient
from brokers.alpaca.feed import Feed
from brokers.alpaca.fence import Credentials, check_key, check_url
from brokers.link.breaker import Breaker
from brokers.link.budget import Budget
from brokers.link.http import Http, Timeouts
from brokers.link.keys import Key
from brokers.link.wirelog import WireLog
from trading.ids import AccountID
from trading.ports import Clock, Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaSettings:
    """Where Alpaca is, the key, and which of our accounts the key's account is.

    Raises Unauthorized where host or key are of another environment.

    `watermark_s` is how often, in seconds, the stream is compared with the account, and
    `arrival_s` how long after an order has left a "not found" is no proof: it may be on its way.
    """

    environment: Environment
    url: str
    credentials: Key[Credentials]
    account_id: AccountID
    directory: Path
    timeouts: Timeouts = field(default_factory=Timeouts)
    watermark_s: float = 5.0
    arrival_s: float = 5.0

    def __post_init__(self) -> None:
        """Stand before the fence, so that nobody gets a link past it."""
        check_url(self.url, self.environment)
        check_key(self.credentials.now(), self.environment)


class AlpacaLink:
    """A client and a feed over one set of connections, one budget and one log."""

    def __init__(self, settings: AlpacaSettings, clock: Clock, log_name: str) -> None:
        """Open the log, and connect to nothing yet."""
        self._credentials, self._hidden = settings.credentials, settings.credentials.now()
        settings.directory.mkdir(parents=True, exist_ok=True)
        self._log = WireLog(settings.directory / log_name, clock, self._hidden.secrets())
        http = Http(
            settings.url,
            headers=lambda: self._key().headers(),
            budget=Budget(clock),
            breaker=Breaker(clock),
            log=self._log,
            timeouts=settings.timeouts,
        )
        self.client = AlpacaClient(http)
        socket_url = f"ws{settings.url.removeprefix('http').rstrip('/')}/stream"
        self.feed = Feed(http, socket_url, self._key, self._log)

    def _key(self) -> Credentials:
        """Return the key as it is now, which is in no log from then on."""
        key = self._credentials.now()
        if key != self._hidden:
            self._hidden = key
            for secret in key.secrets():
                self._log.hide(secret)
        return key

    async def close(self) -> None:
        """Let go of everything."""
        await self.client.close()
        self._log.close()
