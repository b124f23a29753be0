"""Lists of orders: what a filter finds, in which order, and page by page."""

from itertools import product
from typing import Any

from persistence.store import SqlStore
from tests.persistence.changes import A, save
from tests.persistence.samples import AAPL, order, stock
from tests.persistence.test_reads import TERMS, add, names
from trading.ids import InstrumentID
from trading.order import Order, OrdStatus, Side
from trading.store import OrderFilter


async def test_orders_are_filtered_by_the_status_that_clients_see(store: SqlStore) -> None:
    orders = {
        OrdStatus.NEW: order("1", status=OrdStatus.NEW),
        OrdStatus.FILLED: order("2", status=OrdStatus.FILLED),
        OrdStatus.PENDING_CANCEL: order(
            "3", status=OrdStatus.NEW, pending_cancel=True, replacement=TERMS
        ),
        OrdStatus.PENDING_REPLACE: order("4", status=OrdStatus.NEW, replacement=TERMS),
        OrdStatus.PENDING_NEW: order("5"),
    }
    await save(store, add(*orders.values()))

    for status in OrdStatus:
        wanted = [orders[status].id] if status in orders else []
        assert await names(store, OrderFilter(ord_status=frozenset({status}))) == wanted
    both = frozenset({OrdStatus.NEW, OrdStatus.PENDING_CANCEL})
    assert await names(store, OrderFilter(ord_status=both)) == ["3", "1"]
    assert await names(store, OrderFilter(open_only=True)) == ["5", "4", "3", "1"]


async def test_orders_are_filtered_by_symbol_and_side(store: SqlStore) -> None:
    elsewhere, unknown = InstrumentID("AAPL@XLON"), InstrumentID("AAP")
    store.catalogue.add(stock(mic="XLON"))
    await save(
        store,
        add(
            order("1"),
            order("2", side=Side.SELL),
            order("3", symbol=elsewhere),
            order("4", symbol=unknown, status=OrdStatus.REJECTED),
        ),
    )

    assert await names(store, OrderFilter(symbol="AAPL")) == ["3", "2", "1"]
    assert await names(store, OrderFilter(symbol="AAPL@XLON")) == ["3"]
    assert await names(store, OrderFilter(symbol="AAP")) == ["4"]
    assert await names(store, OrderFilter(symbol="aapl")) == []
    assert await names(store, OrderFilter(side=Side.SELL, symbol="AAPL")) == ["2"]


XLON = InstrumentID("AAPL@XLON")
PENDING: tuple[dict[str, Any], ...] = (
    {},
    {"pending_cancel": True},
    {"replacement": TERMS},
    {"pending_cancel": True, "replacement": TERMS},
)


def shows(which: OrderFilter, each: Order) -> bool:
    """Say of one order what the filter says of all."""
    names = {None: {each.symbol}, "AAPL": {AAPL, XLON}}.get(which.symbol, {which.symbol})
    return (
        (not which.ord_status or each.ord_status in which.ord_status)
        and each.symbol in names
        and which.side in {None, each.side}
        and (each.is_open or not which.open_only)
    )


async def test_every_filter_finds_what_it_says_whatever_the_page(store: SqlStore) -> None:
    store.catalogue.add(stock(mic="XLON"))
    statuses = set(OrdStatus) - {OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
    kinds = product(sorted(statuses), PENDING, (AAPL, XLON, InstrumentID("AAP")), Side)
    orders = [
        order(f"{number:03}", status=status, symbol=symbol, side=side, **pending)
        for number, (status, pending, symbol, side) in enumerate(kinds)
    ]
    await save(store, add(*orders))
    shown = [frozenset({each}) for each in OrdStatus]
    shown += [frozenset(), frozenset(OrdStatus), frozenset(list(OrdStatus)[::3])]
    for status, symbol, side, is_open in product(
        shown, (None, "AAPL", XLON, "nothing"), (None, Side.SELL), (False, True)
    ):
        which = OrderFilter(ord_status=status, symbol=symbol, side=side, open_only=is_open)
        wanted = [each.id for each in reversed(orders) if shows(which, each)]
        first = await store.reads.orders(A, which, 7, None)
        after = first.items[-1].id if first.items else None
        rest = await store.reads.orders(A, which, 500, after)
        found = [each.id for each in first.items]
        found += [each.id for each in rest.items] if first.has_next else []
        assert found == wanted, which
        assert first.has_next is (len(wanted) > 7)
