"""Stores for the bench: databases of its own on a PostgreSQL server, and accounts in any store."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from brokers.quotes.simulated import SimulatedQuotes
from gateway.system import SystemClock
from persistence.opening import open_postgresql, open_store
from persistence.seed import seed, standard_limits
from persistence.store import SqlStore
from trading.account import Account
from trading.ids import AccountID, TenantID
from trading.instrument import Catalogue
from trading.limits import Limit, LimitName
from trading.ports import Environment

SERVER = os.environ.get("DRAWBRIDGE_TEST_POSTGRES") or "postgresql://postgres@127.0.0.1:5432/test"
HOT = AccountID("bench-hot")
MANY = [AccountID(f"bench-{number:02}") for number in range(32)]
_CASH = Decimal(1_000_000)
_SEEDED = AccountID("equity")
_OPEN_ORDERS = Decimal(100_000)
"""More than are ever open: an answer waits for no fill, so that fills may be a second behind."""

_NUMBERS = itertools.count(1)


@contextmanager
def database() -> Iterator[str]:
    """Make a database, lend its address, and drop it."""
    name = f"drawbridge_bench_{os.getpid()}_{next(_NUMBERS)}"
    asyncio.run(_on_server(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
    try:
        yield urlsplit(SERVER)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_on_server(f"DROP DATABASE {name} WITH (FORCE)"))


async def _on_server(statement: str) -> object:
    connection = await asyncpg.connect(SERVER)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "autovacuum")


def server() -> str:
    """Ask the server for its version, and for the settings that speed hangs on."""
    shown = ", ".join(f"'{name} ' || current_setting('{name}')" for name in _SETTINGS)
    question = f"SELECT concat_ws(', ', current_setting('server_version'), {shown})"
    return str(asyncio.run(_on_server(question)))


def prepare(where: str | Path) -> None:
    """Make the tables of a database or a directory, the first tenant, and the accounts."""
    asyncio.run(_with_store(where, _prepare))


async def _with_store(where: str | Path, work: Callable[[SqlStore], Awaitable[None]]) -> None:
    async with _opened(where) as store:
        await work(store)


@asynccontextmanager
async def _opened(where: str | Path) -> AsyncIterator[SqlStore]:
    clock = SystemClock()
    catalogue = Catalogue(SimulatedQuotes(clock, 1).instruments)
    if isinstance(where, Path):
        store = await open_store(
            where, environment=Environment.SIM, catalogue=catalogue, clock=clock, version="bench"
        )
    else:
        store = await open_postgresql(
            where, environment=Environment.SIM, catalogue=catalogue, clock=clock, version="bench"
        )
    try:
        yield store
    finally:
        await store.close()


async def _prepare(store: SqlStore) -> None:
    await seed(store, "paper")
    users = [user for user in await store.directory.users() if _SEEDED in user.accounts]
    entitled = {user.id: user.accounts[_SEEDED] for user in users}
    for each in (HOT, *MANY):
        account = Account(
            id=each,
            tenant_id=TenantID("demo"),
            name=each,
            currency="USD",
            broker="paper",
            cash=_CASH,
        )
        await store.accounts.add(account, _limits(each), entitled)


def _limits(account_id: AccountID) -> list[Limit]:
    most = LimitName.MAX_OPEN_ORDERS
    standard = standard_limits(account_id)
    return [replace(each, value=_OPEN_ORDERS) if each.name is most else each for each in standard]
