"""Versions of the limits, and the requests to loosen that await a second person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

from trading.ids import TenantID, UserID
from trading.limits import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitVersion:
    """What one change set, all at once: by whom, and when (UTC nanoseconds)."""

    version: int
    id: str
    requested_by: UserID
    approved_by: UserID | None
    changed_at: int
    limits: tuple[Limit, ...]


@unique
class LimitRequestState(StrEnum):
    """What became of a request to loosen limits; one that nobody decides on runs out."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRequest:
    """A request to loosen limits, which another person than the requester must approve.

    `version` is the one that it was asked under: where one of its limits was set anew since, the
    newer word stands. Instants are UTC nanoseconds.
    """

    id: str
    tenant_id: TenantID
    version: int
    limits: tuple[Limit, ...]
    state: LimitRequestState
    requested_by: UserID
    requested_at: int
    expires_at: int
    decided_by: UserID | None = None
    decided_at: int | None = None
    decision_reason: str | None = None
