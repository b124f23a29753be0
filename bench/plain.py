"""The plain way: Strawberry over SQLAlchemy, a transaction an order, a statement for each row.

It is what one would write first, with parsing and validation cached. No authentication, no risk,
no broker. Run as `python -m bench.plain DATABASE_URL PORT`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum

import sqlalchemy as sa
import strawberry
import uvicorn
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from bench import rows
from persistence import tables

_CONNECTIONS = 10


@strawberry.enum
class Side(StrEnum):
    """Which way."""

    BUY = "BUY"
    SELL = "SELL"


@strawberry.enum
class OrdType(StrEnum):
    """At what price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


@strawberry.input
class PlaceOrderInput:
    """An order."""

    account_id: strawberry.ID
    cl_ord_id: str
    symbol: str
    side: Side
    ord_type: OrdType
    order_qty: str


@strawberry.type
class Order:
    """An order that was taken."""

    id: strawberry.ID
    cl_ord_id: str
    ord_status: str
    cum_qty: str
    rejected_by: str | None
    text: str | None


@strawberry.type
class InputError:
    """What is wrong, and where."""

    path: list[str]
    message: str


@strawberry.type
class InvalidInput:
    """An order that cannot be."""

    errors: list[InputError]


class Plain:
    """The resolvers, over one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take the engine."""
        self._engine = engine

    async def place(self, order: PlaceOrderInput) -> Order | InvalidInput:
        """Record an order."""
        async with self._engine.begin() as connection:
            return await self._place(connection, order)

    async def _place(
        self, connection: AsyncConnection, order: PlaceOrderInput
    ) -> Order | InvalidInput:
        account, claim = tables.accounts.c, tables.cl_ord_ids.c
        mine = account.id == order.account_id
        found = await connection.execute(sa.select(account.last_seq).where(mine).with_for_update())
        seq = found.scalar_one() + 1
        same = claim.account_id == order.account_id, claim.cl_ord_id == order.cl_ord_id
        if (await connection.execute(sa.select(claim.order_id).where(*same))).first():
            return InvalidInput(errors=[InputError(path=["clOrdId"], message="it comes twice")])
        values = {_camel(name): value for name, value in asdict(order).items()}
        made = rows.rows(values, seq)
        for table in rows.TABLES:
            await connection.execute(sa.insert(_bare(table)), made[table.name])
        await connection.execute(sa.update(tables.accounts).where(mine).values(last_seq=seq))
        answer = rows.answer(values, made)
        return Order(
            id=answer["id"],
            cl_ord_id=answer["clOrdId"],
            ord_status=answer["ordStatus"],
            cum_qty=answer["cumQty"],
            rejected_by=answer["rejectedBy"],
            text=answer["text"],
        )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


_BARE = sa.MetaData()


def _bare(table: sa.Table) -> sa.Table:
    """Give a table with the columns of another, whose values are written as they are."""
    if table.name not in _BARE.tables:
        kinds = (sa.Column(each.name, _plain(each.type)) for each in table.columns)
        sa.Table(table.name, _BARE, *kinds)
    return _BARE.tables[table.name]


def _plain(kind: sa.types.TypeEngine[object]) -> sa.types.TypeEngine[object]:
    return kind.load_dialect_impl(_DIALECT) if isinstance(kind, sa.types.TypeDecorator) else kind


_DIALECT: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def application(url: str) -> GraphQL[None, None]:
    """Build the ASGI application."""
    address = sa.make_url(url).set(drivername="postgresql+asyncpg")
    plain = Plain(create_async_engine(address, pool_size=_CONNECTIONS, max_overflow=0))

    @strawberry.type
    class Query:
        version: str = "1"

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        async def place_order(self, input: PlaceOrderInput) -> Order | InvalidInput:  # noqa: A002
            return await plain.place(input)

    schema = strawberry.Schema(Query, Mutation, extensions=[ParserCache, ValidationCache])
    return GraphQL(schema)


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]),
        port=int(sys.argv[2]),
        loop="uvloop",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
