"""Orders: what a client wants, and what the broker's evidence says became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING, NamedTuple

from trading.quantity import ZERO, Money, Px, Qty, average
from trading.record import record
from trading.reject import OrdRejReason, RejectedBy

if TYPE_CHECKING:
    from trading.ids import (
        AccountID,
        ClOrdID,
        InstrumentID,
        OrderID,
        SecondaryOrderID,
        TenantID,
        UserID,
        WireID,
    )


@unique
class Side(StrEnum):
    """Side(54)."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """How a fill on this side moves a position: 1 or -1."""
        return 1 if self is Side.BUY else -1


@unique
class OrdType(StrEnum):
    """OrdType(40)."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"

    @property
    def has_price(self) -> bool:
        """Whether an order of this type carries a Price(44)."""
        return self in {OrdType.LIMIT, OrdType.STOP_LIMIT}

    @property
    def has_stop_px(self) -> bool:
        """Whether an order of this type carries a StopPx(99)."""
        return self in {OrdType.STOP, OrdType.STOP_LIMIT}


@unique
class TimeInForce(StrEnum):
    """TimeInForce(59)."""

    DAY = "DAY"
    GOOD_TILL_CANCEL = "GOOD_TILL_CANCEL"
    IMMEDIATE_OR_CANCEL = "IMMEDIATE_OR_CANCEL"
    FILL_OR_KILL = "FILL_OR_KILL"
    GOOD_TILL_DATE = "GOOD_TILL_DATE"


@unique
class OrdStatus(StrEnum):
    """OrdStatus(39)."""

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    SUSPENDED = "SUSPENDED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"

    @property
    def is_terminal(self) -> bool:
        """Whether no command can change the order any more; facts still can."""
        return self in TERMINAL


TERMINAL = frozenset({OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The terms that a pending replace asks for; `order_qty` is the total, as in FIX."""

    order_qty: Qty
    price: Px | None
    stop_px: Px | None
    reserve_px: Px


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, as the log of its account has it up to `last_seq`.

    `status` rests on the broker's evidence and our own refusals alone; `ord_status` is what FIX
    would show, pending commands included. `reserve_px` is the price at which risk reserves each
    unit still open; `sells_short` is how risk has marked a sale, None where it never did. Instants
    are UTC nanoseconds.
    """

    id: OrderID
    tenant_id: TenantID
    account_id: AccountID
    cl_ord_id: ClOrdID | None
    wire_id: WireID
    symbol: InstrumentID
    side: Side
    ord_type: OrdType
    order_qty: Qty
    price: Px | None
    stop_px: Px | None
    time_in_force: TimeInForce
    expire_time: int | None
    reduce_only: bool
    strategy_id: str | None
    manual_order_indicator: bool | None
    status: OrdStatus
    created_at: int
    transact_time: int
    last_seq: int = 0
    reserve_px: Px = ZERO
    cum_qty: Qty = ZERO
    cum_value: Money = ZERO
    in_doubt: bool = False
    pending_cancel: bool = False
    replacement: Replacement | None = None
    secondary_order_id: SecondaryOrderID | None = None
    rejected_by: RejectedBy | None = None
    ord_rej_reason: OrdRejReason | None = None
    text: str | None = None
    user_id: UserID | None = None
    """Who has entered it; None where that was not recorded."""
    sells_short: bool | None = None

    @property
    def ord_status(self) -> OrdStatus:
        """OrdStatus(39) by FIX precedence: pending cancel, pending replace, then the rest."""
        if self.pending_cancel:
            return OrdStatus.PENDING_CANCEL
        if self.replacement is not None:
            return OrdStatus.PENDING_REPLACE
        return self.status

    @property
    def is_automated(self) -> bool:
        """Whether a strategy placed it by itself: ManualOrderIndicator(1028) does not deny it."""
        return self.strategy_id is not None and not self.manual_order_indicator

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade, and so holds a reservation."""
        return self.status not in TERMINAL

    @property
    def leaves_qty(self) -> Qty:
        """LeavesQty(151): what may still trade; none once the order is terminal."""
        return max(self.order_qty - self.cum_qty, ZERO) if self.is_open else ZERO

    @property
    def avg_px(self) -> Px | None:
        """AvgPx(6) of the fills so far, to ten decimals; None before the first."""
        return average(self.cum_value, self.cum_qty)


class Resting(NamedTuple):
    """As much of an open order as others of its owner are judged against.

    `px` is the price at which it is the likeliest to trade, of its own and that of a pending
    replace; None where it trades at any, as a market order does and a stop that is reached.
    """

    order_id: OrderID
    side: Side
    px: Px | None
    in_doubt: bool

    @classmethod
    def at(
        cls, order_id: OrderID, side: Side, prices: tuple[Px | None, Px | None], *, in_doubt: bool
    ) -> Resting:
        """Choose among an order's price and that of its pending replace, None where it has none."""
        asked = [each for each in prices if each is not None]
        best = min if side is Side.SELL else max
        return cls(order_id, side, best(asked) if asked else None, in_doubt)

    @classmethod
    def of(cls, order: Order) -> Resting:
        """Take it from an order."""
        wanted = order.replacement.price if order.replacement else None
        return cls.at(order.id, order.side, (order.price, wanted), in_doubt=order.in_doubt)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedOrder:
    """An order that risk has cleared and the store has recorded: all that a broker may be given.

    Only risk/gate.py makes one, so that an order cannot reach a broker past the risk layer.
    """

    order: Order
    approved_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedReplace:
    """A replace that risk has cleared, with its command's id. Only risk/gate.py makes one."""

    order: Order
    wire_id: WireID
    terms: Replacement
    approved_at: int
