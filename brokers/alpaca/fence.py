"""The fence between environments: which hosts, keys and accounts of Alpaca belong to which.

Hosts and key prefixes as Alpaca's documentation has them in 2026; the simulator's are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brokers.link.fence import check_host, mounted
from trading.ports import Environment, Unauthorized

TRADING_HOSTS: Mapping[Environment, str] = {
    Environment.PAPER: "paper-api.alpaca.markets",
    Environment.LIVE: "api.alpaca.markets",
}
DATA_HOST = "stream.data.alpaca.markets"
_KEYS = {"SIM": Environment.SIM, "PK": Environment.PAPER, "AK": Environment.LIVE}
_ACCOUNTS = {"SIM": Environment.SIM, "PA": Environment.PAPER}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of one account. It is not shown in logs or errors."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Credentials:
        """Read the files `key_id` and `secret_key` of a mounted folder. Raises Unauthorized."""
        return cls(mounted(folder / "key_id"), mounted(folder / "secret_key"))

    def now(self) -> Credentials:
        """Return itself: what is given by hand does not change."""
        return self

    def secrets(self) -> tuple[str, ...]:
        """Return what must be in no log."""
        return self.key_id, self.secret_key

    def headers(self) -> Mapping[str, str]:
        """Return what goes with every request."""
        return {"apca-api-key-id": self.key_id, "apca-api-secret-key": self.secret_key}


def check_url(url: str, environment: Environment, host: str | None = None) -> None:
    """Raise Unauthorized unless a URL is of a host that belongs to the environment.

    `host` is the one that both real environments share, if they do.
    """
    check_host(url, environment, host or TRADING_HOSTS.get(environment, ""))


def check_key(credentials: Credentials, environment: Environment) -> None:
    """Raise Unauthorized for a key that shows itself to be of another environment."""
    for prefix, theirs in _KEYS.items():
        if credentials.key_id.startswith(prefix) and theirs is not environment:
            raise Unauthorized(
                f"the key is of Alpaca's environment {theirs}, and this gateway of {environment}:"
                " mount the key of an account of that one"
            )


def check_account(number: str, environment: Environment) -> None:
    """Raise Unauthorized for an account that the broker itself shows to be of another one."""
    known = (each for prefix, each in _ACCOUNTS.items() if number.startswith(prefix))
    theirs = next(known, Environment.LIVE)
    if theirs is not environment:
        raise Unauthorized(
            f"Alpaca says that this key's account is of the environment {theirs}, and this"
            f" gateway is of {environment}: nothing is sent"
        )
