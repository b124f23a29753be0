"""Roles: what each may do at most. A token's scopes only narrow it."""

from collections.abc import Collection, Mapping
from enum import StrEnum, unique

from trading.permission import Permission


@unique
class Role(StrEnum):
    """What a user is to the gateway."""

    VIEWER = "viewer"
    TRADER = "trader"
    RISK_OFFICER = "risk_officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    PARTNER = "partner"


_READ = frozenset(
    {
        Permission.GATEWAY_READ,
        Permission.ACCOUNTS_READ,
        Permission.ORDERS_READ,
        Permission.QUOTES_READ,
        Permission.TRADING_STATE_READ,
    }
)
_READ_SCHEMA = _READ | {
    Permission.LIMITS_READ,
    Permission.LINKS_READ,
    Permission.SCHEMA_READ,
}
_CONTROL = _READ_SCHEMA | {
    Permission.TRADING_STATE_WRITE,
    Permission.LIMITS_WRITE,
    Permission.LINKS_WRITE,
}
_AUDIT = _READ_SCHEMA | {Permission.AUDIT_READ}

# Duties are apart: who sets trading states and limits places no orders. Two roles may set them,
# since it takes two people to loosen one.
ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _READ_SCHEMA,
    Role.TRADER: _READ_SCHEMA | {Permission.ORDERS_WRITE},
    Role.RISK_OFFICER: _CONTROL,
    Role.OPERATOR: _CONTROL | {Permission.TRADING_STATE_WRITE_ALL, Permission.TOKENS_REVOKE},
    Role.AUDITOR: _AUDIT,
    Role.PARTNER: _READ | {Permission.ORDERS_WRITE},
}


def permitted(role: Role, scopes: Collection[str]) -> frozenset[Permission]:
    """Return the permissions of a role that a token's scopes leave."""
    return frozenset(each for each in ROLE_PERMISSIONS[role] if each in scopes)
