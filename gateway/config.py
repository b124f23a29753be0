"""Settings: from `DRAWBRIDGE_*` variables and the command line, validated before all else."""

from __future__ import annotations

import difflib
import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum, unique
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from resolvers.bounds import Bounds
from serving.operation import DEADLINE_S
from trading.ports import Environment

PREFIX = "DRAWBRIDGE_"
_TEST_PREFIX = "DRAWBRIDGE_TEST_"
SIMULATED = "simulated"
_PORT_MAX = 65535
_COUNT_MAX = 10_000_000


class ConfigError(Exception):
    """Settings that cannot be used; each line names the variable or option, and the remedy."""


@unique
class Role(StrEnum):
    """What a process among many does: serve GraphQL, own broker sessions, or both."""

    API = "api"
    SESSION = "session"
    ALL = "all"


class Secret(str):
    """A setting that may hold a password, and so is never shown."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it is given."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a gateway runs with. `speed` is market time per real time; 0 replays without waiting.

    With `database_url` it is one process among many: then the bus, the cache and the exchange are
    elsewhere too, and `data` holds only the key of the development issuer, which all share.
    """

    environment: Environment = Environment.SIM
    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path("data")
    quotes: str = SIMULATED
    speed: Decimal = Decimal(1)
    seed: int = 1
    faults: Path | None = None
    database_url: Secret | None = None
    amqp_url: Secret | None = None
    redis_url: Secret | None = None
    exchange: HostPort | None = None
    role: Role = Role.ALL
    max_tokens: int = Bounds.tokens
    max_depth: int = Bounds.depth
    max_aliases: int = Bounds.aliases
    max_root_fields: int = Bounds.root_fields
    max_fields: int = Bounds.fields
    max_directives: int = Bounds.directives
    max_list_items: int = Bounds.list_items
    max_cost: int = Bounds.cost
    max_rows: int = Bounds.rows
    operation_deadline_s: int = int(DEADLINE_S)
    log_level: str = "INFO"

    @property
    def bounds(self) -> Bounds:
        """How large documents may be."""
        each = {name: getattr(self, f"max_{name}") for name in Bounds.__dataclass_fields__}
        return Bounds(**each)

    @property
    def is_shared(self) -> bool:
        """Whether this is one gateway process among many, over one PostgreSQL."""
        return self.database_url is not None

    @property
    def is_loopback(self) -> bool:
        """Whether the gateway can be reached from this machine alone."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback


def from_environment(variables: Mapping[str, str]) -> Settings:
    """Read settings. Raises ConfigError with a line for every variable that is wrong."""
    errors: list[str] = []
    values: dict[str, Any] = {}
    for name, text in sorted(variables.items()):
        if not name.startswith(PREFIX) or name.startswith(_TEST_PREFIX):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in _READERS:
            errors.append(f"{name} is not a setting{_suggestion(field)}")
            continue
        try:
            values[field] = _READERS[field](text)
        except ValueError as error:
            shown = "…" if field.endswith("_url") else repr(text)
            errors.append(f"{name}={shown}: {error}")
    if errors:
        raise ConfigError("\n".join(errors))
    return replace(Settings(), **values)


def with_options(settings: Settings, options: Mapping[str, str | None]) -> Settings:
    """Put what the command line says in place of the variables. Raises ConfigError."""
    errors: list[str] = []
    values: dict[str, Any] = {}
    for field, text in options.items():
        if text is None:
            continue
        try:
            values[field] = _READERS[field](text)
        except ValueError as error:
            errors.append(f"--{field.replace('_', '-')} {text}: {error}")
    if errors:
        raise ConfigError("\n".join(errors))
    return replace(settings, **values)


def check(settings: Settings) -> None:
    """Refuse combinations that cannot keep what they promise. Raises ConfigError."""
    errors = []
    if settings.environment is not Environment.SIM:
        errors.append(
            f"{PREFIX}ENVIRONMENT={settings.environment}: the only broker here is the paper"
            " exchange, and the only tokens those of the development issuer, which belongs to sim;"
            " set it to sim"
        )
    if not settings.is_loopback:
        errors.append(
            f"{PREFIX}HOST={settings.host}: tokens come from the development issuer, which is for"
            " this machine alone; use 127.0.0.1"
        )
    errors += [*_market_errors(settings), *_sharing_errors(settings)]
    if errors:
        raise ConfigError("\n".join(errors))


def check_market(settings: Settings) -> None:
    """Refuse what an exchange cannot run with. Raises ConfigError."""
    errors = _market_errors(settings)
    if settings.environment is Environment.LIVE:
        errors.append(f"{PREFIX}ENVIRONMENT=live: the paper exchange belongs to sim or paper")
    if errors:
        raise ConfigError("\n".join(errors))


def _market_errors(settings: Settings) -> list[str]:
    errors = []
    if settings.quotes != SIMULATED and not Path(settings.quotes).is_file():
        errors.append(
            f"{PREFIX}QUOTES={settings.quotes}: there is no such file; say simulated, or a CSV file"
        )
    if settings.faults is not None and not settings.faults.is_file():
        errors.append(f"{PREFIX}FAULTS={settings.faults}: there is no such file")
    return errors


def _sharing_errors(settings: Settings) -> list[str]:
    """Say what many processes need that is not set, and what one alone cannot be."""
    others = {name: getattr(settings, name) for name in ("amqp_url", "redis_url", "exchange")}
    if settings.is_shared:
        return [
            f"{PREFIX}{name.upper()} is not set: with {PREFIX}DATABASE_URL there are many"
            f" processes, which meet there; {_EXAMPLES[name]}"
            for name, value in others.items()
            if value is None
        ]
    errors = [
        f"{PREFIX}{name.upper()} is set, but {PREFIX}DATABASE_URL is not: one process alone, on"
        " SQLite, has all of that inside; set both or neither"
        for name, value in others.items()
        if value is not None
    ]
    if settings.role is not Role.ALL:
        errors.append(
            f"{PREFIX}ROLE={settings.role}: a process alone must do everything; set"
            f" {PREFIX}DATABASE_URL, or leave the role out"
        )
    return errors


_EXAMPLES = {
    "amqp_url": "say amqp://user:password@host:5672/",
    "redis_url": "say redis://host:6379/0",
    "exchange": "start `drawbridge exchange`, and say its host:port",
}


def describe(settings: Settings) -> str:
    """Write the settings as the variables that would give them."""
    lines = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        shown = "(set, not shown)" if isinstance(value, Secret) else value
        lines.append(f"{PREFIX}{field.name.upper()}={'' if value is None else shown}")
    return "\n".join(lines)


def _environment(text: str) -> Environment:
    try:
        return Environment(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(Environment)}") from None


def _host(text: str) -> str:
    if text != "localhost":
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError("say an IP address of this machine, or localhost") from None
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise ValueError(f"say a port from 1 to {_PORT_MAX}")
    return int(text)


def _path(text: str) -> Path:
    if not text:
        raise ValueError("say a path")
    return Path(text)


def _text(text: str) -> str:
    if not text:
        raise ValueError("say a value, or leave it out")
    return text


def _url(*schemes: str) -> Callable[[str], Secret]:
    def read(text: str) -> Secret:
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


def _host_port(text: str) -> HostPort:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError("say host:port")
    return HostPort(host.strip("[]"), _port(port))


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(Role)}") from None


def _speed(text: str) -> Decimal:
    if text == "max":
        return Decimal(0)
    try:
        speed = Decimal(text)
    except InvalidOperation:
        speed = Decimal("NaN")
    if not speed.is_finite() or speed < 0:
        raise ValueError("say how many times as fast as it was recorded, such as 10, or max")
    return speed


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("say a whole number, 0 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _COUNT_MAX:
        raise ValueError(f"say a whole number from 1 to {_COUNT_MAX}")
    return int(text)


def _level(text: str) -> str:
    known = ("DEBUG", "INFO", "WARNING", "ERROR")
    if text.upper() not in known or text.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"say one of {', '.join(known)}")
    return text.upper()


_READERS: dict[str, Callable[[str], object]] = {
    "environment": _environment,
    "host": _host,
    "port": _port,
    "data": _path,
    "quotes": _text,
    "speed": _speed,
    "seed": _seed,
    "faults": _path,
    "database_url": _url("postgresql"),
    "amqp_url": _url("amqp", "amqps"),
    "redis_url": _url("redis", "rediss"),
    "exchange": _host_port,
    "role": _role,
    **{f"max_{name}": _count for name in Bounds.__dataclass_fields__},
    "operation_deadline_s": _count,
    "log_level": _level,
}


def _suggestion(field: str) -> str:
    # Compared without the prefix, which alone would make any two names look alike.
    close = difflib.get_close_matches(field, _READERS, n=1)
    names = [f"{PREFIX}{each.upper()}" for each in close or _READERS]
    return f"; did you mean {names[0]}?" if close else f"; there are {', '.join(names)}"
