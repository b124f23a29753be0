"""The query side: pages, filters and lookups."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from persistence import tables
from persistence.bare import BareConnection
from persistence.connection import Connection
from persistence.reads import SqlReads
from persistence.store import SqlStore
from tests.persistence import samples
from tests.persistence.changes import A, B, load, place, refuse_cancel, save, statements
from tests.persistence.samples import AAPL, account, claim, command, decision, fill, order, stock
from trading.account import TradingState
from trading.books import Books
from trading.command import CommandKind, CommandState
from trading.control import ApprovalRequest
from trading.execution import BreakKind, ExecType
from trading.ids import AccountID, ClOrdID, ExecID, InstrumentID, OrderID, UserID, WireID
from trading.limits import LimitName
from trading.order import Order, OrdStatus, Replacement, Side
from trading.store import SHARDS, OrderFilter

ALL = OrderFilter()
TERMS = Replacement(order_qty=Decimal(5), price=Decimal(1), stop_px=None, reserve_px=Decimal(1))


def add(*orders: Order) -> Callable[[Books], None]:
    def added(books: Books) -> None:
        for each in orders:
            books.record(each, ExecType.NEW, 2)

    return added


async def names(store: SqlStore, which: OrderFilter) -> list[str]:
    return [each.id for each in (await store.reads.orders(A, which, 100, None)).items]


async def test_orders_come_newest_first_in_pages(store: SqlStore) -> None:
    # Base62 orders digits before capitals before small letters, as the bytes are.
    ids = ["01", "0A", "0a", "Zz", "zZ"]
    await save(store, place(*reversed(ids), "0b", account_id="b"))
    await save(store, add(*(order(f"{each}-a") for each in ids)))

    pages, after = [], None
    while True:
        page = await store.reads.orders(A, ALL, 2, after)
        pages.append([each.id for each in page.items])
        assert page.as_of_seq == 5
        if not page.has_next:
            break
        after = page.items[-1].id

    assert pages == [["zZ-a", "Zz-a"], ["0a-a", "0A-a"], ["01-a"]]


async def test_a_page_that_ends_with_the_list_says_so(store: SqlStore) -> None:
    await save(store, place("1", "2"))

    assert not (await store.reads.orders(A, ALL, 2, None)).has_next
    assert (await store.reads.orders(A, ALL, 1, None)).has_next
    assert not (await store.reads.orders(B, ALL, 1, None)).items


async def test_reports_come_in_sequence_in_pages(store: SqlStore) -> None:
    def happened(books: Books) -> None:
        place("1", "2")(books)
        refuse_cancel(books, "c")
        place("3")(books)

    saved = await save(store, happened)
    first = await store.reads.reports(A, 0, 3)
    rest = await store.reads.reports(A, 3, 3)

    assert [*first.items, *rest.items] == saved.new_reports
    assert (first.has_next, rest.has_next) == (True, False)
    assert first.as_of_seq == 4
    assert not (await store.reads.reports(A, 99, 3)).items


async def test_an_order_is_looked_up_by_id_and_by_any_cl_ord_id_of_its_chain(
    store: SqlStore,
) -> None:
    saved = await save(store, place("1"))
    cancel = replace(claim(order("1")), cl_ord_id=ClOrdID("cancel-of-1"))
    await save(store, lambda books: books.put_claim(cancel))
    await save(store, lambda books: refuse_cancel(books, "of-nothing"))
    one = saved.orders[OrderID("1")]

    assert await store.reads.order(OrderID("1")) == one
    assert await store.reads.order(OrderID("2")) is None
    assert await store.reads.orders_by_id([OrderID("1"), OrderID("2")]) == {one.id: one}
    for name in ("cl-1", "cancel-of-1"):
        assert await store.reads.order_by_cl_ord_id(A, ClOrdID(name)) == one
    for account_id, name in ((A, "of-nothing"), (A, "unused"), (B, "cl-1")):
        assert await store.reads.order_by_cl_ord_id(account_id, ClOrdID(name)) is None


async def test_fills_are_told_as_they_were_reported(store: SqlStore) -> None:
    def traded(books: Books) -> None:
        place("1", "2")(books)
        one = books.orders[OrderID("1")]
        books.record(one, ExecType.TRADE, 3, fill=fill(one, "f1"))
        books.record(books.orders[OrderID("1")], ExecType.RESTATED, 3)
        undone = fill(one, "f2", exec_type=ExecType.TRADE_CANCEL, exec_ref_id=ExecID("f1"))
        books.record(books.orders[OrderID("1")], ExecType.TRADE_CANCEL, 3, fill=undone)

    saved = await save(store, traded)
    fills = await store.reads.fills_of([OrderID("1"), OrderID("2")])

    told = [
        r for r in saved.new_reports if getattr(r, "exec_type", None) in {"TRADE", "TRADE_CANCEL"}
    ]
    assert fills == {OrderID("1"): told, OrderID("2"): []}
    assert len(told) == 2


async def test_positions_are_held_flat_or_only_reserved(store: SqlStore) -> None:
    names = [InstrumentID(f"{each}@XNAS") for each in ("FLAT", "HELD", "RESERVED")]

    def traded(books: Books) -> None:
        for symbol in reversed(names):
            books.catalogue.add(stock(symbol=symbol.removesuffix("@XNAS")))
            place(f"buy-{symbol}", symbol=symbol)(books)
            place(f"sell-{symbol}", symbol=symbol, side=Side.SELL)(books)
        execute(books, "buy-FLAT@XNAS", "1.5")
        execute(books, "sell-FLAT@XNAS", "2")
        execute(books, "buy-HELD@XNAS", "1.5")

    saved = await save(store, traded)
    flat, held, reserved = found = await store.reads.positions([A, B])

    assert found == [saved.positions[A, symbol] for symbol in names]
    assert [each.net_qty for each in found] == [0, 1, 0]
    assert flat.realized_pnl == Decimal("0.5")
    assert held.as_of_seq > flat.as_of_seq > reserved.as_of_seq == 0
    assert reserved.open_buy_qty == reserved.open_sell_qty == 10
    assert not await store.reads.positions([B])


def execute(books: Books, name: str, px: str) -> None:
    before = books.orders[OrderID(name)]
    after = replace(before, cum_qty=Decimal(1))
    books.record(after, ExecType.TRADE, 3, fill=fill(before, f"f-{name}", px=px))


async def test_accounts_heads_and_limits(store: SqlStore) -> None:
    await save(store, place("1", "2"))

    accounts = await store.reads.accounts([B, A])
    assert accounts == [account("a", last_seq=2, open_orders=2), account("b")]
    assert await store.reads.heads([A, B]) == {A: 2, B: 0}
    limits = await store.reads.limits(A)
    assert limits is not None
    assert {each.name: each.value for each in limits.applying(0)} == {LimitName.MAX_ORDER_QTY: 5}
    assert await store.reads.limits(AccountID("nobody")) is None


async def test_the_decision_of_an_order_is_that_of_its_placing(store: SqlStore) -> None:
    def decided(books: Books) -> None:
        place("1", "2")(books)
        books.put_claim(replace(claim(order("1")), cl_ord_id=ClOrdID("replace")))
        books.new_decisions += [
            (A, ClOrdID("cl-1"), decision(1)),
            (A, ClOrdID("replace"), decision(2)),
        ]

    await save(store, decided)

    assert await store.reads.decisions_of([OrderID("1"), OrderID("2")]) == {"1": decision(1)}
    assert await store.reads.decision(A, ClOrdID("replace")) == decision(2)
    assert await store.reads.decision(B, ClOrdID("replace")) is None


async def test_sessions_find_what_is_open(store: SqlStore) -> None:
    def finished(books: Books) -> None:
        for name in ("1", "2"):
            done = replace(books.orders[OrderID(name)], status=OrdStatus.FILLED)
            books.record(done, ExecType.NEW, 3)
        books.settle(books.commands[WireID("wire-1")], CommandState.ACKED)

    await save(store, place("3", "1", "2"))
    await save(store, finished, order_ids=["1", "2"])
    cancel = command(order("2"), "cancel", kind=CommandKind.CANCEL, created_at=0)
    await save(store, lambda books: books.put_command(cancel))

    assert [each.id for each in await store.open_orders([A, B])] == ["2", "3"]
    assert not await store.open_orders([B])
    open_commands = await store.open_commands([A])
    assert [each.wire_id for each in open_commands] == ["cancel", "wire-2", "wire-3"]
    wires = [WireID(each) for each in ("wire-1", "cancel", "unknown")]
    assert await store.accounts_of(wires) == {"wire-1": A, "cancel": A}
    assert await store.accounts_at("paper") == [A, B]
    assert await store.accounts_at("other") == []
    assert await store.account_ids(samples.TENANT) == [A, B]


async def test_a_request_that_is_approved_or_expired_is_gone(
    store: SqlStore, clock: samples.StoppedClock
) -> None:
    request = ApprovalRequest(
        id="r",
        tenant_id=samples.TENANT,
        account_id=None,
        state=TradingState.ACTIVE,
        reason="test",
        requested_by=UserID("one"),
        requested_at=5,
        expires_at=50,
    )
    later = replace(request, id="later", expires_at=100)
    await save(store, lambda books: books.new_approval_requests.extend([request, later]))

    clock.time = 49
    assert await store.approval_request("r") == request
    clock.time = 50
    assert await store.approval_request("r") is None
    approved = replace(later, approved_by=UserID("two"))
    await save(store, lambda books: books.new_approval_requests.append(approved))
    assert await store.approval_request("later") is None


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_no_statement_reads_a_whole_table(store: SqlStore) -> None:
    """History grows without end: what a statement reads must not grow with it."""
    with statements() as seen:
        await look_at_everything(store)
    selects = [each for each in seen if each[0].startswith("SELECT")]
    for statement, values in selects:
        plan = await store._database.read(explained, statement, values)
        scanned = {each.split()[1] for each in plan if each.startswith("SCAN")}
        assert not scanned & set(tables.metadata.tables), statement
        by_account = "orders USING INDEX ix_orders_account (account_id=?)"
        assert by_account not in str(plan), statement
    assert len(selects) > 20


def explained(connection: Connection, statement: str, values: Any) -> list[str]:
    assert isinstance(connection, BareConnection)
    rows = connection.bare.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
    return [row.detail for row in rows]


RARE = frozenset({OrdStatus.REJECTED, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE})
FILTERS = (
    OrderFilter(open_only=True),
    OrderFilter(symbol="MSFT"),
    OrderFilter(symbol="AAPL"),
    OrderFilter(symbol="AAPL", ord_status=RARE, open_only=True),
    OrderFilter(symbol="MSFT", ord_status=frozenset({OrdStatus.FILLED, OrdStatus.NEW})),
    *(OrderFilter(ord_status=frozenset({each})) for each in OrdStatus),
    OrderFilter(ord_status=RARE, side=Side.SELL),
)


async def look_at_everything(store: SqlStore) -> None:
    await load(
        store,
        cl_ord_ids=[(A, "x")],
        order_ids=["x"],
        wire_ids=["x"],
        fills_of=["x"],
        open_orders_of=[A],
        symbols=[AAPL],
        broker_keys=["x"],
    )
    await load(store, order_ids=["x"])
    await load(store, open_orders_of=[A])
    await store.accounts_of([WireID("x")])
    await store.open_orders([A])
    await store.open_commands([A])
    await store.queued([A])
    await store.command_states([WireID("x")])
    await store.outbox.pending(10, range(SHARDS))
    await look_at_reads(store.reads)
    await store.reads.limits(A)
    await store.prices.ages([AAPL])
    evidence = store.evidence
    await evidence.books([A])
    await evidence.ledger(A, 0, 10)
    await evidence.fills(A, 0, 10, 10)
    await evidence.checkpoints([A])
    await evidence.newest_breaks([A], list(BreakKind))


async def look_at_reads(reads: SqlReads) -> None:
    await reads.orders(A, ALL, 10, OrderID("x"))
    for which in FILTERS:
        await reads.orders(A, which, 10, None)
        await reads.orders(A, which, 10, OrderID("x"))
    await reads.orders_commanded(A, ClOrdID("x"))
    await reads.cancel_reject(A, ClOrdID("x"))
    await reads.order_by_cl_ord_id(A, ClOrdID("x"))
    await reads.reports(A, 0, 10)
    await reads.fills_of([OrderID("x")])
    await reads.positions([A])
    await reads.heads([A])
    await reads.decision(A, ClOrdID("x"))
    await reads.decisions_of([OrderID("x")])
    await reads.breaks(A, 10)
    await reads.state_changes(0)
    await reads.reports_at([(A, 1)])


async def test_a_session_finds_what_is_queued_and_anyone_how_far_it_got(store: SqlStore) -> None:
    def sent(books: Books) -> None:
        books.settle(books.commands[WireID("wire-2")], CommandState.SENT)
        books.settle(books.commands[WireID("wire-3")], CommandState.ACKED)

    await save(store, place("4", "1", "2", "3"))
    await save(store, place("5", account_id="b"))
    await save(store, sent, order_ids=["2", "3"])
    first = command(order("2"), "first", kind=CommandKind.CANCEL, created_at=0)
    await save(store, lambda books: books.put_command(first))

    assert [each.wire_id for each in await store.queued([A])] == ["first", "wire-1", "wire-4"]
    assert [each.wire_id for each in await store.queued([B])] == ["wire-5"]
    assert await store.queued([]) == []
    wires = [WireID(each) for each in ("wire-1", "wire-2", "wire-3", "unknown")]
    assert await store.command_states(wires) == {
        "wire-1": CommandState.QUEUED,
        "wire-2": CommandState.SENT,
        "wire-3": CommandState.ACKED,
    }


async def test_a_fence_rises_and_never_falls(store: SqlStore) -> None:
    await store.fence([A], 3)
    await store.fence([A, B, AccountID("nobody")], 2)

    fences = {each.id: each.fence for each in (await load(store)).accounts.values()}
    assert fences == {A: 3, B: 2}


async def test_reference_prices_are_replaced(store: SqlStore) -> None:
    await store.prices.put([])
    await store.prices.put([samples.quote(received_at=1)])
    await store.prices.put([samples.quote(received_at=2, bid=None)])

    assert await store.prices.ages([AAPL, InstrumentID("never")]) == {AAPL: 2}
    assert (await load(store, symbols=[AAPL])).references[AAPL].bid is None
