"""What is read for a tenant is that tenant's, whatever the query asks for: PostgreSQL says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.postgresql import READ, TENANT_ROLE, PostgresqlDatabase
from persistence.store import SqlStore
from tests.persistence import servers
from tests.persistence.changes import A as ACCOUNT
from tests.persistence.changes import place, save
from tests.persistence.conftest import opened_at, populate
from tests.persistence.samples import TENANT, an_act, limit, limits
from trading.ids import AccountID, OrderID, TenantID, UserID
from trading.limitrequest import LimitRequest, LimitRequestState, LimitVersion
from trading.limits import Limit, LimitScope
from trading.link import Link, LinkState
from trading.order import Order
from trading.store import LimitsSeen, OrderFilter

pytestmark = pytest.mark.services
OTHER = TenantID("another")


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    """Make a store with two orders, an act, a link and a request, all of one tenant's."""
    async with servers.scratch_database(servers.found()) as url:
        store = await opened_at(url)
        await populate(store)
        await save(store, place("1", "2"))
        await store.links.put(LINK, {}, an_act())
        [request] = limits(ACCOUNT, MAX_ORDER_QTY=9)
        async with store.limits.transaction() as change:
            await change.put(asked(request))
        yield store
        await store.close()


LINK = Link(
    id="link",
    tenant_id=TENANT,
    account_id=ACCOUNT,
    broker="paper",
    state=LinkState.AUTHORIZING,
    requested_by=UserID("officer"),
    requested_at=1,
    state_digest="digest",
    state_expires_at=2,
)


def asked(*wanted: Limit) -> LimitRequest:
    return LimitRequest(
        id="request",
        tenant_id=TENANT,
        version=1,
        limits=wanted,
        state=LimitRequestState.PENDING,
        requested_by=UserID("officer"),
        requested_at=1,
        expires_at=2,
    )


async def seen(store: SqlStore, tenant_id: TenantID) -> Sequence[object]:
    """Read everything that is read for clients."""
    reads = store.reads_of(tenant_id)
    orders = await reads.orders(ACCOUNT, OrderFilter(), 10, None)
    ids = [order.id for order in orders.items] or [OrderID("none")]
    reports = await reads.reports(ACCOUNT, 0, 10)
    return [
        *await reads.accounts([ACCOUNT]),
        *orders.items,
        *reports.items,
        *await reads.positions([ACCOUNT]),
        *(await reads.heads([ACCOUNT])).items(),
        *(await reads.orders_by_id(ids)).values(),
        *await reads.state_changes(0),
        *await reads.breaks(ACCOUNT, 10),
        *(await reads.decisions_of(ids)).values(),
        *await store.audit.acts(tenant_id, 10, 1 << 62),
        *await store.links.links(tenant_id),
        *await store.limits.requests(tenant_id, 10),
    ]


async def test_a_tenant_sees_its_own_and_another_nothing(store: SqlStore) -> None:
    assert len(await seen(store, TENANT)) >= 10
    assert await seen(store, OTHER) == []
    assert await seen(store, TenantID("")) == []


async def test_foreign_ids_find_nothing(store: SqlStore) -> None:
    [order, *_] = (await store.reads.orders(ACCOUNT, OrderFilter(), 10, None)).items
    assert isinstance(order, Order)
    theirs = store.reads_of(OTHER)

    assert await theirs.order(order.id) is None
    assert order.cl_ord_id is not None
    assert await theirs.order_by_cl_ord_id(ACCOUNT, order.cl_ord_id) is None
    assert await theirs.orders_commanded(ACCOUNT, order.cl_ord_id) == []
    assert await theirs.decision(ACCOUNT, order.cl_ord_id) is None
    assert await theirs.limits(ACCOUNT) is None
    assert await store.reads_of(TENANT).limits(ACCOUNT) is not None


async def test_tenants_that_take_turns_never_see_one_anothers_rows(store: SqlStore) -> None:
    async def look(tenant_id: TenantID) -> int:
        return len(await store.reads_of(tenant_id).accounts([ACCOUNT]))

    for _ in range(10):
        turns = [TENANT, OTHER, OTHER, TENANT, TENANT, OTHER, TENANT] * 3
        assert await asyncio.gather(*map(look, turns)) == [int(each == TENANT) for each in turns]


def database(store: SqlStore) -> PostgresqlDatabase:
    found = store._database
    assert isinstance(found, PostgresqlDatabase)
    return found


WALLED = [
    *("accounts", "orders", "reports", "commands", "cl_ord_ids", "positions"),
    *("acts", "links", "limit_requests", "limit_values", "limit_versions"),
]


async def counted(store: SqlStore, table: str, tenant_id: TenantID | None) -> int:
    """Count all rows of a table that a tenant sees, whatever else a query would ask for."""
    walled = database(store)._walled
    assert walled is not None
    count = sa.select(sa.func.count()).select_from(tables.metadata.tables[table])
    async with walled.transaction(READ, tenant_id) as steps:
        [(rows,)] = await steps.do(Connection.rows, count)
    return int(rows)


@pytest.mark.parametrize("table", WALLED)
async def test_no_tenant_and_another_see_no_row(store: SqlStore, table: str) -> None:
    assert await counted(store, table, None) == 0
    assert await counted(store, table, TENANT) > 0
    assert await counted(store, table, OTHER) == 0


async def test_limits_of_all_tenants_are_seen_by_each_and_others_by_none(store: SqlStore) -> None:
    theirs = limit(value=2, scope=LimitScope(tenant_id=OTHER))
    mixed = LimitVersion(
        version=2,
        id="mixed",
        requested_by=UserID("officer"),
        approved_by=None,
        changed_at=3,
        limits=(*limits("b", MAX_ORDER_QTY=4), limit(value=1), theirs),
    )
    async with store.limits.transaction() as change:
        await change.record(mixed)

    mine = LimitsSeen(TENANT, frozenset({AccountID("b")}))
    for seen, values in ((mine, {4, 1}), (LimitsSeen(OTHER, mine.accounts), {1, 2})):
        [newest] = await store.limits.versions(seen, 1, None)
        assert {limit.value for limit in newest.limits} == values


async def test_the_role_reads_what_is_walled_and_nothing_else(store: SqlStore) -> None:
    [*rows] = await database(store).write(
        Connection.text,
        (
            "SELECT relname, relrowsecurity,"
            f" has_table_privilege('{TENANT_ROLE}', c.oid, 'SELECT') AS may_read,"
            f" has_table_privilege('{TENANT_ROLE}', c.oid, 'INSERT, UPDATE, DELETE') AS may_write"
            " FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ),
    )

    assert {name for name, *_ in rows} >= set(tables.metadata.tables)
    assert [name for name, *_, may_write in rows if may_write] == []
    read = {name: is_walled for name, is_walled, may_read, _ in rows if may_read}
    assert read.keys() >= {"accounts", "orders", "reports"}
    assert all(read.values()), read


async def test_a_wall_costs_a_trip_where_tenants_change_and_else_none(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    walled = database(store)._walled
    assert walled is not None
    trips: list[Any] = []
    tell = walled.turn_to

    async def turn_to(driver: Any, tenant_id: TenantID) -> None:
        before = walled._tenants.get(driver)
        await tell(driver, tenant_id)
        trips.append(before != tenant_id)

    monkeypatch.setattr(walled, "turn_to", turn_to)
    for tenant_id in (TENANT, TENANT, TENANT, OTHER, OTHER):
        await store.reads_of(tenant_id).accounts([ACCOUNT])

    assert trips == [True, False, False, True, False]
