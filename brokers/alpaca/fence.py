"""The fence between environments: which hosts, keys and accounts of Alpaca belong to which.

Hosts and key prefixes as Alpaca's documentation has them in 2026; the simulator's are ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

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
        return cls(_secret(folder / "key_id"), _secret(folder / "secret_key"))

    def headers(self) -> Mapping[str, str]:
        """Return what goes with every request."""
        return {"apca-api-key-id": self.key_id, "apca-api-secret-key": self.secret_key}


def _secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthorized(f"the credential {path} cannot be read: {error}") from None
    if not text or not text.isprintable() or " " in text:
        raise Unauthorized(f"the credential {path} must be one line without spaces")
    return text


def check_url(url: str, environment: Environment, host: str | None = None) -> None:
    """Raise Unauthorized unless a URL is of a host that belongs to the environment.

    `host` is the one that both real environments share, if they do.
    """
    parts = urlsplit(url)
    if environment is Environment.SIM:
        if not _is_loopback(parts.hostname or ""):
            raise Unauthorized(
                f"{url} is not of the environment sim, whose brokers are simulators on this"
                " machine: use an address such as http://127.0.0.1:8200"
            )
        return
    allowed = host or TRADING_HOSTS[environment]
    if parts.hostname != allowed or parts.scheme not in {"https", "wss"} or parts.port:
        raise Unauthorized(
            f"{url} is not of the environment {environment}, whose host is {allowed}, over TLS"
        )


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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
