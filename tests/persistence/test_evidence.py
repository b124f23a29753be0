"""What monitors read of a store: the ledger and its facts as of one moment."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.store import SqlStore
from tests.persistence.changes import A, B, place, save
from tests.persistence.samples import AAPL, fill, quote
from trading.books import Books
from trading.execution import Break, BreakKind, ExecType
from trading.exposure import Fold, differences
from trading.ids import AccountID, ExecID, InstrumentID, OrderID, WireID
from trading.instrument import Catalogue
from trading.order import Side

ONE = OrderID("1")
X = InstrumentID("X@XNAS")


def filled(name: str, qty: int, **fields: Any) -> Callable[[Books], None]:
    def change(books: Books) -> None:
        order = books.orders[ONE]
        new = fill(order, name, qty, **fields)
        books.record(order, new.exec_type, 7, fill=new)

    return change


async def test_a_ledger_comes_with_the_first_fills_after_a_number(store: SqlStore) -> None:
    await save(store, place("1"))
    await save(store, filled("f1", 4), order_ids={ONE})
    first = await store.evidence.ledger(A, 0, 9)
    fold = Fold().then(first.fills)
    for name, qty in ("f2", 2), ("f3", 1), ("f4", 1):
        await save(store, filled(name, qty), order_ids={ONE})
    page = await store.evidence.ledger(A, fold.seq, 2)
    rest = await store.evidence.ledger(A, page.fills[-1].seq, 2)

    assert ([each.last_qty for each in page.fills], page.has_next) == (
        [Decimal(2), Decimal(1)],
        True,
    )
    assert ([each.last_qty for each in rest.fills], rest.has_next) == ([Decimal(1)], False)
    fold = fold.then(page.fills).then(rest.fills)
    assert fold.net_qty == {AAPL: Decimal(8)}
    assert [each.id for each in rest.open_orders] == [ONE]
    assert differences(rest, fold, Catalogue([])) == []
    assert (await store.evidence.ledger(B, 0, 2)).fills == []


async def test_ledgers_come_together_each_with_what_is_new_of_it(store: SqlStore) -> None:
    await save(store, place("1"))
    for name, qty in ("f1", 4), ("f2", 2), ("f3", 1):
        await save(store, filled(name, qty), order_ids={ONE})
    of_a = await store.evidence.ledger(A, 2, 9)
    of_b = await store.evidence.ledger(B, 0, 9)

    assert [each.last_qty for each in of_a.fills] == [Decimal(2), Decimal(1)]
    assert list(await store.evidence.ledgers({A: 2, B: 0})) == [of_a, of_b]
    assert list(await store.evidence.ledgers({B: 0})) == [of_b]
    assert [each.fills for each in await store.evidence.ledgers({A: 4})] == [[]]


async def test_a_revision_comes_with_what_it_revises_however_long_ago(store: SqlStore) -> None:
    await save(store, place("1", "2", side=Side.SELL))
    await save(store, filled("f1", 4), order_ids={ONE})
    fold = Fold().then((await store.evidence.ledger(A, 0, 9)).fills)
    correction = {"exec_type": ExecType.TRADE_CORRECT, "exec_ref_id": ExecID("f1")}
    await save(store, filled("f2", 3, **correction), order_ids={ONE}, fills_of={WireID("wire-1")})
    [corrected] = (await store.evidence.ledger(A, fold.seq, 9)).fills
    assert (corrected.revised_qty, corrected.net_qty) == (Decimal(4), Decimal(1))

    bust = {"exec_type": ExecType.TRADE_CANCEL, "exec_ref_id": ExecID("f2")}
    await save(store, filled("f3", 3, **bust), order_ids={ONE}, fills_of={WireID("wire-1")})
    ledger = await store.evidence.ledger(A, fold.seq, 9)
    assert fold.then(ledger.fills).net_qty == {}
    assert differences(ledger, fold.then(ledger.fills), Catalogue([])) == []


async def test_fills_are_read_between_two_numbers(store: SqlStore) -> None:
    await save(store, place("1"))
    for name in ("f1", "f2", "f3", "f4"):
        await save(store, filled(name, 1), order_ids={ONE})

    async def seqs(*between: int) -> list[int]:
        return [each.seq for each in await store.evidence.fills(A, *between)]

    assert await seqs(0, 9, 9) == [2, 3, 4, 5]
    assert await seqs(2, 4, 9) == [3, 4]
    assert await seqs(0, 9, 2) == [2, 3]


async def test_a_checkpoint_is_kept_exactly_and_a_later_owners_stands(store: SqlStore) -> None:
    assert await store.evidence.checkpoints([A, B]) == {}
    fold = Fold(7, {AAPL: Decimal("-12345678901234567890.000000001"), X: Decimal(1)})
    await store.evidence.keep(A, fold, 3)
    assert await store.evidence.checkpoints([A, B]) == {A: fold}
    await store.evidence.keep(A, Fold(8, {AAPL: Decimal(2)}), 3)
    await store.evidence.keep(A, Fold(5, {}), 2)
    assert await store.evidence.checkpoints([A]) == {A: Fold(8, {AAPL: Decimal(2)})}
    await store.evidence.keep(A, Fold(6, {}), 4)
    assert await store.evidence.checkpoints([A]) == {A: Fold(6, {})}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"AAPL@XNAS": "many"}', '{"AAPL@XNAS": null}'])
async def test_a_checkpoint_that_cannot_be_read_is_none(store: SqlStore, text: str) -> None:
    await store.evidence.keep(A, Fold(7, {}), 1)
    await store.evidence.keep(B, Fold(7, {}), 1)
    spoilt = tables.exposure_checkpoints.update().values(net_qty=text)
    of_a = spoilt.where(tables.exposure_checkpoints.c.account_id == sa.bindparam("of"))
    await store._database.write(Connection.run, of_a, {"of": A})

    assert await store.evidence.checkpoints([A, B]) == {B: Fold(7, {})}


async def test_a_checkpoint_waits_for_no_lock_of_its_account(store: SqlStore, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite has one writer")
    async with store.transaction() as transaction:
        await transaction.lock([A])
        async with asyncio.timeout(1):
            await store.evidence.keep(A, Fold(7, {}), 1)


async def test_accounts_are_seen_with_positions_marks_and_limits(store: SqlStore) -> None:
    await save(store, place("1"))
    await save(store, filled("f1", 4), order_ids={ONE})
    await store.prices.put([quote(), quote(InstrumentID("X@XNAS"))])
    books = await store.evidence.books([A, B])

    assert list(books.accounts) == [A, B]
    assert books.positions[A, AAPL].net_qty == Decimal(4)
    assert set(books.references) == {AAPL}
    assert books.limits[B].version == (await store.limits.now()).version
    assert list((await store.evidence.books([B])).positions) == []


async def test_what_is_seen_waits_for_no_lock(store: SqlStore) -> None:
    async with store.transaction() as transaction:
        await transaction.lock([A])
        assert list((await store.evidence.books([A])).accounts) == [A]


async def test_the_newest_break_of_each_account_is_found(store: SqlStore) -> None:
    def broken(account_id: AccountID | None, kind: BreakKind, at: int) -> Break:
        return Break(kind=kind, account_id=account_id, order_id=None, detail="?", raised_at=at)

    late = broken(A, BreakKind.LATE_FILL, 9)
    breaks = [
        broken(A, BreakKind.OVERFILL, 5),
        broken(A, BreakKind.POSITION, 6),
        broken(B, BreakKind.OVERFILL, 7),
        broken(None, BreakKind.OVERFILL, 8),
        late,
    ]
    await save(store, lambda books: books.new_breaks.extend(breaks))
    kinds = {BreakKind.OVERFILL, BreakKind.POSITION}

    found = await store.evidence.newest_breaks([A, B], kinds)
    assert sorted(found, key=lambda each: each.raised_at) == breaks[1:3]
    assert list(await store.evidence.newest_breaks([A], {BreakKind.LATE_FILL})) == [late]
