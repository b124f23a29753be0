"""Orders: finding them, and the commands about them."""

from typing import Annotated

import strawberry

import trading.command
import trading.decision
import trading.order
import trading.store
from resolvers import page
from resolvers.account import AccountArgument
from resolvers.context import Info
from resolvers.entitlement import visible
from resolvers.errors import InputRefused
from schema.decision import RiskDecision
from schema.definition import field
from schema.order import (
    CancelAllOrdersInput,
    CancelOrderInput,
    Order,
    OrderFilter,
    OrderTarget,
    PlaceOrderInput,
    ReplaceOrderInput,
)
from schema.outcome import (
    CancelAllOrdersResult,
    CancelOrderResult,
    PlaceOrderResult,
    ReplaceOrderResult,
    WaitFor,
)
from schema.page import Connection, OrderConnection
from trading.ids import AccountID, ClOrdID, OrderID
from trading.instrument import Catalogue, UnknownSymbol
from trading.outcome import (
    AmendResult,
    BadUserInput,
    InvalidInput,
    MassCancelResult,
    PlaceResult,
)
from trading.permission import Permission

Wait = Annotated[
    WaitFor, strawberry.argument(description="How long to wait before the answer is given.")
]


async def find_order(
    info: Info,
    order_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="OrderID(37).")],
) -> trading.order.Order | None:
    """Read an order; None for a foreign one as for one that does not exist."""
    order = await info.context.reads.order(OrderID(order_id))
    return order if order and info.context.caller.may_read(order.account_id) else None


async def find_order_by_cl_ord_id(
    info: Info,
    account_id: AccountArgument,
    cl_ord_id: Annotated[
        str, strawberry.argument(description="ClOrdID(11) of any command in the order's chain.")
    ],
) -> trading.order.Order | None:
    """Read the order whose chain has a ClOrdID; None where the caller may see none."""
    account = AccountID(account_id)
    if not info.context.caller.may_read(account):
        return None
    return await info.context.reads.order_by_cl_ord_id(account, ClOrdID(cl_ord_id))


async def list_orders(
    info: Info,
    account_id: AccountArgument,
    which: Annotated[
        OrderFilter | None,
        strawberry.argument(name="filter", description="Which of its orders; all, if left out."),
    ] = None,
    first: page.First = None,
    after: page.After = None,
) -> Connection[trading.order.Order]:
    """Page through an account's orders, newest first. Raises BadUserInput, NotFound."""
    account = visible(info.context.caller, account_id)
    start = page.key("order", after)
    found = await info.context.reads.orders(
        account,
        _filter(which, info.context.catalogue),
        page.size(first, info.context.rows),
        None if start is None else OrderID(start),
    )
    return page.connection(
        found, lambda order: page.cursor("order", order.id), continued=start is not None
    )


def _filter(which: OrderFilter | None, catalogue: Catalogue) -> trading.store.OrderFilter:
    if which is None:
        return trading.store.OrderFilter()
    return trading.store.OrderFilter(
        ord_status=frozenset(which.ord_status or ()),
        symbol=None if which.symbol is None else _symbol(which.symbol, catalogue),
        side=which.side,
        open_only=which.open_only,
    )


def _symbol(symbol: str, catalogue: Catalogue) -> str:
    """Resolve a bare symbol; one with its market may be of an instrument that is gone."""
    if "@" in symbol:
        return symbol
    try:
        return catalogue.resolve(symbol).id
    except UnknownSymbol as error:
        raise BadUserInput(f"filter.symbol: {error}") from None


async def preview_order(
    info: Info,
    order: Annotated[
        PlaceOrderInput,
        strawberry.argument(name="input", description="The order, as it would be placed."),
    ],
) -> trading.decision.RiskDecision:
    """Judge an order and place nothing. Raises InputRefused."""
    outcome = await info.context.desk.preview(info.context.caller, _place(order, info))
    match outcome:
        case InvalidInput():
            raise InputRefused(outcome.errors)
        case trading.decision.RiskDecision():
            return outcome


async def place_order(
    info: Info,
    order: Annotated[PlaceOrderInput, strawberry.argument(name="input", description="The order.")],
    wait_for: Wait = WaitFor.COMMIT,
) -> PlaceResult:
    """Place an order."""
    return await info.context.desk.place(info.context.caller, _place(order, info), wait_for)


