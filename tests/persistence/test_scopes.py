"""Trading states by scope in the store: in force, in turn, and confirmed by owners."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from persistence import migration
from persistence.account import Tenant
from persistence.bare import BareConnection
from persistence.sqlite import SqliteDatabase
from persistence.store import SqlStore
from tests.persistence.changes import A, B, load, save
from tests.persistence.conftest import opened
from tests.persistence.samples import AAPL, TENANT, account, limits
from trading.account import TradingState
from trading.books import Books, Wants
from trading.control import Confirmation, MassAction, ScopeState
from trading.ids import AccountID, TenantID, UserID
from trading.scope import Scope, ScopeKind

ALL, HERE = Scope(ScopeKind.ALL), Scope(ScopeKind.INSTRUMENT, AAPL, TENANT)


def row(epoch: int, scope: Scope = ALL, **fields: object) -> ScopeState:
    plain = ScopeState(
        epoch=epoch,
        scope=scope,
        state=TradingState.HALTED,
        action=MassAction.CANCEL_ORDERS,
        reason="test",
        changed_by=UserID("officer"),
        approved_by=None,
        changed_at=5,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


async def put(store: SqlStore, *rows: ScopeState) -> None:
    async with store.transaction(urgent=True) as transaction:
        await transaction.lock(())
        books = await transaction.load(Wants(accounts=frozenset(), states=True))
        books.new_scope_states.extend(rows)
        await transaction.save(books)


async def test_what_is_in_force_is_read_back_and_what_has_ended_is_not(store: SqlStore) -> None:
    await put(store, row(1), row(2, HERE))
    await put(store, row(1, ended_epoch=3), row(3, state=TradingState.REDUCING))

    states = await store.scopes.trading_states()
    assert states.current == {ALL: row(3, state=TradingState.REDUCING), HERE: row(2, HERE)}
    assert states.epoch == 3


async def test_no_two_changes_have_one_epoch(store: SqlStore) -> None:
    async def change() -> None:
        async with store.transaction(urgent=True) as transaction:
            await transaction.lock(())
            books = await transaction.load(Wants(accounts=frozenset(), states=True))
            scope = Scope(ScopeKind.STRATEGY, f"s{books.states.epoch}", TENANT)
            await asyncio.sleep(0)
            books.new_scope_states.append(row(books.states.epoch + 1, scope))
            await transaction.save(books)

    await asyncio.gather(*(change() for _ in range(3)))

    states = await store.scopes.trading_states()
    assert sorted(each.epoch for each in states.current.values()) == [1, 2, 3]


async def test_nobody_approves_what_they_asked_for(store: SqlStore) -> None:
    with pytest.raises(IntegrityError):
        await put(store, row(1, approved_by=UserID("officer")))


async def test_an_account_keeps_the_states_of_some_of_its_orders(store: SqlStore) -> None:
    held = (("INSTRUMENT", AAPL, TradingState.REDUCING),)

    def halve(books: Books) -> None:
        books.put_account(replace(books.accounts[A], scoped_states=held))

    await save(store, halve)
    books = await load(store)

    assert books.accounts[A].scoped_states == held
    assert books.accounts[B].scoped_states == ()


async def test_a_scope_has_the_accounts_that_it_names(store: SqlStore) -> None:
    other = TenantID("other")
    theirs = replace(account("c"), tenant_id=other, broker="another")
    await store.accounts.add_tenant(Tenant(id=other, name="Other"), [theirs], limits("c"), [])
    c = AccountID("c")

    expected = {
        ALL: [A, B, c],
        Scope(ScopeKind.BROKER, "paper"): [A, B],
        Scope(ScopeKind.BROKER, "another", TENANT): [],
        Scope(ScopeKind.TENANT, other): [c],
        Scope(ScopeKind.ACCOUNT, B): [B],
        HERE: [A, B],
        Scope(ScopeKind.STRATEGY, "s"): [A, B, c],
    }
    assert {scope: await store.scopes.accounts_in(scope) for scope in expected} == expected


async def test_a_scope_that_names_nothing_is_not_there(store: SqlStore) -> None:
    there = [HERE, ALL, Scope(ScopeKind.USER, "trader", TENANT), Scope(ScopeKind.BROKER, "paper")]
    absent = [Scope(ScopeKind.INSTRUMENT, "X@X"), Scope(ScopeKind.BROKER, "nowhere")]

    assert [await store.scopes.has_scope(each, TENANT) for each in there] == [True] * 4
    assert [await store.scopes.has_scope(each, TENANT) for each in absent] == [False] * 2
    assert not await store.scopes.has_scope(there[2], TenantID("other"))


async def test_only_the_owner_confirms_and_ends_its_confirmation(store: SqlStore) -> None:
    def at(epoch: int, scope_epoch: int) -> Confirmation:
        return Confirmation(broker="paper", epoch=epoch, scope_epoch=scope_epoch)

    await store.scopes.own(at(2, 1))
    await store.scopes.own(at(1, 9))
    await store.scopes.confirm(at(1, 9))
    await store.scopes.disown(at(1, 0))
    assert await store.scopes.confirmations() == [at(2, 1)]
    await store.scopes.confirm(at(2, 4))
    assert await store.scopes.confirmations() == [at(2, 4)]
    await store.scopes.disown(at(2, 0))
    assert await store.scopes.confirmations() == []


async def test_when_the_broker_shows_none_is_noted(store: SqlStore) -> None:
    await put(store, row(1))
    await store.scopes.clean(1, 77)

    assert (await store.scopes.trading_states()).current[ALL].clean_at == 77


async def test_states_that_accounts_had_are_taken_over(tmp_path: Path) -> None:
    def before(connection: BareConnection) -> None:
        migration.upgrade(connection, "0002")
        for statement in (
            "INSERT INTO tenants (id, name) VALUES ('tenant', 'Tenant')",
            (
                "INSERT INTO gateway (id, environment, created_at, version)"
                " VALUES (1, 'sim', 7, '0.0.1')"
            ),
            (
                "INSERT INTO accounts (id, tenant_id, name, currency, broker, cash, trading_state,"
                " last_seq, fence, open_orders) VALUES"
                " ('a', 'tenant', 'A', 'USD', 'paper', '1', 'HALTED', 0, 0, 0),"
                " ('b', 'tenant', 'B', 'USD', 'paper', '1', 'ACTIVE', 0, 0, 0)"
            ),
        ):
            connection.text(statement)

    database = SqliteDatabase(tmp_path / "store.sqlite3")
    await database.write(before)
    await database.close()
    store = await opened(tmp_path)
    states = await store.scopes.trading_states()
    await store.close()

    assert {k: v.state for k, v in states.current.items()} == {
        Scope(ScopeKind.ACCOUNT, A): TradingState.HALTED
    }
