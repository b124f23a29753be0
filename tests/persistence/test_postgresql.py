"""The jobs run on PostgreSQL as they are, inside SQLAlchemy's `run_sync` over an async driver."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from persistence.database import Connection
from persistence.lock import DirectoryLock
from persistence.migration import migrate
from persistence.store import SqlStore
from tests.persistence.changes import A, B, load, place, refuse_cancel, save
from tests.persistence.conftest import populate
from tests.persistence.samples import (
    AAPL,
    STOCK,
    StoppedClock,
    claim,
    decision,
    fill,
    limits,
    order,
)
from tests.persistence.samples import quote as a_quote
from tests.persistence.test_reads import look_at_everything
from trading.books import Books
from trading.execution import ExecType
from trading.ids import ClOrdID, OrderID
from trading.instrument import Catalogue

SERVER = sa.URL.create(
    "postgresql+asyncpg", username="postgres", host="localhost", port=5432, database="test"
)


class Borrowed:
    """A `Database` in one connection's transaction, of which nothing remains: its own are nested.

    It is its own `OpenTransaction` as well, since there is but one connection.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._left: list[Callable[[Connection], None]] = []

    async def do[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        def run(bare: sa.Connection) -> T:
            connection = Connection(bare)
            left, self._left = self._left, []
            for each in left:
                each(connection)
            return job(connection, *args)

        return await self._connection.run_sync(run)

    def later[*A](self, job: Callable[[Connection, *A], None], *args: *A) -> None:
        self._left.append(lambda connection: job(connection, *args))

    async def read[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        return await self.do(job, *args)

    async def write[*A, T](self, job: Callable[[Connection, *A], T], *args: *A) -> T:
        async with self.transaction():
            return await self.do(job, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Borrowed"]:
        async with self._connection.begin_nested():
            yield self
            await self.do(lambda _: None)

    async def close(self) -> None:
        await self._connection.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    engine = create_async_engine(SERVER, poolclass=sa.NullPool)
    try:
        connection = await engine.connect()
    except (OSError, DBAPIError) as error:
        pytest.skip(f"no PostgreSQL answers at {SERVER}: {error}")
    await connection.exec_driver_sql("CREATE SCHEMA drawbridge_test")
    await connection.exec_driver_sql("SET LOCAL search_path TO drawbridge_test")
    database = Borrowed(connection)
    await migrate(database)
    store = SqlStore(database, Catalogue([STOCK]), StoppedClock(), DirectoryLock(tmp_path))
    await populate(store)
    yield store
    await connection.rollback()
    await store.close()
    await engine.dispose()


def happened(books: Books) -> None:
    place("1", "2")(books)
    place("3", account_id="b")(books)
    one = books.orders[OrderID("1")]
    after = replace(one, cum_qty=Decimal(1))
    books.record(after, ExecType.TRADE, 3, fill=fill(one, "f", px="1.50"))
    refuse_cancel(books, "c")
    books.put_claim(replace(claim(order("1")), cl_ord_id=ClOrdID("replace")))
    books.new_decisions.append((A, ClOrdID("cl-1"), decision()))
    books.new_broker_keys.append("key")
    books.cursor = ("paper", "17")


async def test_what_is_saved_is_loaded_and_read(store: SqlStore) -> None:
    await store.prices.put([a_quote()])
    saved = await save(store, happened)

    keys = [(A, ClOrdID(each)) for each in ("cl-1", "cl-2", "c", "replace")]
    wires = ["wire-1", "wire-2", "wire-3"]
    books = await load(store, cl_ord_ids=keys, fills_of=wires, symbols=[AAPL], broker_keys=["key"])

    for name in ("accounts", "orders", "commands", "positions", "fills", "cancel_rejects"):
        assert getattr(books, name) == getattr(saved, name)
    assert set(books.claims) == set(keys)
    assert books.references == {AAPL: a_quote()}
    assert books.seen_keys == {"key"}
    assert books.limits == {each: limits(each, MAX_ORDER_QTY=5) for each in (A, B)}
    for account_id in (A, B):
        mine = [each for each in saved.new_reports if each.account_id == account_id]
        assert (await store.reads.reports(account_id, 0, 99)).items == mine
    assert await store.reads.decision_of(OrderID("1")) == decision()
    assert await store.cursor("paper") == "17"


async def test_what_is_recorded_already_is_refused_with_the_commit(store: SqlStore) -> None:
    await save(store, place("1"))
    before = await load(store, open_orders_of=[A])

    with pytest.raises(IntegrityError):
        await save(store, place("1"))
    assert await load(store, open_orders_of=[A]) == before


async def test_every_query_is_understood(store: SqlStore) -> None:
    await look_at_everything(store)
    await store.outbox.published([row.id for row in await store.outbox.pending(9)])

    assert await store.reads.heads([A, B]) == {A: 0, B: 0}
    assert [user.id for user in await store.directory.users()] == ["trader"]
