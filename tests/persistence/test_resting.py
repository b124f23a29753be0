"""What an order is judged by beside its own account: open orders, doubts, owners and the past."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

from persistence.account import Tenant
from persistence.store import SqlStore
from tests.persistence.changes import A, B, load, place, save, statements
from tests.persistence.samples import (
    AAPL,
    account,
    command,
    limits,
    order,
    quote,
)
from trading.books import Books, Wants
from trading.command import CommandKind, CommandState
from trading.conduct import Alike, Conduct
from trading.execution import ExecType
from trading.ids import AccountID, InstrumentID, OrderID, TenantID
from trading.order import OrdStatus, OrdType, Replacement, Resting, Side

D = Decimal
MSFT = InstrumentID("MSFT@XNAS")
JUDGED: dict[str, Any] = {"symbols": [AAPL]}


async def judged(store: SqlStore, **wants: Any) -> Books:
    """Load books as a batch with a new order has them."""
    async with store.transaction() as transaction:
        await transaction.lock([A, B])
        wanted: dict[str, Any] = {k: frozenset(v) for k, v in (JUDGED | wants).items()}
        return await transaction.load(Wants(accounts=frozenset({A, B}), judges=True, **wanted))


def wide_open(books: Books) -> None:
    place("buy", price=D("1.50"))(books)
    place("sell", side=Side.SELL, price=D("2.25"))(books)
    place("market", ord_type=OrdType.MARKET, price=None)(books)
    place("elsewhere", symbol=MSFT)(books)
    place("gone", status=OrdStatus.CANCELED)(books)
    place("theirs", account_id="b", side=Side.SELL, price=D(-3))(books)
    terms = Replacement(order_qty=D(1), price=D("1.75"), stop_px=None, reserve_px=D("1.75"))
    place("asked", price=D("1.25"), replacement=terms, in_doubt=True)(books)


async def test_what_is_open_in_the_instruments_comes_with_the_positions(store: SqlStore) -> None:
    await save(store, wide_open)
    books = await judged(store)

    assert books.resting == {
        (A, AAPL): {
            OrderID("buy"): Resting(OrderID("buy"), Side.BUY, D("1.5"), in_doubt=False),
            OrderID("sell"): Resting(OrderID("sell"), Side.SELL, D("2.25"), in_doubt=False),
            OrderID("market"): Resting(OrderID("market"), Side.BUY, None, in_doubt=False),
            OrderID("asked"): Resting(OrderID("asked"), Side.BUY, D("1.75"), in_doubt=True),
        },
        (B, AAPL): {
            OrderID("theirs"): Resting(OrderID("theirs"), Side.SELL, D(-3), in_doubt=False)
        },
    }
    assert set(books.positions) == {(A, AAPL), (A, MSFT), (B, AAPL)}
    assert (await judged(store, symbols=[MSFT])).resting.keys() == {(A, MSFT)}


async def test_a_replaces_instrument_counts_as_one_that_is_judged(store: SqlStore) -> None:
    await save(store, wide_open)
    books = await judged(store, symbols=[], order_ids=["elsewhere"])

    assert books.resting.keys() == {(A, MSFT)}


async def test_books_know_what_is_open_as_the_store_does(store: SqlStore) -> None:
    saved = await save(store, wide_open)
    books = await judged(store, symbols=[AAPL, MSFT])

    kept = {key: orders for key, orders in saved.resting.items() if orders}
    assert books.resting == kept


async def test_no_more_statements_are_run_for_it(store: SqlStore) -> None:
    await save(store, wide_open)
    with statements() as plain:
        await load(store, symbols=[AAPL])
    with statements() as judging:
        await judged(store)

    reads = [[text for text, _ in each if text.startswith("SELECT")] for each in (plain, judging)]
    assert len(reads[0]) == len(reads[1])


async def test_orders_in_doubt_are_counted_by_account(store: SqlStore) -> None:
    def doubted(books: Books) -> None:
        place("1", "2", symbol=MSFT)(books)
        for name in ("1", "2"):
            of = books.orders[OrderID(name)]
            books.put_command(command(of, state=CommandState.IN_DOUBT))
            cancel = command(of, f"cancel-{name}", kind=CommandKind.CANCEL)
            books.put_command(replace(cancel, state=CommandState.IN_DOUBT))

    await save(store, doubted)
    assert (await judged(store)).in_doubt == {A: 2}


# --- owners --------------------------------------------------------------------------------------


async def shared(store: SqlStore) -> None:
    tenant = TenantID("shared")
    of = [account(name, tenant_id=tenant, owner="o", cash=D(1)) for name in ("p", "q")]
    alone = account("r", tenant_id=tenant)
    fresh = [*of, alone]
    theirs = [limit for each in fresh for limit in limits(each.id, MAX_ORDER_QTY=5)]
    await store.accounts.add_tenant(Tenant(id=tenant, name="Shared"), fresh, theirs, [])


P, Q, R = AccountID("p"), AccountID("q"), AccountID("r")


async def test_accounts_of_one_owner_see_each_others_open_orders(store: SqlStore) -> None:
    await shared(store)
    async with store.transaction() as transaction:
        await transaction.lock([Q])
        books = await transaction.load(Wants(accounts=frozenset({Q})))
        place("theirs", account_id="q", tenant_id=TenantID("shared"))(books)
        await transaction.save(books)
    async with store.transaction() as transaction:
        await transaction.lock([P])
        wants = Wants(accounts=frozenset({P}), symbols=frozenset({AAPL}), judges=True)
        books = await transaction.load(wants)

    assert books.owners == {P: "o", Q: "o"}
    assert books.resting.keys() == {(Q, AAPL)}
    assert books.accounts.keys() == {P}


async def test_accounts_of_one_owner_are_locked_together(store: SqlStore) -> None:
    await shared(store)
    order_of_events: list[str] = []

    async def hold() -> None:
        async with store.transaction() as transaction:
            await transaction.lock([P])
            order_of_events.append("held")
            holding.set()
            for _ in range(50):
                await asyncio.sleep(0)
            order_of_events.append("released")

    async def follow() -> None:
        await holding.wait()
        async with store.transaction() as transaction:
            await transaction.lock([Q])
            order_of_events.append("followed")

    holding = asyncio.Event()
    later = asyncio.create_task(follow())
    await hold()
    await later

    assert order_of_events == ["held", "released", "followed"]


async def test_a_fence_is_raised_for_those_alone_that_are_named(store: SqlStore) -> None:
    await shared(store)
    await store.fence([P], 3)

    assert [each.fence for each in await store.reads.accounts([P, Q, R])] == [3, 0, 0]


# --- the past ------------------------------------------------------------------------------------

SECOND = 1_000_000_000


async def test_a_reference_comes_with_what_it_was_a_minute_ago(store: SqlStore) -> None:
    for second, px in ((0, 1), (1, 2), (59, 3), (61, 4), (121, 5)):
        await store.prices.put([quote(bid=D(px), ask=D(px), received_at=second * SECOND)])
        books = await judged(store)
        found = books.earlier[AAPL]
        assert found == {0: 1, 1: 1, 59: 1, 61: 2, 121: 4}[second]


async def test_one_that_a_feed_has_long_left_alone_begins_its_past_anew(store: SqlStore) -> None:
    await store.prices.put([quote(bid=D(1), ask=D(1), received_at=0)])
    # As the feed of another process would, which has no past.
    store.prices._lookback._past.clear()
    await store.prices.put([quote(bid=D(9), ask=D(9), received_at=500 * SECOND)])

    assert (await judged(store)).earlier[AAPL] == 9


async def test_conduct_is_kept_in_the_accounts_row(store: SqlStore) -> None:
    conduct = Conduct(
        second=5,
        messages=2,
        messages_before=1,
        alike=(Alike("0", 4, 2),),
        strategies={"s": 3, "*": 1},
        session_ends=9,
        session_equity=D("1.5"),
        peak_equity=None,
    )
    await save(store, lambda books: books.put_conduct(A, conduct))
    books = await load(store)

    assert books.accounts[A].conduct == conduct
    assert books.accounts[B].conduct == Conduct()


async def test_how_a_sale_was_marked_is_kept(store: SqlStore) -> None:
    def sold(books: Books) -> None:
        new = order("1", side=Side.SELL, sells_short=True)
        books.record(new, ExecType.PENDING_NEW, 2)

    await save(store, sold)
    kept = await store.reads.order(OrderID("1"))
    assert kept is not None
    assert kept.sells_short is True
