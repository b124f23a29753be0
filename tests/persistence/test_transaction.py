"""What a transaction loads, and what it saves."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from persistence.store import SqlStore
from tests.persistence import samples
from tests.persistence.changes import A, B, load, place, refuse_cancel, save, statements
from tests.persistence.samples import AAPL, TENANT, account, claim, command, fill, order
from trading.account import TradingState
from trading.books import Books, Wants
from trading.command import CommandKind, CommandState
from trading.control import ApprovalRequest, TradingStateChange
from trading.execution import Break, BreakKind, ExecType
from trading.ids import AccountID, ClOrdID, InstrumentID, OrderID, UserID, WireID
from trading.limits import LimitName
from trading.order import OrdStatus, Replacement


async def test_the_accounts_come_with_their_limits_and_nothing_else(store: SqlStore) -> None:
    books = await load(store)

    assert books.accounts == {A: account("a"), B: account("b")}
    assert own_limits(books, A) == {LimitName.MAX_ORDER_QTY: 5}
    assert not books.orders
    assert not books.positions


async def test_an_account_that_does_not_exist_is_not_in_the_books(store: SqlStore) -> None:
    nobody = AccountID("nobody")
    async with store.transaction() as transaction:
        await transaction.lock([nobody])
        books = await transaction.load(Wants(accounts=frozenset({nobody})))

    assert books.accounts == {}


async def test_what_was_not_locked_is_not_loaded(store: SqlStore) -> None:
    async with store.transaction() as transaction:
        await transaction.lock([A])
        with pytest.raises(ValueError, match="lock accounts before loading them: b"):
            await transaction.load(Wants(accounts=frozenset({A, B})))


async def test_orders_of_other_accounts_are_not_found(store: SqlStore) -> None:
    await save(store, place("1", account_id="b"))
    async with store.transaction() as transaction:
        await transaction.lock([A])
        books = await transaction.load(
            Wants(
                accounts=frozenset({A}),
                order_ids=frozenset({OrderID("1")}),
                wire_ids=frozenset({WireID("wire-1")}),
            )
        )

    assert not books.orders
    assert not books.commands


@pytest.mark.parametrize(
    "wants",
    [
        {"order_ids": ["1"]},
        {"wire_ids": ["wire-1"]},
        {"wire_ids": ["wire-of-cancel"]},
        {"fills_of": ["wire-1"]},
        {"fills_of": ["wire-of-cancel"]},
        {"cl_ord_ids": [(A, "cl-1")]},
        {"open_orders_of": [A]},
    ],
    ids=lambda wants: "-".join(f"{key}-{value[0]}" for key, value in wants.items()),
)
async def test_an_order_is_found_by_each_of_its_names(
    store: SqlStore, wants: dict[str, Any]
) -> None:
    await save(store, place("0", status=OrdStatus.REJECTED))
    saved = await save(store, place("1"))
    cancel = command(order("1"), "wire-of-cancel", kind=CommandKind.CANCEL, created_at=3)
    await save(store, lambda books: books.put_command(cancel))
    await save(store, place("9", account_id="b"))

    books = await load(store, **wants)

    assert books.orders == {OrderID("1"): saved.orders[OrderID("1")]}
    assert set(books.commands) == {"wire-1", "wire-of-cancel"}


async def test_of_finished_commands_only_those_named_are_loaded(store: SqlStore) -> None:
    await save(store, place("1"))
    done = command(order("1"), "done", state=CommandState.ACKED, evidence="the broker's word")
    other = command(order("1"), "other", state=CommandState.REJECTED)

    def settled(books: Books) -> None:
        books.put_command(done)
        books.put_command(other)

    await save(store, settled)

    assert set((await load(store, order_ids=["1"])).commands) == {"wire-1"}
    books = await load(store, wire_ids=["done"])
    assert set(books.commands) == {"wire-1", "done"}
    assert books.commands[WireID("done")] == done


async def test_a_pending_replace_keeps_its_terms(store: SqlStore) -> None:
    terms = Replacement(
        order_qty=Decimal(7), price=None, stop_px=Decimal("2.25"), reserve_px=Decimal(3)
    )
    await save(store, place("1", replacement=terms))
    asked = command(order("1"), "replace", kind=CommandKind.REPLACE, terms=terms)
    await save(store, lambda books: books.put_command(asked))

    books = await load(store, order_ids=["1"])

    assert books.orders[OrderID("1")].replacement == terms
    assert books.commands[WireID("replace")] == asked


async def test_a_claim_brings_the_cancel_reject_that_answered_it(store: SqlStore) -> None:
    saved = await save(store, lambda books: refuse_cancel(books, "c"))

    books = await load(store, cl_ord_ids=[(A, "c"), (B, "c"), (A, "unused")])

    assert books.claims == {(A, ClOrdID("c")): saved.new_claims[0]}
    assert list(books.cancel_rejects.values()) == saved.new_reports


async def test_the_same_cl_ord_id_may_be_taken_in_each_account(store: SqlStore) -> None:
    def both(books: Books) -> None:
        for name, account_id in (("1", "a"), ("2", "b")):
            new = order(name, account_id, cl_ord_id=ClOrdID("same"))
            books.put_claim(claim(new))
            books.record(new, ExecType.PENDING_NEW, 2)

    await save(store, both)
    books = await load(store, cl_ord_ids=[(A, "same")])

    assert set(books.orders) == {"1"}


async def test_fills_come_in_their_sequence_for_those_who_ask(store: SqlStore) -> None:
    def traded(books: Books) -> None:
        place("1")(books)
        for name in ("z", "y", "x"):
            current = books.orders[OrderID("1")]
            one = fill(current, name)
            after = replace(current, cum_qty=current.cum_qty + 1, status=OrdStatus.PARTIALLY_FILLED)
            books.record(after, ExecType.TRADE, 3, fill=one)

    saved = await save(store, traded)

    assert not (await load(store, wire_ids=["wire-1"])).fills
    books = await load(store, fills_of=["wire-1"])
    assert books.fills == {OrderID("1"): saved.new_fills}
    assert [each.exec_id for each in saved.new_fills] == ["z", "y", "x"]


async def test_a_position_brings_its_reference_price(store: SqlStore) -> None:
    other, third = InstrumentID("OTHER@XNAS"), InstrumentID("THIRD@XNAS")
    await store.prices.put([samples.quote(each) for each in (AAPL, other, third)])
    saved = await save(store, place("1"))

    books = await load(store, symbols=[other])

    assert books.positions == saved.positions
    assert books.positions[A, AAPL].open_buy_qty == Decimal(10)
    assert books.references == {each: samples.quote(each) for each in (AAPL, other)}


async def test_an_event_of_a_broker_is_recorded_once(store: SqlStore) -> None:
    await save(store, lambda books: books.new_broker_keys.append("k1"))

    assert (await load(store, broker_keys=["k1", "k2"])).seen_keys == {"k1"}
    with pytest.raises(IntegrityError):
        await save(store, lambda books: books.new_broker_keys.append("k1"))


@pytest.mark.parametrize(
    "again",
    [
        lambda books: books.put_claim(claim(order("1"))),
        lambda books: books.new_reports.append(
            replace(
                books.record(books.orders[OrderID("1")], ExecType.NEW, 3),
                seq=1,
            )
        ),
        lambda books: books.new_fills.append(fill(order("1"), "f", seq=2)),
        place("2", wire_id=WireID("wire-1")),
        lambda books: books.new_fills.append(fill(order("1"), "g", seq=77)),
        lambda books: books.put_account(replace(books.accounts[A], last_seq=-1)),
    ],
    ids=["claim", "seq", "fill", "wire_id", "fill-without-report", "negative"],
)
async def test_what_cannot_be_true_fails_loudly_and_saves_nothing(
    store: SqlStore, again: Callable[[Books], None]
) -> None:
    def traded(books: Books) -> None:
        place("1")(books)
        current = books.orders[OrderID("1")]
        books.record(current, ExecType.TRADE, 3, fill=fill(current, "f"))

    await save(store, traded)
    before = await load(store, open_orders_of=[A], fills_of=["wire-1"])

    def both(books: Books) -> None:
        books.put_account(replace(books.accounts[A], name="changed"))
        again(books)

    with pytest.raises(IntegrityError):
        await save(store, both, order_ids=["1"])
    assert await load(store, open_orders_of=[A], fills_of=["wire-1"]) == before


async def test_a_canceled_transaction_saves_nothing(store: SqlStore) -> None:
    saved = asyncio.Event()

    async def change() -> None:
        async with store.transaction() as transaction:
            await transaction.lock([A])
            books = await transaction.load(Wants(accounts=frozenset({A})))
            place("1")(books)
            await transaction.save(books)
            saved.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(change())
    await saved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not (await load(store, open_orders_of=[A])).orders


async def test_each_commit_has_one_row_in_the_outbox_per_account(store: SqlStore) -> None:
    def placed(books: Books) -> None:
        place("1", "2")(books)
        place("3", account_id="b")(books)

    await save(store, placed)
    await save(store, place("4"))
    await load(store)

    pending = await store.outbox.pending(10)
    ranges = [(row.account_id, row.first_seq, row.last_seq) for row in pending]
    assert ranges == [("a", 1, 2), ("b", 1, 1), ("a", 3, 3)]


async def test_cursor_breaks_and_states_are_saved_with_the_rest(store: SqlStore) -> None:
    found = Break(
        kind=BreakKind.UNREADABLE, account_id=None, order_id=None, detail="what?", raised_at=4
    )
    change = TradingStateChange(
        tenant_id=TENANT,
        account_id=A,
        before=TradingState.ACTIVE,
        state=TradingState.HALTED,
        reason="test",
        changed_by=UserID("trader"),
        approved_by=None,
        changed_at=5,
    )
    request = ApprovalRequest(
        id="r",
        tenant_id=TENANT,
        account_id=A,
        state=TradingState.ACTIVE,
        reason="test",
        requested_by=UserID("trader"),
        requested_at=5,
        expires_at=50,
    )

    def noticed(books: Books) -> None:
        books.new_breaks.append(found)
        books.raise_breaks([BreakKind.OVERFILL, BreakKind.LATE_FILL], order("1"), "why", 6)
        books.new_state_changes += [change, change]
        books.new_approval_requests.append(request)
        books.cursor = ("paper", "17")

    await save(store, noticed)
    await save(store, lambda books: setattr(books, "cursor", ("paper", "18")))

    assert await store.cursor("paper") == "18"
    assert await store.cursor("other") is None
    kinds = [each.kind for each in await store.reads.breaks(A, 10)]
    assert kinds == [BreakKind.LATE_FILL, BreakKind.OVERFILL]
    assert len(await store.reads.breaks(A, 1)) == 1
    assert await store.reads.state_changes(0) == [replace(change, id=1), replace(change, id=2)]
    assert await store.reads.state_changes(1) == [replace(change, id=2)]
    assert await store.approval_request("r") == request


async def test_the_number_of_statements_does_not_grow(store: SqlStore) -> None:
    async def cost(*names: str) -> int:
        keys = [(A, f"cl-{name}") for name in names]
        wires = [f"wire-{name}" for name in names]
        wants = {"cl_ord_ids": keys, "wire_ids": wires, "order_ids": names, "fills_of": wires}
        with statements() as seen:
            await save(store, place(*names), **wants)
        return len(seen)

    await save(store, place("0"))
    assert await cost("1") == await cost(*(f"many-{number}" for number in range(200)))


def own_limits(books: Books, account_id: AccountID) -> dict[LimitName, Decimal | None]:
    return {each.name: each.value for each in books.limits[account_id].applying(0)}
