"""Whatever the books hold, they hold it again after a transaction has saved and another loaded."""

import asyncio
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence import mapping
from persistence.account import Tenant
from persistence.store import SqlStore
from tests.persistence.conftest import lent_store
from tests.persistence.samples import account
from tests.persistence.test_mapping import items
from trading.books import Books, Wants
from trading.execution import ExecutionReport
from trading.ids import AccountID, ClOrdID, ExecID, OrderID, TenantID, WireID

# The numbers rise over all examples, so that they can share one store.
SERIAL = count(1)


@st.composite
def filled_books(draw: st.DrawFn) -> Books:
    """Draw books of one or two accounts, with values of every kind and references that hold."""
    run = next(SERIAL)
    books = Books(catalogue=None)  # type: ignore[arg-type]  # compared by what is stored
    for number in range(draw(st.integers(1, 2))):
        drawn = draw(items(mapping.ACCOUNTS))
        name, tenant = AccountID(f"{run}-{number}"), TenantID(f"{run}")
        books.put_account(
            replace(
                drawn, id=name, tenant_id=tenant, last_seq=max(drawn.last_seq, 0), open_orders=1
            )
        )
        for nth in range(draw(st.integers(0, 2))):
            _draw_order(draw, books, name, f"{name}-{nth}")
        for position in draw(st.lists(items(mapping.POSITIONS), max_size=2)):
            mine = replace(position, account_id=name)
            books.positions[name, mine.symbol] = mine
            books.changed_positions.add((name, mine.symbol))
    return books


def _draw_order(draw: st.DrawFn, books: Books, account_id: AccountID, name: str) -> None:
    ids: dict[str, Any] = {"account_id": account_id, "order_id": OrderID(name)}
    wire_id, tenant_id = WireID(name), books.accounts[account_id].tenant_id
    drawn = draw(items(mapping.ORDERS))
    order = replace(
        drawn, id=ids["order_id"], account_id=account_id, tenant_id=tenant_id, wire_id=wire_id
    )
    books.orders[order.id] = order
    books.changed_orders.add(order.id)
    asked = draw(items(mapping.COMMANDS))
    books.put_command(replace(asked, wire_id=wire_id, attempt=max(asked.attempt, 0), **ids))
    seq = len(books.new_reports) + 1
    rejected = draw(items(mapping.CANCEL_REJECTS, full=True))
    answer = replace(rejected, seq=seq, tenant_id=tenant_id, **ids)
    books.new_reports.append(answer)
    books.cancel_rejects[account_id, seq] = answer
    claimed = draw(items(mapping.CLAIMS))
    books.put_claim(replace(claimed, cl_ord_id=ClOrdID(name), reject_seq=seq, **ids))
    told = draw(items(mapping.EXECUTION_REPORTS, full=True))
    books.new_reports.append(replace(told, seq=seq + 1, tenant_id=tenant_id, **ids))
    happened = replace(draw(items(mapping.FILLS)), seq=seq + 1, exec_id=ExecID(name), **ids)
    books.new_fills.append(happened)
    books.fills[order.id] = [happened]
    books.new_broker_keys.append(name)
    books.seen_keys.add(name)


async def saved_and_loaded(store: SqlStore, books: Books) -> Books:
    accounts = frozenset(books.accounts)
    tenant = Tenant(id=next(iter(books.accounts.values())).tenant_id, name="any")
    fresh = [account(each, tenant_id=tenant.id) for each in sorted(accounts)]
    await store.accounts.add_tenant(tenant, fresh, [], [])
    async with store.transaction() as transaction:
        await transaction.lock(accounts)
        await transaction.save(books)
    async with store.transaction() as transaction:
        await transaction.lock(accounts)
        return await transaction.load(
            Wants(
                accounts=accounts,
                cl_ord_ids=frozenset(books.claims),
                wire_ids=frozenset(books.commands),
                fills_of=frozenset(books.commands),
                broker_keys=frozenset(books.seen_keys),
            )
        )


def test_books_come_back_as_they_were_saved(origin: Path | str, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        lent = lent_store(origin, tmp_path)
        store = runner.run(lent.__aenter__())

        @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
        @given(filled_books())
        def check(books: Books) -> None:
            found = runner.run(saved_and_loaded(store, books))
            logged = runner.run(_log(store, books))

            for name in ("accounts", "orders", "commands", "claims", "positions", "fills"):
                assert getattr(found, name) == getattr(books, name)
            assert found.cancel_rejects == books.cancel_rejects
            assert found.seen_keys == books.seen_keys
            assert logged == sorted(books.new_reports, key=lambda each: (each.account_id, each.seq))

        try:
            check()
        finally:
            runner.run(lent.__aexit__(None, None, None))


async def _log(store: SqlStore, books: Books) -> list[ExecutionReport | Any]:
    pages = [await store.reads.reports(each, 0, 99) for each in sorted(books.accounts)]
    return [report for page in pages for report in page.items]
