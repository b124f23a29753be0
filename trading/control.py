"""Changes of trading state, and the requests to loosen that await a second person."""

from __future__ import annotations

from dataclasses import dataclass

from trading.account import TradingState
from trading.ids import AccountID, TenantID, UserID


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStateChange:
    """One change of one account's trading state: who, why, when (UTC nanoseconds)."""

    id: int = 0
    tenant_id: TenantID
    account_id: AccountID
    before: TradingState
    state: TradingState
    reason: str
    changed_by: UserID
    approved_by: UserID | None
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A request to loosen a trading state, which another person than the requester must approve."""

    id: str
    tenant_id: TenantID
    account_id: AccountID | None
    state: TradingState
    reason: str
    requested_by: UserID
    requested_at: int
    expires_at: int
    approved_by: UserID | None = None
