"""Development tokens: one user for each role, signed by the key in the data directory."""

from __future__ import annotations

from gateway.config import ConfigError, Settings
from gateway.system import SystemClock, TimeOrderedIds
from persistence.opening import store_file
from security.development import DevelopmentIssuer, open_issuer
from security.roles import ROLE_PERMISSIONS, Role
from trading.ids import UserID


def development_token(issuer: DevelopmentIssuer, role: Role, user: str | None = None) -> str:
    """Sign a token with all permissions of a role, for the seeded user of that name or another."""
    return issuer.mint(UserID(user or role), ROLE_PERMISSIONS[role])


def token_of_directory(settings: Settings, role: Role, user: str | None) -> str:
    """Sign a token that the gateway of a data directory accepts. Raises ConfigError."""
    if not settings.is_shared and not store_file(settings.data).is_file():
        raise ConfigError(
            f"there is no store in {settings.data}: start `drawbridge serve` or `drawbridge"
            " migrate` with this --data first"
        )
    settings.data.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    issuer = open_issuer(
        settings.data,
        environment=settings.environment,
        host=settings.host,
        clock=clock,
        ids=TimeOrderedIds(clock),
    )
    return development_token(issuer, role, user)
