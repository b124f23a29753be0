"""What one setting may be, and how it is read from text: ValueError says what to give instead."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum, unique
from pathlib import Path
from urllib.parse import urlsplit

from brokers.tradovate.maintenance import Maintenance
from security.url import is_private
from trading.ids import AccountID
from trading.mounted import Mounted
from trading.ports import Environment

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FILE = "file:"
_PORT_MAX = 65535
_COUNT_MAX = 10_000_000


@unique
class Role(StrEnum):
    """What a process among many does: serve GraphQL, own broker sessions, or both."""

    API = "api"
    SESSION = "session"
    ALL = "all"


class Secret(str):
    """A setting that may hold a password, and so is never shown."""

    __slots__ = ()


class MountedSecret(Mounted, Secret):
    """A secret that lies in a file, and is read again by whoever connects."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it is given."""
        return f"{self.host}:{self.port}"


def environment(text: str) -> Environment:
    """Read an environment. Raises ValueError."""
    try:
        return Environment(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(Environment)}") from None


def host(text: str) -> str:
    """Read an address to listen on. Raises ValueError."""
    if text != "localhost":
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError("say an IP address of this machine, or localhost") from None
    return text


def port(text: str) -> int:
    """Read a port. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise ValueError(f"say a port from 1 to {_PORT_MAX}")
    return int(text)


def path(text: str) -> Path:
    """Read a path. Raises ValueError."""
    if not text:
        raise ValueError("say a path")
    return Path(text)


def text(text: str) -> str:
    """Read any text. Raises ValueError."""
    if not text:
        raise ValueError("say a value, or leave it out")
    return text


def account_names(text: str) -> Mapping[AccountID, str | None]:
    """Read accounts such as `equity`, or `futures=DEMO1,hedge=DEMO2`. Raises ValueError."""
    found: dict[AccountID, str | None] = {}
    for each in text.split(","):
        ours, named, theirs = (part.strip() for part in each.partition("="))
        if not ours or bool(named) != bool(theirs) or ours in found:
            raise ValueError("say one of our accounts, or several as futures=DEMO1,hedge=DEMO2")
        found[AccountID(ours)] = theirs or None
    if len(found) > 1 and None in found.values():
        raise ValueError("of several accounts say for each which it is, as futures=DEMO1")
    return found


def accounts(text: str) -> str:
    """Check accounts, and leave them as they are given. Raises ValueError."""
    account_names(text)
    return text


def maintenance(text: str) -> str:
    """Read when a broker is shut, such as `Fri 16:00-Fri 20:00`. Raises ValueError."""
    Maintenance.read(text)
    return text


def url(*schemes: str) -> Callable[[str], Secret]:
    """Make what reads a URL with one of these schemes, or `file:` and the file that it lies in."""

    def read(text: str) -> Secret:
        if text.startswith(_FILE):
            return _mounted(Path(text.removeprefix(_FILE).removeprefix("//")), read)
        try:
            parts = urlsplit(text)
            fits = parts.scheme in schemes and parts.hostname and parts.port != 0
        except ValueError:  # urlsplit refuses brackets, and `port` what is no port
            fits = False
        if not fits:
            text = f"say a URL that begins with {schemes[0]}://, with a host and a good port"
            raise ValueError(text)
        return Secret(text)

    return read


def address(*schemes: str) -> Callable[[str], str]:
    """Make what reads a URL that holds no password, and so may be shown."""
    read = url(*schemes)
    return lambda text: str(read(text))


def _mounted(file: Path, check: Callable[[str], object]) -> MountedSecret:
    try:
        return MountedSecret.of(file, check)
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}): mount it") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def private_url(text: str) -> str:
    """Read a URL that nobody on the way can read. Raises ValueError."""
    if not is_private(text) or urlsplit(text).query or urlsplit(text).fragment:
        raise ValueError("say an https:// URL, or an http:// one of this machine, without a query")
    return text


def networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks. Raises ValueError."""
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(","))
    except ValueError:
        raise ValueError("say addresses or networks, such as 10.0.0.5,10.1.0.0/16") from None


def host_port(text: str) -> HostPort:
    """Read where something listens. Raises ValueError."""
    host, _, number = text.rpartition(":")
    if not host:
        raise ValueError("say host:port")
    return HostPort(host.strip("[]"), port(number))


def role(text: str) -> Role:
    """Read a process's role. Raises ValueError."""
    try:
        return Role(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(Role)}") from None


def speed(text: str) -> Decimal:
    """Read times as fast as real time. Raises ValueError."""
    if text == "max":
        return Decimal(0)
    try:
        speed = Decimal(text)
    except InvalidOperation:
        speed = Decimal("NaN")
    if not speed.is_finite() or speed < 0:
        raise ValueError("say how many times as fast as it was recorded, such as 10, or max")
    return speed


def seed(text: str) -> int:
    """Read a whole number from 0 on. Raises ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("say a whole number, 0 or more")
    return int(text)


def count(text: str) -> int:
    """Read a whole number from 1 on. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _COUNT_MAX:
        raise ValueError(f"say a whole number from 1 to {_COUNT_MAX}")
    return int(text)


def level(text: str) -> str:
    """Read a level of logging. Raises ValueError."""
    known = ("DEBUG", "INFO", "WARNING", "ERROR")
    if text.upper() not in known or text.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"say one of {', '.join(known)}")
    return text.upper()
