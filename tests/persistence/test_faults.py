"""A PostgreSQL that stops, dies or falls silent: nothing is lost, nothing doubled, nobody hangs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable

import pytest
import sqlalchemy as sa

from persistence.connection import Connection
from persistence.postgresql import DRIVER, Limits, Pool, PostgresqlDatabase
from persistence.store import SqlStore
from tests.faults.proxy import FaultProxy, Way
from tests.persistence import servers
from tests.persistence.changes import A, B, place
from tests.persistence.cluster import Cluster, cluster
from tests.persistence.conftest import opened_at, populate
from tests.persistence.samples import AAPL, STOCK, StoppedClock
from trading.books import Wants
from trading.ids import AccountID, ClOrdID
from trading.instrument import Catalogue
from trading.store import StoreBusy, StoreOverloaded, StoreUnavailable

pytestmark = pytest.mark.faults

BRIEF = Limits(connections=3, wait_s=0.5, lock_s=0.5, statement_s=1)


@pytest.fixture
async def server() -> AsyncIterator[Cluster]:
    async with cluster() as server:
        yield server


@pytest.fixture
async def proxy(server: Cluster) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.fixture
async def store(server: Cluster) -> AsyncIterator[SqlStore]:
    store = await opened_at(server.url)
    await populate(store)
    yield store
    await store.close()


@pytest.fixture
async def distant(server: Cluster, proxy: FaultProxy) -> AsyncIterator[SqlStore]:
    """A store behind the proxy, which soon gives up."""
    near = await opened_at(server.url)
    await populate(near)
    await near.close()
    url = sa.make_url(server.through(proxy.port)).set(drivername=DRIVER)
    pool = Pool(url, BRIEF)
    store = SqlStore(PostgresqlDatabase(pool, pool, None), Catalogue([STOCK]), StoppedClock())
    yield store
    await store.close()


async def place_once(store: SqlStore, account_id: AccountID, name: str) -> None:
    """Place an order, unless its ClOrdID shows that this was done."""
    key = account_id, ClOrdID(f"cl-{name}")
    async with store.transaction() as transaction:
        await transaction.lock([account_id])
        wants = Wants(accounts=frozenset({account_id}), cl_ord_ids=frozenset({key}))
        books = await transaction.load(wants)
        if key not in books.claims:
            place(name, account_id=account_id)(books)
            await transaction.save(books)


async def keep_placing(store: SqlStore, account_id: AccountID, names: Iterable[str]) -> int:
    """Place orders one after another, each until it is known to be there; count the failures."""
    failures = 0
    for name in names:
        async with asyncio.timeout(servers.BOUND_S):
            while True:
                try:
                    await place_once(store, account_id, name)
                    break
                except StoreUnavailable:
                    failures += 1
                    await asyncio.sleep(0.02)
    return failures


async def assert_sound(store: SqlStore, placed: dict[AccountID, set[str]]) -> None:
    """See that each order is there once, with all that belongs to it."""
    pending = await store.outbox.pending(100_000)
    for account_id, names in placed.items():
        log = (await store.reads.reports(account_id, 0, 100_000)).items
        assert [report.seq for report in log] == list(range(1, len(names) + 1))
        assert sorted(str(report.order_id) for report in log) == sorted(names)
        mine = [row for row in pending if row.account_id == account_id]
        told = [seq for row in mine for seq in range(row.first_seq, row.last_seq + 1)]
        assert told == [report.seq for report in log]
        queued = await store.queued([account_id])
        assert sorted(each.order_id for each in queued) == sorted(names)
        positions = await store.reads.positions([account_id])
        assert [each.open_buy_qty for each in positions] == [10 * len(names)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_a_server_that_stops_at_any_moment_loses_and_doubles_nothing(
    server: Cluster, store: SqlStore, how: signal.Signals
) -> None:
    placed = {A: {f"a{n:04}" for n in range(400)}, B: {f"b{n:04}" for n in range(400)}}
    half = {each: (sorted(names)[::2], sorted(names)[1::2]) for each, names in placed.items()}
    working = [
        asyncio.create_task(keep_placing(store, account_id, part))
        for account_id, parts in half.items()
        for part in parts
    ]
    for after in (50, 150, 250):

        async def reached(after: int = after) -> bool:
            try:
                return sum((await store.reads.heads([A, B])).values()) > after
            except StoreUnavailable:
                return False

        await servers.until(reached)
        await server.restart(how)
    failures = await asyncio.gather(*working)

    assert sum(failures) > 0
    await assert_sound(store, placed)


async def test_a_backend_that_is_killed_in_the_middle_of_commits_loses_and_doubles_nothing(
    server: Cluster, store: SqlStore
) -> None:
    """The server drops all connections and recovers, as after any crash."""
    names = {f"{n:04}" for n in range(300)}
    working = asyncio.create_task(keep_placing(store, A, sorted(names)))
    backends = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'drawbridge'"
        " AND backend_type = 'client backend' ORDER BY state_change DESC"
    )
    for after in (50, 120, 200):

        async def reached(after: int = after) -> bool:
            found = await servers.run(server.url, "SELECT last_seq FROM accounts WHERE id = 'a'")
            return int(str(found[0][0])) > after

        await servers.until(reached)
        (pid,) = (await servers.run(server.url, backends))[0]
        os.kill(int(str(pid)), signal.SIGKILL)
        await servers.until(server.answers)

    assert await working > 0
    await assert_sound(store, {A: names})


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_commit_whose_answer_is_lost_is_not_taken_for_either(
    distant: SqlStore,
    proxy: FaultProxy,
    arrives: bool,  # noqa: FBT001
) -> None:
    await place_once(distant, A, "before")

    async def commit() -> None:
        async with distant.transaction() as transaction:
            await transaction.lock([A])
            books = await transaction.load(Wants(accounts=frozenset({A})))
            place("1")(books)
            await transaction.save(books)
            await transaction.load(Wants(accounts=frozenset({A})))
            proxy.lost = {Way.DOWN} if arrives else set(Way)

    with pytest.raises(StoreUnavailable) as caught:
        await commit()
    assert not isinstance(caught.value, StoreBusy)
    proxy.heal()
    # Whether it took effect is asked again by ClOrdID.
    failures = await keep_placing(distant, A, ["1"])

    assert failures < 10
    await assert_sound(distant, {A: {"before", "1"}})


async def test_a_connection_that_is_reset_at_any_byte_leaves_all_or_nothing(
    distant: SqlStore, proxy: FaultProxy
) -> None:
    names = [f"{n:03}" for n in range(60)]
    failures = 0
    for number, name in enumerate(names):
        way = Way.UP if number % 2 else Way.DOWN
        proxy.reset_after(37 * number, way)
        failures += await keep_placing(distant, A, [name])
        proxy.heal()

    assert failures > 5
    await assert_sound(distant, {A: set(names)})


async def test_a_server_that_falls_silent_holds_nobody_for_long(
    distant: SqlStore, proxy: FaultProxy
) -> None:
    await asyncio.gather(*(place_once(distant, A, f"{n}") for n in range(3)))
    proxy.freeze()

    asked = [asyncio.create_task(place_once(distant, A, f"late{n}")) for n in range(12)]
    failures = await asyncio.wait_for(
        asyncio.gather(*asked, return_exceptions=True), servers.BOUND_S
    )
    assert all(isinstance(each, StoreUnavailable) for each in failures)
    # Those that got no connection were turned away without having done anything.
    assert sum(isinstance(each, StoreOverloaded) for each in failures) >= 9
    proxy.heal()

    await keep_placing(distant, A, ["after"])
    await assert_sound(distant, {A: {"0", "1", "2", "after"}})


async def test_one_whose_caller_is_canceled_in_the_middle_leaves_no_lock(
    server: Cluster, store: SqlStore
) -> None:
    for number in range(40):
        task = asyncio.create_task(place_once(store, A, f"{number:02}"))
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.sleep(number / 10_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    open_ = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert not await servers.run(server.url, open_)
    await keep_placing(store, A, [f"{number:02}" for number in range(40)])
    await assert_sound(store, {A: {f"{number:02}" for number in range(40)}})


async def test_processes_that_contend_for_one_account_take_turns(server: Cluster) -> None:
    stores = [await opened_at(server.url) for _ in range(4)]
    await populate(stores[0])
    names = [f"{n:03}" for n in range(100)]
    # Each is told to place all of them: whoever comes first does.
    await asyncio.gather(*(keep_placing(each, A, names) for each in stores))

    await assert_sound(stores[3], {A: set(names)})
    for each in stores:
        await each.close()


async def test_a_store_that_was_left_alone_for_a_restart_is_as_before(
    server: Cluster, store: SqlStore
) -> None:
    epoch = await store.leases.acquire("session", "me", 6)
    await place_once(store, A, "1")
    await server.restart(signal.SIGINT)

    assert epoch == 1
    assert await store.leases.renew("session", epoch, 6)
    await place_once(store, A, "2")
    await store._database.read(Connection.rows, sa.select(sa.literal(1)))
    assert [each.symbol for each in await store.reads.positions([A])] == [AAPL]
    await assert_sound(store, {A: {"1", "2"}})
