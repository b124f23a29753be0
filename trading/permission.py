"""Permissions as values, and the principal who holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from trading.ids import AccountID, TenantID, UserID


@unique
class Permission(StrEnum):
    """What a field may ask of its caller; the values are the OAuth scopes."""

    GATEWAY_READ = "gateway:read"
    ACCOUNTS_READ = "accounts:read"
    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    QUOTES_READ = "quotes:read"
    TRADING_STATE_READ = "trading-state:read"
    TRADING_STATE_WRITE = "trading-state:write"
    TRADING_STATE_WRITE_ALL = "trading-state:write-all"
    LIMITS_READ = "limits:read"
    LIMITS_WRITE = "limits:write"
    SCHEMA_READ = "schema:read"
    TOKENS_REVOKE = "tokens:revoke"
    AUDIT_READ = "audit:read"
    LINKS_READ = "links:read"
    LINKS_WRITE = "links:write"


@unique
class Entitlement(StrEnum):
    """What a principal may do with one account."""

    READ = "READ"
    TRADE = "TRADE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking, with permissions narrowed by role and scopes; `expires_at` is in UTC ns.

    `client_id` is the program through which it asks and `token_id` the token's `jti`, as the token
    says; `address` is where the connection came from.
    """

    user_id: UserID
    name: str
    tenant_id: TenantID
    role: str
    permissions: frozenset[Permission]
    accounts: Mapping[AccountID, Entitlement]
    expires_at: int
    client_id: str = ""
    token_id: str = ""
    address: str = ""

    def may_read(self, account_id: AccountID) -> bool:
        """Tell whether the account is visible to this principal."""
        return account_id in self.accounts

    def may_trade(self, account_id: AccountID) -> bool:
        """Tell whether the principal may place and cancel orders of the account."""
        return self.accounts.get(account_id) is Entitlement.TRADE
