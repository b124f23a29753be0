"""Settings: from `DRAWBRIDGE_*` variables and the command line, validated before all else."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from brokers import registry
from gateway import setting
from gateway.setting import HostPort, Network, Role, Secret
from resolvers.bounds import Bounds
from security.rates import DAY_S, QUOTED, Rate, Traffic
from security.redaction import redact
from serving.operation import DEADLINE_S
from trading.ids import AccountID
from trading.ports import Environment

__all__ = [
    "PREFIX",
    "SIMULATED",
    "ConfigError",
    "HostPort",
    "Role",
    "Secret",
    "Settings",
    "check",
    "check_market",
    "describe",
    "from_environment",
    "with_options",
]

PREFIX = "DRAWBRIDGE_"
_TEST_PREFIX = "DRAWBRIDGE_TEST_"
SIMULATED = "simulated"
PAPER = "paper"


class ConfigError(Exception):
    """Settings that cannot be used; each line names the variable or option, and the remedy."""


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
    broker: str = PAPER
    broker_url: str | None = None
    broker_data_url: str | None = None
    broker_credentials: Path | None = None
    broker_account: str = "equity"
    broker_maintenance: str | None = None
    symbols: str = "AAPL,MSFT,NVDA"
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
    issuer: str | None = None
    jwks_url: str | None = None
    introspection_client: str | None = None
    introspection_secret: Path | None = None
    public_url: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    rate_cancel: int = 5_000
    rate_order: int = 2_000
    rate_read: int = 2_000
    rate_subscribe: int = 5_000
    rate_refused: int = 100
    quota_order: int | None = None
    quota_read: int | None = None
    quota_subscribe: int | None = None
    audit_keys: Path | None = None
    keys: str = "local"
    vault_token: Path | None = None
    pkcs11_pin: Path | None = None
    links: Path | None = None
    log_level: str = "INFO"

    @property
    def bounds(self) -> Bounds:
        """How large documents may be."""
        each = {name: getattr(self, f"max_{name}") for name in Bounds.__dataclass_fields__}
        return Bounds(**each)

    @property
    def rates(self) -> Mapping[Traffic, Rate]:
        """How often a caller may ask, for each class of traffic."""
        return {each: Rate(getattr(self, f"rate_{each}")) for each in Traffic}

    @property
    def broker_accounts(self) -> Mapping[AccountID, str | None]:
        """Which of our accounts are which of the broker's; None is the only one there is."""
        return setting.account_names(self.broker_account)

    @property
    def quotas(self) -> Mapping[Traffic, Rate]:
        """How often a caller may ask in a day; nothing may come between a caller and a cancel."""
        said = {each: getattr(self, f"quota_{each}") for each in QUOTED}
        return {each: Rate(count, DAY_S) for each, count in said.items() if count is not None}

    @property
    def endpoint_url(self) -> str:
        """The endpoint's URL, as clients know it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}/graphql"

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
            shown = "…" if field in _SECRETS or "@" in text else repr(text)
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
    if settings.environment is not Environment.SIM and settings.broker == PAPER:
        errors.append(
            f"{PREFIX}ENVIRONMENT={settings.environment}: the broker is the paper"
            " exchange, which belongs to sim; set it to sim"
        )
    elif settings.environment is Environment.LIVE:
        errors.append(
            f"{PREFIX}ENVIRONMENT=live: no adapter has met its broker's live environment; use paper"
        )
    errors += [
        *_identity_errors(settings),
        *_market_errors(settings),
        *_sharing_errors(settings),
        *_broker_errors(settings),
    ]
    if errors:
        raise ConfigError("\n".join(errors))


def check_market(settings: Settings) -> None:
    """Refuse what an exchange cannot run with. Raises ConfigError."""
    errors = _market_errors(settings)
    if settings.environment is Environment.LIVE:
        errors.append(f"{PREFIX}ENVIRONMENT=live: the paper exchange belongs to sim or paper")
    if errors:
        raise ConfigError("\n".join(errors))


def _identity_errors(settings: Settings) -> list[str]:
    """Say what callers could not be known by."""
    if settings.issuer is None:
        errors = [
            f"{PREFIX}{name.upper()} is set, but {PREFIX}ISSUER is not: the development issuer has"
            " no use for it; set both or neither"
            for name in ("jwks_url", "introspection_client", "introspection_secret")
            if getattr(settings, name) is not None
        ]
        if not settings.is_loopback:
            errors.append(
                f"{PREFIX}HOST={settings.host}: without {PREFIX}ISSUER tokens come from the"
                " development issuer, which is for this machine alone; set it, or use 127.0.0.1"
            )
        return errors
    if (settings.introspection_client is None) != (settings.introspection_secret is None):
        words = "to ask about opaque tokens takes a client id and the file of its secret"
        return [f"{PREFIX}INTROSPECTION_CLIENT and {PREFIX}INTROSPECTION_SECRET: {words}"]
    secret = settings.introspection_secret
    if secret is not None and not secret.is_file():
        return [f"{PREFIX}INTROSPECTION_SECRET={secret}: there is no such file"]
    return []


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
    names = ("amqp_url", "redis_url", *(["exchange"] if settings.broker == PAPER else []))
    others = {name: getattr(settings, name) for name in names}
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


def _broker_errors(settings: Settings) -> list[str]:
    """Say what a broker elsewhere needs that is not set, and what belongs to another one."""
    if settings.broker not in registry.names():
        known = ", ".join(registry.names())
        return [f"{PREFIX}BROKER={settings.broker}: there is no such adapter; there are {known}"]
    if settings.broker == PAPER:
        elsewhere = ("broker_url", "broker_data_url", "broker_credentials", "broker_maintenance")
        return [
            f"{PREFIX}{name.upper()} is set, but the broker is the paper exchange, which has none;"
            f" leave it out, or set {PREFIX}BROKER"
            for name in elsewhere
            if getattr(settings, name) is not None
        ]
    errors = []
    if settings.broker_maintenance is not None and settings.broker not in registry.SHUT_AT_TIMES:
        errors.append(
            f"{PREFIX}BROKER_MAINTENANCE is set, but {settings.broker} has no such hours;"
            " leave it out"
        )
    errors += [
        f"{PREFIX}{name.upper()} is set, but belongs to the paper exchange, and the broker is"
        f" {settings.broker}; leave it out"
        for name in ("exchange", "faults")
        if getattr(settings, name) is not None
    ]
    if settings.quotes != SIMULATED:
        errors.append(
            f"{PREFIX}QUOTES is set, but quotes come from {settings.broker}; leave it out"
        )
    folder = settings.broker_credentials
    if folder is None or not folder.is_dir():
        errors.append(
            f"{PREFIX}BROKER_CREDENTIALS={folder or ''}: {settings.broker} needs a mounted folder"
            " with the files of its key"
        )
    if settings.broker_url is None:
        errors.append(f"{PREFIX}BROKER_URL is not set: say where {settings.broker} is")
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
        if isinstance(value, tuple):
            shown = ",".join(map(str, value))
        lines.append(f"{PREFIX}{field.name.upper()}={'' if value is None else redact(str(shown))}")
    return "\n".join(lines)


_READERS: dict[str, Callable[[str], object]] = {
    "environment": setting.environment,
    "host": setting.host,
    "port": setting.port,
    "data": setting.path,
    "quotes": setting.text,
    "speed": setting.speed,
    "seed": setting.seed,
    "faults": setting.path,
    "database_url": setting.url("postgresql"),
    "amqp_url": setting.url("amqp", "amqps"),
    "redis_url": setting.url("redis", "rediss"),
    "exchange": setting.host_port,
    "broker": setting.text,
    "broker_url": setting.address("http", "https"),
    "broker_data_url": setting.address("ws", "wss"),
    "broker_credentials": setting.path,
    "broker_account": setting.accounts,
    "broker_maintenance": setting.maintenance,
    "symbols": setting.text,
    "role": setting.role,
    **{f"max_{name}": setting.count for name in Bounds.__dataclass_fields__},
    "operation_deadline_s": setting.count,
    "issuer": setting.private_url,
    "jwks_url": setting.private_url,
    "introspection_client": setting.text,
    "introspection_secret": setting.path,
    "public_url": setting.private_url,
    "trusted_proxies": setting.networks,
    **{f"rate_{each}": setting.count for each in (*Traffic, "refused")},
    **{f"quota_{each}": setting.count for each in QUOTED},
    "audit_keys": setting.path,
    "keys": setting.text,
    "vault_token": setting.path,
    "pkcs11_pin": setting.path,
    "links": setting.path,
    "log_level": setting.level,
}


_SECRETS = {"database_url", "amqp_url", "redis_url"}
"""Settings that are not shown, right or wrong, because a password may be in them."""


def _suggestion(field: str) -> str:
    # Compared without the prefix, which alone would make any two names look alike.
    close = difflib.get_close_matches(field, _READERS, n=1)
    names = [f"{PREFIX}{each.upper()}" for each in close or _READERS]
    return f"; did you mean {names[0]}?" if close else f"; there are {', '.join(names)}"
