"""An order that the caller knows is not read again, unless something was reported of it since."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from persistence.store import SqlStore
from tests.persistence.changes import A, place, save, statements
from tests.persistence.samples import command, fill
from trading.account import TradingState
from trading.books import Books, Wants
from trading.command import CommandKind, CommandState
from trading.execution import ExecType
from trading.held import Held
from trading.ids import OrderID, WireID

ONE, WIRE, TWO = OrderID("1"), WireID("wire-1"), WireID("wire-2")
NAMED = {"wire_ids": [WIRE, TWO], "fills_of": [WIRE, TWO]}


def traded(books: Books) -> None:
    one = books.orders[ONE]
    number = len(books.fills.get(ONE, ()))
    after = replace(one, cum_qty=one.cum_qty + 1, cum_value=one.cum_value + 2)
    books.record(after, ExecType.TRADE, 3, fill=fill(one, f"f{number}"))


def canceling(books: Books) -> None:
    one = books.orders[ONE]
    books.put_command(command(one, "cancel", kind=CommandKind.CANCEL))
    books.record(replace(one, pending_cancel=True), ExecType.PENDING_CANCEL, 4)


def acked(books: Books) -> None:
    books.settle(books.commands[WIRE], CommandState.ACKED, "evidence")
    books.record(books.orders[ONE], ExecType.NEW, 3)


def held(books: Books) -> Mapping[WireID, Held]:
    commands = tuple(each for each in books.commands.values() if each.order_id == ONE)
    return {WIRE: Held(books.orders[ONE], commands, tuple(books.fills.get(ONE, ())))}


async def known(store: SqlStore) -> Mapping[WireID, Held]:
    return held(await save(store, lambda _: None, **NAMED))


async def read(store: SqlStore, known: Mapping[WireID, Held]) -> tuple[Books, list[str]]:
    with statements() as seen:
        books = await save(store, lambda _: None, **NAMED, held=known)
    return books, [statement for statement, _ in seen]


def whole(books: Books) -> object:
    commands = {k: v for k, v in books.commands.items() if v.state.is_open}
    return books.orders, commands, {k: v for k, v in books.fills.items() if v}


async def test_what_is_unchanged_is_taken_as_it_is_known(store: SqlStore) -> None:
    await save(store, place("1"))
    await save(store, traded, **NAMED)
    before = await known(store)

    books, seen = await read(store, dict.fromkeys((WIRE, TWO), before[WIRE]))
    assert whole(books) == whole(await save(store, lambda _: None, **NAMED))
    assert books.orders[ONE] is before[WIRE].order
    assert not any("FROM fills" in each or "FROM commands" in each for each in seen)


@pytest.mark.parametrize("change", [traded, canceling, acked])
async def test_what_was_changed_by_others_is_read_anew(
    store: SqlStore, change: Callable[[Books], None]
) -> None:
    await save(store, place("1", "2"))
    await save(store, traded, **NAMED)
    before = await known(store)
    await save(store, change, **NAMED)

    books, _ = await read(store, before)
    assert whole(books) == whole(await save(store, lambda _: None, **NAMED))
    assert books.orders[ONE] != before[WIRE].order


async def test_an_order_of_an_account_that_is_not_asked_for_is_not_taken(store: SqlStore) -> None:
    await save(store, place("1", account_id="b"))
    before = await known(store)
    async with store.transaction() as transaction:
        await transaction.lock([A])
        wants = Wants(accounts=frozenset({A}), wire_ids=frozenset({WIRE}), held=before)
        books = await transaction.load(wants)

    assert books.orders == {}


async def test_prices_and_limits_are_read_where_an_account_is_restricted(store: SqlStore) -> None:
    await save(store, place("1"))

    def halve(books: Books) -> None:
        account = books.accounts[A]
        books.put_account(replace(account, trading_state=TradingState.REDUCING))

    assert not (await save(store, halve, readmits=True)).limits
    assert A in (await save(store, lambda _: None, readmits=True)).limits
