"""What mutations answer."""

from typing import Annotated

import strawberry

import trading.outcome
from schema.control import Acknowledgement, ApprovalRequest, TradingStateChange
from schema.definition import AUTHENTICATED, enum, field, noun
from schema.execution import OrderCancelReject
from schema.limits import Limit, LimitRequest, LoosenedLimit
from schema.order import Order
from schema.reject import InvalidInput
from trading.outcome import WaitFor
from trading.permission import Permission

__all__ = [
    "ApprovalRequired",
    "CancelAllOrdersResult",
    "CancelOrderResult",
    "ClOrdIdConflict",
    "LimitApprovalRequired",
    "LimitsSet",
    "OrderMassCancelReport",
    "PlaceOrderResult",
    "ReplaceOrderResult",
    "SetLimitsResult",
    "SetTradingStateResult",
    "TradingStateSet",
    "WaitFor",
]

enum(
    WaitFor,
    "How long a mutation waits.",
    COMMIT="Until the command is recorded, for ever.",
    BROKER="Until the broker's first word on it, for two seconds at most.",
)


@noun(
    "The ClOrdID stands for another command already, and this one had no effect.",
    requires=AUTHENTICATED,
    of=trading.outcome.ClOrdIdConflict,
)
class ClOrdIdConflict:
    message: str = field("What differs, and what to do about it.")
    order: Order | None = field("The order that the ClOrdID stands for, if it does for one.")


@noun(
    "OrderMassCancelReport(35=r): the orders whose cancel was asked for.",
    requires=Permission.ORDERS_READ,
    of=trading.outcome.OrderMassCancelReport,
)
class OrderMassCancelReport:
    account_id: strawberry.ID = field("Account(1).")
    cl_ord_id: str = field("ClOrdID(11) of the command.")
    total_affected_orders: int = field("TotalAffectedOrders(533).")
    orders: list[Order] = field("These orders.")


@noun(
    "The trading state was changed, at once.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.outcome.TradingStateSet,
)
class TradingStateSet:
    changes: list[TradingStateChange] = field("One change for each account whose state differed.")
    acknowledgement: Acknowledgement | None = field(
        "What may still appear at the broker. Null for a release, and where nothing changed."
    )


@noun(
    "Loosening takes two people, and nothing was changed yet.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.outcome.ApprovalRequired,
)
class ApprovalRequired:
    request: ApprovalRequest = field("What another person must approve.")


@noun(
    "The limits hold: no process judges any order by earlier ones.",
    requires=Permission.LIMITS_READ,
    of=trading.outcome.LimitsSet,
)
class LimitsSet:
    version: int = field("The version that they hold in.")
    limits: list[Limit] = field("Those that differ from before; empty where all was so already.")


@noun(
    "Loosening limits takes two people, and nothing was changed yet.",
    requires=Permission.LIMITS_READ,
    of=trading.outcome.LimitApprovalRequired,
)
class LimitApprovalRequired:
    request: LimitRequest = field("What another person must approve, all of it or nothing.")
    loosened: LoosenedLimit = field("One place where it would loosen.")


PlaceOrderResult = Annotated[
    Order | InvalidInput | ClOrdIdConflict,
    strawberry.union(
        "PlaceOrderResult",
        description="The order (REJECTED, if risk refused it), or why there is none.",
    ),
]

ReplaceOrderResult = Annotated[
    Order | OrderCancelReject | InvalidInput | ClOrdIdConflict,
    strawberry.union(
        "ReplaceOrderResult", description="The order with its pending replace, or why not."
    ),
]

CancelOrderResult = Annotated[
    Order | OrderCancelReject | InvalidInput | ClOrdIdConflict,
    strawberry.union(
        "CancelOrderResult", description="The order with its pending cancel, or why not."
    ),
]

CancelAllOrdersResult = Annotated[
    OrderMassCancelReport | InvalidInput | ClOrdIdConflict,
    strawberry.union(
        "CancelAllOrdersResult", description="The orders that are being canceled, or why not."
    ),
]

SetTradingStateResult = Annotated[
    TradingStateSet | ApprovalRequired | InvalidInput,
    strawberry.union(
        "SetTradingStateResult", description="The changes made, or what stands in their way."
    ),
]

SetLimitsResult = Annotated[
    LimitsSet | LimitApprovalRequired | InvalidInput,
    strawberry.union("SetLimitsResult", description="The limits set, or what stands in their way."),
]
