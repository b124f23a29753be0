"""Execution reports, refused cancels and replaces, and fills."""

from decimal import Decimal

import strawberry

import trading.execution
import trading.order
from schema.context import Info
from schema.definition import enum, field, interface, noun
from schema.instrument import Instrument, instrument_of
from schema.order import Order, OrdStatus, OrdType, Side, TimeInForce
from schema.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy
from schema.scalar import Instant, Sequence
from trading.execution import ExecType, Origin
from trading.permission import Permission

enum(
    ExecType,
    "ExecType(150): what a report tells.",
    PENDING_NEW="The order is recorded and on its way to the broker.",
    NEW="The broker has taken the order.",
    TRADE="A fill.",
    TRADE_CANCEL="A fill was undone; `execRefId` names it.",
    TRADE_CORRECT="A fill was corrected; `execRefId` names it.",
    PENDING_CANCEL="A cancel is recorded and on its way.",
    CANCELED="The order was canceled, or its rest was.",
    PENDING_REPLACE="A replace is recorded and on its way.",
    REPLACED="The order has new terms.",
    REJECTED="The order was rejected.",
    EXPIRED="The order reached the end of its time in force.",
    DONE_FOR_DAY="The order rests until the next session.",
    SUSPENDED="The broker holds the order back.",
    RESTATED="The order's state was restated, as when it enters or leaves doubt.",
    TRIGGERED_OR_ACTIVATED_BY_SYSTEM="The stop was triggered.",
)

enum(
    Origin,
    "Where a fill comes from.",
    BROKER="The broker reported it.",
    RECONCILIATION="Reconciliation deduced it; it is retired when the broker's own comes.",
)


async def _order(
    report: strawberry.Parent[trading.execution.Report], info: Info
) -> trading.order.Order | None:
    if report.order_id is None:
        return None
    return await info.context.orders.load(report.order_id)


@interface(
    "What happened on an account, in a sequence without gaps.", requires=Permission.ORDERS_READ
)
class OrderReport:
    account_id: strawberry.ID = field("Account(1).")
    seq: Sequence = field("The report's place in its account's sequence, which has no gaps.")
    order_id: strawberry.ID | None = field("OrderID(37); null where the order is not known.")
    order: Order | None = field(
        "The order as it stands now, which may be later than this report.", resolver=_order
    )
    cl_ord_id: str | None = field("ClOrdID(11) of the command that this answers, if any.")
    orig_cl_ord_id: str | None = field("OrigClOrdID(41): the order's ClOrdID before that.")
    ord_status: OrdStatus = field("OrdStatus(39) after this report.")
    text: str | None = field("Text(58).")
    transact_time: Instant = field("TransactTime(60).")


@noun(
    "ExecutionReport(35=8): what happened to an order, and its state after that.",
    requires=Permission.ORDERS_READ,
    of=trading.execution.ExecutionReport,
)
class ExecutionReport(OrderReport):
    order_id: strawberry.ID = field("OrderID(37).")
    order: Order = field(
        "The order as it stands now, which may be later than this report.", resolver=_order
    )
    secondary_order_id: str | None = field("SecondaryOrderID(198): the broker's id of the order.")
    exec_id: strawberry.ID = field("ExecID(17): the broker's own for its fills.")
    exec_type: ExecType = field("ExecType(150): what happened.")
    exec_ref_id: strawberry.ID | None = field("ExecRefID(19): the fill that this one revises.")
    origin: Origin = field("Who says so.")
    symbol: str = field("The instrument, as `symbol@MIC`.")
    instrument: Instrument | None = field("Its definition.", resolver=instrument_of)
    side: Side = field("Side(54).")
    ord_type: OrdType = field("OrdType(40).")
    time_in_force: TimeInForce = field("TimeInForce(59).")
    order_qty: Decimal = field("OrderQty(38).")
    price: Decimal | None = field("Price(44).")
    stop_px: Decimal | None = field("StopPx(99).")
    last_qty: Decimal = field("LastQty(32) of a fill, else 0.")
    last_px: Decimal = field("LastPx(31) of a fill, else 0.")
    cum_qty: Decimal = field("CumQty(14): filled so far.")
    leaves_qty: Decimal = field("LeavesQty(151): what may still trade.")
    avg_px: Decimal | None = field("AvgPx(6); null before the first fill.")
    in_doubt: bool = field("Whether it is not known what the broker did with the last command.")
    rejected_by: RejectedBy | None = field("Who rejected the order, if it is.")
    ord_rej_reason: OrdRejReason | None = field("OrdRejReason(103), if it is rejected.")


@noun(
    "OrderCancelReject(35=9): a cancel or replace was refused, and the order lives on.",
    requires=Permission.ORDERS_READ,
    of=trading.execution.OrderCancelReject,
)
class OrderCancelReject(OrderReport):
    cl_ord_id: str | None = field(
        "ClOrdID(11) of the refused request; never null, and nullable only so that one selection"
        " fits `Order` too."
    )
    cxl_rej_response_to: CxlRejResponseTo = field("CxlRejResponseTo(434): what was refused.")
    cxl_rej_reason: CxlRejReason = field("CxlRejReason(102): why.")
    rejected_by: RejectedBy | None = field("Who refused; nullable like `clOrdId`.")


@noun(
    "A fill, or the undoing or correction of one: a filtered view of the reports, so that its"
    " sequence numbers increase but are not consecutive.",
    requires=Permission.ORDERS_READ,
    of=trading.execution.ExecutionReport,
)
class Fill:
    account_id: strawberry.ID = field("Account(1).")
    seq: Sequence = field("The sequence number of its report.")
    exec_id: strawberry.ID = field("ExecID(17).")
    exec_type: ExecType = field("TRADE, TRADE_CANCEL or TRADE_CORRECT.")
    exec_ref_id: strawberry.ID | None = field("ExecRefID(19): the fill that this one revises.")
    origin: Origin = field("Who says so.")
    order_id: strawberry.ID = field("OrderID(37).")
    order: Order = field("The order as it stands now.", resolver=_order)
    cl_ord_id: str | None = field("ClOrdID(11) of the order.")
    symbol: str = field("The instrument, as `symbol@MIC`.")
    instrument: Instrument | None = field("Its definition.", resolver=instrument_of)
    side: Side = field("Side(54).")
    last_qty: Decimal = field("LastQty(32): the quantity of this fill.")
    last_px: Decimal = field("LastPx(31): its price.")
    ord_status: OrdStatus = field("OrdStatus(39) after it.")
    cum_qty: Decimal = field("CumQty(14) after it.")
    leaves_qty: Decimal = field("LeavesQty(151) after it.")
    avg_px: Decimal | None = field("AvgPx(6) after it.")
    transact_time: Instant = field("TransactTime(60).")
