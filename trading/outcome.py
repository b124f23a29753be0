"""What the desk answers: results that are data, and the failures that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import ClassVar

from trading.closing import Acknowledgement
from trading.control import ApprovalRequest, TradingStateChange
from trading.execution import OrderCancelReject
from trading.ids import AccountID, ClOrdID
from trading.limitrequest import LimitRequest
from trading.limits import Limit
from trading.loosening import Loosened
from trading.order import Order
from trading.reject import InputError


@unique
class WaitFor(StrEnum):
    """How long a mutation waits: for our record, or for the broker's first word (2 s at most)."""

    COMMIT = "COMMIT"
    BROKER = "BROKER"


@dataclass(frozen=True, slots=True)
class InvalidInput:
    """Wrong by the input alone: nothing was stored, and the ClOrdID is still free."""

    errors: tuple[InputError, ...]


@dataclass(frozen=True, slots=True)
class ClOrdIdConflict:
    """The ClOrdID was taken by another body; `order` is the one it stands for, if any."""

    message: str
    order: Order | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMassCancelReport:
    """OrderMassCancelReport(35=r): the orders whose cancel a mass cancel has asked for."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    orders: Sequence[Order]

    @property
    def total_affected_orders(self) -> int:
        """TotalAffectedOrders(533)."""
        return len(self.orders)


@dataclass(frozen=True, slots=True)
class TradingStateSet:
    """The trading state was changed, at once, for these accounts.

    What was tightened is acknowledged; a release needs no acknowledgement.
    """

    changes: Sequence[TradingStateChange]
    acknowledgement: Acknowledgement | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequired:
    """Loosening takes two people: the request that another person must approve."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class LimitsSet:
    """The limits hold, in every process; `limits` are those that differ from before."""

    version: int
    limits: Sequence[Limit]


@dataclass(frozen=True, slots=True)
class LimitApprovalRequired:
    """Loosening takes two people: the request, and one place where it would loosen."""

    request: LimitRequest
    loosened: Loosened


type PlaceResult = Order | InvalidInput | ClOrdIdConflict
type AmendResult = Order | OrderCancelReject | InvalidInput | ClOrdIdConflict
type MassCancelResult = OrderMassCancelReport | InvalidInput | ClOrdIdConflict
type TradingStateResult = TradingStateSet | ApprovalRequired | InvalidInput
type LimitsResult = LimitsSet | LimitApprovalRequired | InvalidInput


class GatewayError(Exception):
    """An operating failure that a client is told by its code; `retry_after_ms` where it helps."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        """Say what failed and what to do about it."""
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class BadUserInput(GatewayError):
    """An argument that cannot be understood, such as a malformed cursor."""

    code = "BAD_USER_INPUT"


class Unauthenticated(GatewayError):
    """No valid token."""

    code = "UNAUTHENTICATED"


class AuthenticationUnavailable(GatewayError):
    """The identity provider does not answer, and the caller is not known yet; nothing was done."""

    code = "AUTHENTICATION_UNAVAILABLE"


class Forbidden(GatewayError):
    """The principal lacks a permission."""

    code = "FORBIDDEN"


class NotFound(GatewayError):
    """There is no such thing, or it is not the principal's to see: the same answer for both."""

    code = "NOT_FOUND"


class RateExceeded(GatewayError):
    """The caller asks more often than it may; nothing was done."""

    code = "RATE_LIMITED"


class Overloaded(GatewayError):
    """A queue is full; nothing was done."""

    code = "OVERLOADED"


class BrokerUnavailable(GatewayError):
    """No session with the broker is open yet, or any more; nothing was done."""

    code = "BROKER_UNAVAILABLE"


class OutcomeUnknown(GatewayError):
    """The commit's answer was lost: ask again with the same ClOrdID."""

    code = "OUTCOME_UNKNOWN"


class CursorAhead(GatewayError):
    """`afterSeq` is beyond the account's last report."""

    code = "CURSOR_AHEAD"
