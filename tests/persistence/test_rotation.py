"""Passwords are rotated while requests go on: two are good at once, and no request fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from events.quotecache import QuoteCache
from gateway.login import redis_login
from persistence.connection import Connection
from persistence.grants import grant
from persistence.postgresql import DRIVER, PostgresqlDatabase
from persistence.store import SqlStore
from tests import standing
from tests.events.services import until
from tests.persistence import servers
from tests.persistence.changes import A, place, save
from tests.persistence.conftest import opened_at, populate
from tests.persistence.samples import AAPL, StoppedClock
from trading.mounted import Mounted
from trading.ports import Environment

pytestmark = pytest.mark.services


def accepted(text: str) -> None:
    assert "://" in text


@dataclass
class Load:
    """Requests that go on until told to stop; each that fails ends the test."""

    done: int = 0
    is_over: bool = False

    async def run(self, request: Callable[[int], Awaitable[object]]) -> None:
        while not self.is_over:
            await request(self.done)
            self.done += 1

    async def some_more(self) -> None:
        wanted = self.done + 20
        await until(lambda: self.done >= wanted)


async def tell(url: sa.URL, *statements: str) -> list[tuple[object, ...]]:
    database, rows = PostgresqlDatabase.at(url), []
    try:
        for each in statements:
            rows = [tuple(row) for row in await database.write(Connection.text, each)]
    finally:
        await database.close()
    return rows


@asynccontextmanager
async def two_roles() -> AsyncIterator[tuple[sa.URL, list[sa.URL]]]:
    """Make a store, and two roles that gateways may log in as."""
    async with servers.scratch_database(servers.found()) as url:
        owner = sa.make_url(url).set(drivername=DRIVER)
        store = await opened_at(url)
        await populate(store)
        await store.close()
        group, names = f"{owner.database}_gw", [f"{owner.database}_{each}" for each in "ab"]
        await tell(owner, f"CREATE ROLE {group}")
        await grant(url, group)
        for name in names:
            await tell(owner, f"CREATE ROLE {name} LOGIN PASSWORD 'of-{name}' IN ROLE {group}")
        try:
            yield owner, [owner.set(username=name, password=f"of-{name}") for name in names]
        finally:
            await tell(
                owner, f"DROP OWNED BY {group}", *(f"DROP ROLE {n}" for n in (*names, group))
            )


async def gone(owner: sa.URL, url: sa.URL) -> None:
    """Wait until nobody is logged in as a role any more."""
    busy = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{url.username}'"
    async with asyncio.timeout(20):
        while (await tell(owner, busy))[0][0]:
            pass


def written(file: Path, url: sa.URL) -> None:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    fresh = file.with_suffix(".new")
    fresh.write_text(plain)
    fresh.replace(file)


async def test_a_role_of_postgresql_is_replaced_without_a_failed_request(tmp_path: Path) -> None:
    async with two_roles() as (owner, (first, second)):
        file = tmp_path / "database-url"
        written(file, first)
        store: SqlStore = await opened_at(Mounted.of(file, accepted))
        load = Load()

        async def request(lane: int, number: int) -> None:
            await save(store, place(f"{lane}-{number}"))
            await store.reads.heads([A])
            await store.scopes.trading_states()

        async with asyncio.TaskGroup() as tasks:
            for lane in range(3):
                tasks.create_task(load.run(partial(request, lane)))
            await load.some_more()
            written(file, second)
            await gone(owner, first)
            await tell(owner, f"ALTER ROLE {first.username} NOLOGIN PASSWORD NULL")
            await load.some_more()
            load.is_over = True
        await store.close()

        assert load.done > 40
        [(reports,)] = await tell(owner, "SELECT count(*) FROM reports")
        assert reports == load.done


async def test_a_password_of_redis_is_replaced_without_a_failed_request(tmp_path: Path) -> None:
    found = standing.found(standing.REDIS)
    url, user = sa.make_url(found), f"u{abs(hash(tmp_path))}"
    redis = Redis.from_url(found, protocol=2)
    admin: Callable[..., Awaitable[object]] = redis.execute_command
    await admin("ACL", "SETUSER", user, "on", ">first", "~*", "+@all")
    file = tmp_path / "redis-url"
    file.write_text(url.set(username=user, password="first").render_as_string(hide_password=False))
    try:
        bare, login = redis_login(Mounted.of(file, accepted))
        async with QuoteCache.opened(bare, Environment.SIM, user, StoppedClock(), login) as cache:
            load = Load()

            async def request(_: int) -> None:
                await cache.read([AAPL])
                assert not cache._is_failing

            task = asyncio.create_task(load.run(request))
            await load.some_more()
            await admin("ACL", "SETUSER", user, ">second")
            fresh = url.set(username=user, password="second")
            file.write_text(fresh.render_as_string(hide_password=False))
            await admin("ACL", "SETUSER", user, "<first")
            await load.some_more()
            # Its connections are cut, and must log in anew: with the second, as the first is gone.
            await admin("CLIENT", "KILL", "USER", user)
            await load.some_more()
            load.is_over = True
            await task
    finally:
        await admin("ACL", "DELUSER", user)
        await redis.aclose()
