"""Orders, and the commands about them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import UNSET

import trading.account
import trading.decision
import trading.execution
import trading.order
from schema import scalar
from schema.context import Info
from schema.decision import RiskDecision
from schema.definition import enum, field, noun
from schema.instrument import Instrument, instrument_of
from schema.reject import OrdRejReason, RejectedBy
from schema.scalar import Instant
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.permission import Permission

if TYPE_CHECKING:
    from schema.account import Account
    from schema.execution import Fill

__all__ = [
    "CancelAllOrdersInput",
    "CancelOrderInput",
    "OrdStatus",
    "OrdType",
    "Order",
    "OrderFilter",
    "OrderTarget",
    "PlaceOrderInput",
    "ReplaceOrderInput",
    "Replacement",
    "Side",
    "TimeInForce",
]

enum(Side, "Side(54).", BUY="Buy.", SELL="Sell, short where there is no position.")

enum(
    OrdType,
    "OrdType(40).",
    MARKET="At the market.",
    LIMIT="At `price` or better.",
    STOP="At the market, once `stopPx` is reached.",
    STOP_LIMIT="At `price` or better, once `stopPx` is reached.",
)

enum(
    TimeInForce,
    "TimeInForce(59).",
    DAY="Until the end of the session.",
    GOOD_TILL_CANCEL="Until it is canceled.",
    IMMEDIATE_OR_CANCEL="What can be filled at once; the rest is canceled.",
    FILL_OR_KILL="All of it at once, or nothing.",
    GOOD_TILL_DATE="Until `expireTime`.",
)

enum(
    OrdStatus,
    "OrdStatus(39), with pending commands shown by FIX precedence.",
    PENDING_NEW="Recorded and on its way to the broker.",
    NEW="Working, nothing filled yet.",
    PARTIALLY_FILLED="Working, some of it filled.",
    FILLED="All of it filled: final.",
    DONE_FOR_DAY="Resting until the next session.",
    CANCELED="Canceled, filled in part or not at all: final.",
    REJECTED="Rejected by this gateway or the broker: final.",
    EXPIRED="Its time in force has ended: final.",
    SUSPENDED="Held back by the broker.",
    PENDING_CANCEL="Working, while a cancel is on its way.",
    PENDING_REPLACE="Working, while a replace is on its way.",
)


async def _account(
    order: strawberry.Parent[trading.order.Order], info: Info
) -> trading.account.Account:
    return await info.context.accounts.load(order.account_id)


async def _fills(
    order: strawberry.Parent[trading.order.Order], info: Info
) -> Sequence[trading.execution.ExecutionReport]:
    return await info.context.fills.load(order.id)


async def _risk_decision(
    order: strawberry.Parent[trading.order.Order], info: Info
) -> trading.decision.RiskDecision | None:
    return await info.context.decisions.load(order.id)


@noun(
    "The terms that a pending replace asks for.",
    requires=Permission.ORDERS_READ,
    of=trading.order.Replacement,
)
class Replacement:
    order_qty: Decimal = field("OrderQty(38): the new total.")
    price: Decimal | None = field("Price(44).")
    stop_px: Decimal | None = field("StopPx(99).")


@noun(
    "An order: what a client wants, and what became of it.",
    requires=Permission.ORDERS_READ,
    of=trading.order.Order,
)
class Order:
    id: strawberry.ID = field("OrderID(37): ours.")
    cl_ord_id: str | None = field(
        "ClOrdID(11) of its newest accepted command; null for an order placed elsewhere."
    )
    secondary_order_id: str | None = field("SecondaryOrderID(198): the broker's.")
    account_id: strawberry.ID = field("Account(1).")
    account: Annotated["Account", strawberry.lazy("schema.account")] = field(
        "The account.", resolver=_account
    )
    symbol: str = field("The instrument, as `symbol@MIC`.")
    instrument: Instrument | None = field(
        "Its definition; null where it is not known (any more).", resolver=instrument_of
    )
    side: Side = field("Side(54).")
    ord_type: OrdType = field("OrdType(40).")
    order_qty: Decimal = field("OrderQty(38): the total, what is filled included.")
    price: Decimal | None = field("Price(44) of a limit.")
    stop_px: Decimal | None = field("StopPx(99) of a stop.")
    time_in_force: TimeInForce = field("TimeInForce(59).")
    expire_time: Instant | None = field("ExpireTime(126) of a GOOD_TILL_DATE.")
    reduce_only: bool = field("Whether it may only make a position smaller.")
    strategy_id: str | None = field("The client's own name of what placed it.")
    manual_order_indicator: bool | None = field(
        "ManualOrderIndicator(1028): whether a person placed it."
    )
    user_id: strawberry.ID | None = field("The user who entered it, where that was recorded.")
    sells_short: bool | None = field(
        "How risk has marked it: whether it sells more than is held. Null where it never did."
    )
    ord_status: OrdStatus = field("OrdStatus(39).")
    is_open: bool = field("Whether it may still trade.")
    in_doubt: bool = field(
        "Whether it is not known what the broker did with the last command. Settled by evidence"
        " alone; until then do not place it anew."
    )
    replacement: Replacement | None = field("What a pending replace asks for.")
    cum_qty: Decimal = field("CumQty(14): filled so far.")
    leaves_qty: Decimal = field("LeavesQty(151): what may still trade.")
    avg_px: Decimal | None = field("AvgPx(6); null before the first fill.")
    rejected_by: RejectedBy | None = field("Who rejected it, if it is.")
    ord_rej_reason: OrdRejReason | None = field("OrdRejReason(103), if it is rejected.")
    text: str | None = field("Text(58): why, for people.")
    risk_decision: RiskDecision | None = field(
        "The decision under which it was placed; null for an order placed elsewhere.",
        resolver=_risk_decision,
    )
    fills: list[Annotated["Fill", strawberry.lazy("schema.execution")]] = field(
        "Its fills in sequence, revisions included.", resolver=_fills
    )
    created_at: Instant = field("When it was recorded.")
    transact_time: Instant = field("TransactTime(60) of its newest report.")
    last_seq: scalar.Sequence = field("The sequence number of its newest report.")


@strawberry.input(description="NewOrderSingle(35=D).")
class PlaceOrderInput:
    account_id: strawberry.ID = field("Account(1).")
    cl_ord_id: str = field(
        "ClOrdID(11): your own id of this command, unique in the account. Sending it again with"
        " the same body has no second effect."
    )
    symbol: str = field("`symbol@MIC`, or the bare symbol where only one market has it.")
    side: Side = field("Side(54).")
    ord_type: OrdType = field("OrdType(40).")
    order_qty: Decimal = field("OrderQty(38), a multiple of the instrument's lot.")
    price: Decimal | None = field("Price(44) of a LIMIT or STOP_LIMIT, on the tick.", default=None)
    stop_px: Decimal | None = field("StopPx(99) of a STOP or STOP_LIMIT.", default=None)
    time_in_force: TimeInForce = field("TimeInForce(59).", default=TimeInForce.DAY)
    expire_time: Instant | None = field("ExpireTime(126) of a GOOD_TILL_DATE.", default=None)
    reduce_only: bool = field("Whether it may only make a position smaller.", default=False)
    strategy_id: str | None = field("Your own name of what places it.", default=None)
    manual_order_indicator: bool | None = field(
        "ManualOrderIndicator(1028): whether a person places it.", default=None
    )


@strawberry.input(description="The order that a command is about.", one_of=True)
class OrderTarget:
    orig_cl_ord_id: str | None = field(
        "OrigClOrdID(41): the ClOrdID of any command that was accepted in the order's chain.",
        default=UNSET,
    )
    order_id: strawberry.ID | None = field(
        "OrderID(37), for an order that has no ClOrdID.", default=UNSET
    )


@strawberry.input(
    description="OrderCancelReplaceRequest(35=G). A term that is left out stays as it is."
)
class ReplaceOrderInput:
    account_id: strawberry.ID = field("Account(1).")
    cl_ord_id: str = field("ClOrdID(11) of this command.")
    target: OrderTarget = field("The order.")
    order_qty: Decimal | None = field(
        "OrderQty(38): the new total, what is filled included.", default=None
    )
    price: Decimal | None = field("Price(44).", default=None)
    stop_px: Decimal | None = field("StopPx(99).", default=None)


@strawberry.input(description="OrderCancelRequest(35=F).")
class CancelOrderInput:
    account_id: strawberry.ID = field("Account(1).")
    cl_ord_id: str = field("ClOrdID(11) of this command.")
    target: OrderTarget = field("The order.")


@strawberry.input(description="OrderMassCancelRequest(35=q).")
class CancelAllOrdersInput:
    account_id: strawberry.ID = field("Account(1).")
    cl_ord_id: str = field("ClOrdID(11) of this command.")
    symbol: str | None = field("Only orders in this instrument.", default=None)
    side: Side | None = field("Only orders on this side.", default=None)


@strawberry.input(description="Which orders of an account to list; all, if it is empty.")
class OrderFilter:
    ord_status: list[OrdStatus] | None = field("Only orders in one of these states.", default=None)
    symbol: str | None = field("Only orders in this instrument.", default=None)
    side: Side | None = field("Only orders on this side.", default=None)
    open_only: bool = field("Only orders that may still trade.", default=False)
