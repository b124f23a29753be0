"""Breaks of an account as a whole, which are found beside the order path, by comparing."""

from __future__ import annotations

from trading.books import Wants
from trading.execution import Break, BreakKind
from trading.ids import AccountID
from trading.ports import Clock
from trading.store import Store


async def raise_position_break(
    store: Store, clock: Clock, account_id: AccountID, detail: str
) -> None:
    """Keep a difference in an account's positions for a person to look at.

    Raises StoreUnavailable, and StoreBusy where the account is locked for long.
    """
    async with store.transaction() as transaction:
        await transaction.lock([account_id])
        books = await transaction.load(Wants(accounts=frozenset({account_id})))
        books.new_breaks.append(
            Break(
                kind=BreakKind.POSITION,
                account_id=account_id,
                order_id=None,
                detail=detail,
                raised_at=clock.now(),
            )
        )
        await transaction.save(books)
