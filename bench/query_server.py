"""Three servers that answer the same queries: Drawbridge's endpoint, Strawberry, and no GraphQL.

Run as `python -m bench.query_server KIND PORT`. What they read is in memory and the same; tokens
are not verified. The account `positions-N` has so many positions.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import orjson
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from gateway.system import SystemClock, TimeOrderedIds
from resolvers.context import Context
from resolvers.root import Schema
from security.credentials import Credentials
from security.rates import LocalAccount, Rates
from serving.document import Registry
from serving.http import HttpEndpoint
from serving.operation import Operations
from serving.refusals import Refusals
from trading.account import Position
from trading.ids import AccountID, ClOrdID, InstrumentID, OrderID, TenantID, UserID, WireID
from trading.order import Order, OrdStatus, OrdType, Side, TimeInForce
from trading.permission import Entitlement, Permission, Principal
from trading.quantity import plain, use_exact_arithmetic

LISTS = (100, 1_000)
_NOW = 1_900_000_000_000_000_001
ORDER = Order(
    id=OrderID("o1"),
    tenant_id=TenantID("t"),
    account_id=AccountID("a"),
    cl_ord_id=ClOrdID("c1"),
    wire_id=WireID("w"),
    symbol=InstrumentID("AAPL@XNAS"),
    side=Side.BUY,
    ord_type=OrdType.LIMIT,
    order_qty=Decimal(100),
    price=Decimal("229.98"),
    stop_px=None,
    time_in_force=TimeInForce.DAY,
    expire_time=None,
    reduce_only=False,
    strategy_id=None,
    manual_order_indicator=None,
    status=OrdStatus.PARTIALLY_FILLED,
    created_at=_NOW,
    transact_time=_NOW,
    last_seq=7,
    cum_qty=Decimal(40),
    cum_value=Decimal("9199.20"),
)
ORDER_FIELDS = (
    "id clOrdId symbol side ordType orderQty price ordStatus cumQty leavesQty".split()  # noqa: SIM905 - as in a document
)
POSITION_FIELDS = (
    "accountId symbol netQty avgPx realizedPnl openBuyQty openSellQty asOfSeq".split()  # noqa: SIM905 - as above
)


def account(count: int) -> AccountID:
    """Name the account with so many positions."""
    return AccountID(f"positions-{count}")


def _positions(count: int) -> Sequence[Position]:
    return [
        Position(
            account_id=account(count),
            symbol=InstrumentID(f"S{number:04d}@XNAS"),
            net_qty=Decimal(number + 1),
            cost=Decimal("150.25") * (number + 1),
            realized_pnl=Decimal("12.5"),
            as_of_seq=number,
        )
        for number in range(count)
    ]


POSITIONS = {account(count): _positions(count) for count in LISTS}


# --- Drawbridge ----------------------------------------------------------------------------------


class _Reads:
    async def order(self, _: OrderID) -> Order:
        return ORDER

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        return [each for name in accounts for each in POSITIONS[name]]


def drawbridge() -> ASGIApp:
    """Put the endpoint on what is in memory."""
    nothing, clock = cast("Any", None), SystemClock()
    ids, schema, reads = TimeOrderedIds(clock), Schema(), cast("Any", _Reads())

    def new_context(principal: Principal | None) -> Context:
        return Context(
            principal=principal,
            desk=nothing,
            control=nothing,
            limits=nothing,
            revocations=nothing,
            reads=reads,
            streams=nothing,
            quotes=nothing,
            catalogue=nothing,
            gateway=nothing,
            acts=nothing,
            links=nothing,
            ids=ids,
        )

    async def authenticate(_: Credentials) -> Principal:
        return _PRINCIPAL

    registry = Registry(nothing, schema, clock)
    operations = Operations(
        schema,
        registry=registry,
        new_context=new_context,
        ids=ids,
        rates=Rates({}, LocalAccount(clock), clock),
        refusals=Refusals(nothing, clock),
    )
    return HttpEndpoint(
        operations=operations, authenticate=authenticate, ids=ids, page_token=lambda _: None
    )


_PRINCIPAL = Principal(
    user_id=UserID("bench"),
    name="Bench",
    tenant_id=TenantID("t"),
    role="trader",
    permissions=frozenset(Permission),
    accounts=dict.fromkeys([AccountID("a"), *POSITIONS], Entitlement.READ),
    expires_at=1 << 62,
)


# --- Strawberry ----------------------------------------------------------------------------------


def _order(order: Order) -> Mapping[str, Any]:
    return {
        "id": order.id,
        "clOrdId": order.cl_ord_id,
        "symbol": order.symbol,
        "side": order.side,
        "ordType": order.ord_type,
        "orderQty": plain(order.order_qty),
        "price": plain(order.price) if order.price is not None else None,
        "ordStatus": order.ord_status,
        "cumQty": plain(order.cum_qty),
        "leavesQty": plain(order.leaves_qty),
    }


def _position(position: Position) -> Mapping[str, Any]:
    avg_px = position.avg_px
    return {
        "accountId": position.account_id,
        "symbol": position.symbol,
        "netQty": plain(position.net_qty),
        "avgPx": plain(avg_px) if avg_px is not None else None,
        "realizedPnl": plain(position.realized_pnl),
        "openBuyQty": plain(position.open_buy_qty),
        "openSellQty": plain(position.open_sell_qty),
        "asOfSeq": str(position.as_of_seq),
    }


@strawberry.type(name="Order")
class PlainOrder:
    """The fields that are asked for."""

    id: strawberry.ID
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str
    order_qty: str
    price: str | None
    ord_status: str
    cum_qty: str
    leaves_qty: str


@strawberry.type(name="Position")
class PlainPosition:
    """The fields that are asked for."""

    account_id: strawberry.ID
    symbol: str
    net_qty: str
    avg_px: str | None
    realized_pnl: str
    open_buy_qty: str
    open_sell_qty: str
    as_of_seq: str


_ORDER_NAMES = [each.name for each in dataclasses.fields(cast("Any", PlainOrder))]
_POSITION_NAMES = [each.name for each in dataclasses.fields(cast("Any", PlainPosition))]


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    async def order(self, id: strawberry.ID) -> PlainOrder:  # noqa: A002, ARG002 - the argument's name
        """Return the order."""
        return PlainOrder(**dict(zip(_ORDER_NAMES, _order(ORDER).values(), strict=True)))

    @strawberry.field
    async def positions(self, account_id: strawberry.ID) -> list[PlainPosition]:
        """Return an account's positions."""
        rows = (_position(each).values() for each in POSITIONS[AccountID(account_id)])
        return [PlainPosition(**dict(zip(_POSITION_NAMES, row, strict=True))) for row in rows]


def plain_strawberry() -> ASGIApp:
    """Serve them by Strawberry, with parsing and validation cached."""
    schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])
    return GraphQL(schema)


# --- no GraphQL ----------------------------------------------------------------------------------


async def bare(_scope: Scope, receive: Receive, send: Send) -> None:
    """Write the same bytes without GraphQL."""
    asked = orjson.loads((await receive())["body"])["variables"]
    data: Mapping[str, Any]
    if "id" in asked:
        data = {"order": _order(ORDER)}
    else:
        data = {"positions": [_position(each) for each in POSITIONS[asked["accountId"]]]}
    body = orjson.dumps({"data": data})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Bare:
    """An ASGI application that is no function, which Starlette would take for an endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await bare(scope, receive, send)


KINDS: Mapping[str, Callable[[], ASGIApp]] = {
    "no GraphQL": _Bare,
    "Strawberry, cached": plain_strawberry,
    "drawbridge": drawbridge,
}


async def serve(kind: str, port: int) -> None:
    """Serve until a signal."""
    config = uvicorn.Config(
        Starlette(routes=[Route("/graphql", KINDS[kind]())]),
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    import uvloop

    use_exact_arithmetic()
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
