"""The fence between environments: which hosts and accounts of Tradovate belong to which.

Hosts and the names of demo accounts as Tradovate's documentation has them in 2026; the simulator's
are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brokers.link.fence import check_host, mounted
from trading.ports import Environment, Unauthorized

TRADING_HOSTS: Mapping[Environment, str] = {
    Environment.PAPER: "demo.tradovateapi.com",
    Environment.LIVE: "live.tradovateapi.com",
}
DATA_HOST = "md.tradovateapi.com"
_ACCOUNTS = {"SIM": Environment.SIM, "DEMO": Environment.PAPER}
_APP_ID = "Drawbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user's name and password, and an API key: `cid` and `sec`. Shown in no log or error."""

    name: str = field(repr=False)
    password: str = field(repr=False)
    cid: str = field(repr=False)
    sec: str = field(repr=False)
    app_id: str = _APP_ID

    @classmethod
    def read(cls, folder: Path) -> Credentials:
        """Read the files `name`, `password`, `cid` and `sec` of a mounted folder.

        `app_id`, under which the key was made, may be beside them. Raises Unauthorized.
        """
        app_id = folder / "app_id"
        return cls(
            name=mounted(folder / "name", spaces=True),
            password=mounted(folder / "password", spaces=True),
            cid=mounted(folder / "cid"),
            sec=mounted(folder / "sec"),
            app_id=mounted(app_id, spaces=True) if app_id.exists() else _APP_ID,
        )

    def now(self) -> Credentials:
        """Return itself: what is given by hand does not change."""
        return self

    def secrets(self) -> tuple[str, ...]:
        """Return what must be in no log."""
        return (self.password, self.sec)

    def request(self) -> Mapping[str, str]:
        """Return the body of a request for an access token."""
        return {
            "name": self.name,
            "password": self.password,
            "appId": self.app_id,
            "appVersion": "1.0",
            "cid": self.cid,
            "sec": self.sec,
        }


def check_url(url: str, environment: Environment, host: str | None = None) -> None:
    """Raise Unauthorized unless a URL is of a host that belongs to the environment.

    `host` is the one that both real environments share, if they do.
    """
    check_host(url, environment, host or TRADING_HOSTS.get(environment, ""))


def check_account(name: str, environment: Environment) -> None:
    """Raise Unauthorized for an account that the broker itself shows to be of another one."""
    known = (each for prefix, each in _ACCOUNTS.items() if name.startswith(prefix))
    theirs = next(known, Environment.LIVE)
    if theirs is not environment:
        raise Unauthorized(
            f"Tradovate says that the account {name} is of the environment {theirs}, and this"
            f" gateway is of {environment}: nothing is sent"
        )
