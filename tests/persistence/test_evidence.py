"""What monitors read of a store: the ledger and its facts as of one moment."""

from collections.abc import Callable
from decimal import Decimal

from persistence.store import SqlStore
from tests.persistence.changes import A, B, place, save
from tests.persistence.samples import AAPL, fill, quote
from trading.books import Books
from trading.execution import Break, BreakKind, ExecType
from trading.exposure import Fold, differences
from trading.ids import AccountID, InstrumentID, OrderID

ONE = OrderID("1")


def filled(name: str, qty: int) -> Callable[[Books], None]:
    def change(books: Books) -> None:
        order = books.orders[ONE]
        books.record(order, ExecType.TRADE, 7, fill=fill(order, name, qty))

    return change


async def test_a_ledger_comes_with_the_fills_after_a_number(store: SqlStore) -> None:
    await save(store, place("1"))
    await save(store, filled("f1", 4), order_ids={ONE})
    first = await store.evidence.ledger(A, 0)
    fold = Fold().then(first.fills)
    await save(store, filled("f2", 2), order_ids={ONE})
    later = await store.evidence.ledger(A, fold.seq)

    assert [each.exec_id for each in later.fills] == ["f2"]
    assert fold.then(later.fills).net_qty == {AAPL: Decimal(6)}
    assert [each.id for each in later.open_orders] == [ONE]
    assert differences(later, fold.then(later.fills), store.catalogue) == []
    assert differences(later, fold, store.catalogue) == [f"symbol={AAPL} net_qty=6 recomputed=4"]


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
