"""What brokers claim (BrokerEvent), and what we record of it (ExecutionReport)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from trading.quantity import ZERO, Px, Qty
from trading.record import record

if TYPE_CHECKING:
    from trading.ids import (
        AccountID,
        ClOrdID,
        ExecID,
        InstrumentID,
        OrderID,
        SecondaryOrderID,
        TenantID,
        WireID,
    )
    from trading.order import OrdStatus, OrdType, Side, TimeInForce
    from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy


@unique
class ExecType(StrEnum):
    """ExecType(150)."""

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    TRADE = "TRADE"
    TRADE_CANCEL = "TRADE_CANCEL"
    TRADE_CORRECT = "TRADE_CORRECT"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELED = "CANCELED"
    PENDING_REPLACE = "PENDING_REPLACE"
    REPLACED = "REPLACED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    SUSPENDED = "SUSPENDED"
    RESTATED = "RESTATED"
    TRIGGERED_OR_ACTIVATED_BY_SYSTEM = "TRIGGERED_OR_ACTIVATED_BY_SYSTEM"

    @property
    def is_fill(self) -> bool:
        """Whether it reports a trade or the undoing of one: a fact, not a status."""
        return self in FILLS


FILLS = frozenset({ExecType.TRADE, ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT})


@unique
class Origin(StrEnum):
    """Whether a fill was reported by the broker, or deduced by reconciliation."""

    BROKER = "BROKER"
    RECONCILIATION = "RECONCILIATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerEvent:
    """One claim of a broker about one order, named by the order's wire id.

    `key` is the same whenever the same claim is delivered again; `cursor` is where a stream resumes
    after it; `raw` is what came off the wire.
    """

    key: str
    cursor: str | None
    wire_id: WireID
    received_at: int
    raw: bytes = b""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerReport(BrokerEvent):
    """A claimed execution report. Instants are UTC nanoseconds; `transact_time` is the broker's.

    `order_qty`, `price` and `stop_px` are the terms after a REPLACED. `reopened` says that a
    TRADE_CANCEL or TRADE_CORRECT put a finished order back to work. `cum_qty`(14) is what the order
    had traded then, as the broker counts; None where it does not say.
    """

    exec_type: ExecType
    transact_time: int
    secondary_order_id: SecondaryOrderID | None = None
    exec_id: ExecID | None = None
    exec_ref_id: ExecID | None = None
    last_qty: Qty = ZERO
    last_px: Px = ZERO
    order_qty: Qty | None = None
    price: Px | None = None
    stop_px: Px | None = None
    cum_qty: Qty | None = None
    reopened: bool = False
    origin: Origin = Origin.BROKER
    ord_rej_reason: OrdRejReason | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerCancelReject(BrokerEvent):
    """A claimed refusal of a cancel or replace: the order lives on."""

    request_wire_id: WireID
    cxl_rej_reason: CxlRejReason
    transact_time: int
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerUnknown(BrokerEvent):
    """A message about one of our orders that the adapter cannot read, such as an unknown status.

    It is never guessed at, but a reason to ask the broker for the order's whole state.
    """

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvent:
    """The stream may have missed something here: it is compared with the broker before it counts.

    It is about no order, and leaves no record. `received_at` is in UTC nanoseconds.
    """

    received_at: int
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """ExecutionReport(35=8): what happened, and the order's state after it.

    `seq` counts the account's reports without a gap. `exec_ref_id`(19) names the fill that a
    TRADE_CANCEL or TRADE_CORRECT revises; `last_qty`(32) and `last_px`(31) are then the fill's
    own and the corrected ones. `transact_time`(60) is in UTC nanoseconds.
    """

    account_id: AccountID
    seq: int
    tenant_id: TenantID
    order_id: OrderID
    cl_ord_id: ClOrdID | None
    orig_cl_ord_id: ClOrdID | None
    secondary_order_id: SecondaryOrderID | None
    exec_id: ExecID
    exec_type: ExecType
    exec_ref_id: ExecID | None
    origin: Origin
    ord_status: OrdStatus
    symbol: InstrumentID
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Qty
    price: Px | None
    stop_px: Px | None
    last_qty: Qty
    last_px: Px
    cum_qty: Qty
    leaves_qty: Qty
    avg_px: Px | None
    in_doubt: bool
    rejected_by: RejectedBy | None
    ord_rej_reason: OrdRejReason | None
    text: str | None
    transact_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelReject:
    """OrderCancelReject(35=9): a cancel or replace was refused and the order lives on."""

    account_id: AccountID
    seq: int
    tenant_id: TenantID
    order_id: OrderID | None
    cl_ord_id: ClOrdID
    orig_cl_ord_id: ClOrdID | None
    ord_status: OrdStatus
    cxl_rej_response_to: CxlRejResponseTo
    cxl_rej_reason: CxlRejReason
    rejected_by: RejectedBy
    text: str | None
    transact_time: int


type Report = ExecutionReport | OrderCancelReject


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A fill as a fact of its order: append-only, keyed by the broker's ExecID(17)."""

    account_id: AccountID
    exec_id: ExecID
    exec_type: ExecType
    exec_ref_id: ExecID | None
    origin: Origin
    order_id: OrderID
    symbol: InstrumentID
    side: Side
    last_qty: Qty
    last_px: Px
    seq: int = 0
    transact_time: int = 0


@unique
class BreakKind(StrEnum):
    """What does not fit between the broker's word and ours."""

    OVERFILL = "OVERFILL"
    LATE_FILL = "LATE_FILL"
    UNKNOWN_EXEC_REF_ID = "UNKNOWN_EXEC_REF_ID"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    UNREADABLE = "UNREADABLE"
    POSITION = "POSITION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A difference for a person to look at: kept until it is explained, never traded away."""

    kind: BreakKind
    account_id: AccountID | None
    order_id: OrderID | None
    detail: str
    raised_at: int