async def replace_order(
    info: Info,
    change: Annotated[
        ReplaceOrderInput, strawberry.argument(name="input", description="The order's new terms.")
    ],
    wait_for: Wait = WaitFor.COMMIT,
) -> AmendResult:
    """Replace the terms of an order."""
    command = trading.command.ReplaceOrder(
        account_id=AccountID(change.account_id),
        cl_ord_id=ClOrdID(change.cl_ord_id),
        target=_target(change.target),
        order_qty=change.order_qty,
        price=change.price,
        stop_px=change.stop_px,
        traceparent=info.context.traceparent,
    )
    return await info.context.desk.replace(info.context.caller, command, wait_for)


async def cancel_order(
    info: Info,
    cancel: Annotated[
        CancelOrderInput, strawberry.argument(name="input", description="Which order.")
    ],
    wait_for: Wait = WaitFor.COMMIT,
) -> AmendResult:
    """Cancel an order."""
    command = trading.command.CancelOrder(
        account_id=AccountID(cancel.account_id),
        cl_ord_id=ClOrdID(cancel.cl_ord_id),
        target=_target(cancel.target),
        traceparent=info.context.traceparent,
    )
    return await info.context.desk.cancel(info.context.caller, command, wait_for)


async def cancel_all_orders(
    info: Info,
    cancel: Annotated[
        CancelAllOrdersInput, strawberry.argument(name="input", description="Which orders.")
    ],
) -> MassCancelResult:
    """Cancel the open orders of an account."""
    command = trading.command.CancelAllOrders(
        account_id=AccountID(cancel.account_id),
        cl_ord_id=ClOrdID(cancel.cl_ord_id),
        symbol=cancel.symbol,
        side=cancel.side,
        traceparent=info.context.traceparent,
    )
    return await info.context.desk.cancel_all(info.context.caller, command)


def _place(order: PlaceOrderInput, info: Info) -> trading.command.PlaceOrder:
    return trading.command.PlaceOrder(
        account_id=AccountID(order.account_id),
        cl_ord_id=ClOrdID(order.cl_ord_id),
        symbol=order.symbol,
        side=order.side,
        ord_type=order.ord_type,
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        time_in_force=order.time_in_force,
        expire_time=order.expire_time,
        reduce_only=order.reduce_only,
        strategy_id=order.strategy_id,
        manual_order_indicator=order.manual_order_indicator,
        traceparent=info.context.traceparent,
    )


def _target(target: OrderTarget) -> trading.command.OrderTarget:
    cl_ord_id, order_id = target.orig_cl_ord_id, target.order_id
    return trading.command.OrderTarget(
        orig_cl_ord_id=ClOrdID(cl_ord_id) if cl_ord_id else None,
        order_id=OrderID(order_id) if order_id else None,
    )


@strawberry.type
class OrderQuery:
    order: Order | None = field(
        "An order; null if there is none that you may see.",
        requires=Permission.ORDERS_READ,
        resolver=find_order,
    )
    order_by_cl_ord_id: Order | None = field(
        "The order whose chain has this ClOrdID; null if there is none that you may see.",
        requires=Permission.ORDERS_READ,
        resolver=find_order_by_cl_ord_id,
    )
    orders: OrderConnection = field(
        "An account's orders, newest first.",
        requires=Permission.ORDERS_READ,
        resolver=list_orders,
    )
    preview_order: RiskDecision = field(
        "What risk would say to an order: every check, its inputs, limit and verdict. Nothing is"
        " placed.",
        requires=Permission.ORDERS_READ,
        resolver=preview_order,
    )


@strawberry.type
class OrderMutation:
    place_order: PlaceOrderResult = field(
        "Place an order. A refusal by risk is an order too: REJECTED, with its decision.",
        requires=Permission.ORDERS_WRITE,
        resolver=place_order,
    )
    replace_order: ReplaceOrderResult = field(
        "Replace the terms of an order.",
        requires=Permission.ORDERS_WRITE,
        resolver=replace_order,
    )
    cancel_order: CancelOrderResult = field(
        "Cancel an order.", requires=Permission.ORDERS_WRITE, resolver=cancel_order
    )
    cancel_all_orders: CancelAllOrdersResult = field(
        "Cancel the open orders of an account, or those in one instrument or on one side.",
        requires=Permission.ORDERS_WRITE,
        resolver=cancel_all_orders,
    )
