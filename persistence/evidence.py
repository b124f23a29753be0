"""What monitors read: facts and the running ledger as of one moment, without a lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.database import Database
from persistence.exposure import checkpoints, fills, fills_numbered, keep
from persistence.limits import KnownLimits
from persistence.loading import load
from persistence.mapping import ACCOUNTS, BREAKS, ORDERS, POSITIONS
from persistence.within import within
from trading.books import Books, Wants
from trading.execution import Break, BreakKind
from trading.exposure import Fold, Ledger, Traded, by_account
from trading.ids import AccountID
from trading.instrument import Catalogue

_ACCOUNTS = (
    ACCOUNTS.select().where(within(tables.accounts.c.id, "accounts")).order_by(tables.accounts.c.id)
)
_POSITIONS = POSITIONS.select().where(within(tables.positions.c.account_id, "accounts"))
_OPEN_ORDERS = ORDERS.select().where(
    within(tables.orders.c.account_id, "accounts"), tables.OPEN_ORDER
)
_NEWEST = (
    sa.select(sa.func.max(tables.breaks.c.id))
    .where(within(tables.breaks.c.account_id, "accounts"), within(tables.breaks.c.kind, "kinds"))
    .group_by(tables.breaks.c.account_id)
)
_NEWEST_BREAKS = BREAKS.select().where(tables.breaks.c.id.in_(_NEWEST))


class SqlEvidence:
    """Implements `trading.store.Evidence`."""

    def __init__(self, database: Database, catalogue: Catalogue, known: KnownLimits) -> None:
        """Take the database, the instruments, and the limits known in this process."""
        self._database = database
        self._catalogue = catalogue
        self._known = known

    async def books(self, accounts: Collection[AccountID]) -> Books:
        """Return accounts with positions, marks and limits as of one moment: only to look at."""
        return await self._database.read(_books, self._catalogue, self._known, accounts)

    async def ledger(self, account_id: AccountID, after_seq: int, first: int) -> Ledger:
        """Return an account's ledger and its first fills after a number, as of one moment."""
        return await self._database.read(_ledger, account_id, after_seq, first)

    async def ledgers(self, after_seqs: Mapping[AccountID, int]) -> Sequence[Ledger]:
        """Return accounts' ledgers and all fills after a number of each, as of one moment."""
        return await self._database.read(_ledgers, after_seqs)

    async def fills(
        self, account_id: AccountID, after_seq: int, until_seq: int, first: int
    ) -> Sequence[Traded]:
        """Return an account's first fills after a sequence number, and up to another one."""
        return await self._database.read(fills, account_id, after_seq, until_seq, first)

    async def checkpoints(self, accounts: Collection[AccountID]) -> Mapping[AccountID, Fold]:
        """Return where earlier monitors got to with each account; absent if nowhere."""
        return await self._database.read(checkpoints, accounts)

    async def keep(self, account_id: AccountID, fold: Fold, epoch: int) -> None:
        """Keep a checkpoint, unless a session's later owner has kept one; waits for no lock."""
        await self._database.write(keep, account_id, fold, epoch)

    async def newest_breaks(
        self, accounts: Collection[AccountID], kinds: Collection[BreakKind]
    ) -> Sequence[Break]:
        """Return the newest break of these kinds of each account that has one."""
        values = {"accounts": accounts, "kinds": [kind.value for kind in kinds]}
        return await self._database.read(Connection.items, BREAKS, _NEWEST_BREAKS, values)


def _books(
    connection: Connection,
    catalogue: Catalogue,
    known: KnownLimits,
    accounts: Collection[AccountID],
) -> Books:
    found = connection.items(ACCOUNTS, _ACCOUNTS, {"accounts": accounts})
    named = {account.id: account for account in found}
    return load(connection, catalogue, known, named, Wants(accounts=frozenset(named)))


def _ledger(connection: Connection, account_id: AccountID, after_seq: int, first: int) -> Ledger:
    mine = {"accounts": [account_id]}
    [account] = connection.items(ACCOUNTS, _ACCOUNTS, mine)
    later = fills(connection, account_id, after_seq, account.last_seq, first + 1)
    return Ledger(
        account=account,
        positions=connection.items(POSITIONS, _POSITIONS, mine),
        open_orders=connection.items(ORDERS, _OPEN_ORDERS, mine),
        fills=later[:first],
        has_next=len(later) > first,
    )


def _ledgers(connection: Connection, after_seqs: Mapping[AccountID, int]) -> Sequence[Ledger]:
    mine = {"accounts": list(after_seqs)}
    accounts = connection.items(ACCOUNTS, _ACCOUNTS, mine)
    numbers = [
        (account.id, seq)
        for account in accounts
        for seq in range(after_seqs[account.id] + 1, account.last_seq + 1)
    ]
    traded = fills_numbered(connection, numbers) if numbers else {}
    positions = by_account(connection.items(POSITIONS, _POSITIONS, mine))
    open_orders = by_account(connection.items(ORDERS, _OPEN_ORDERS, mine))
    return [
        Ledger(
            account=account,
            positions=positions.get(account.id, []),
            open_orders=open_orders.get(account.id, []),
            fills=traded.get(account.id, []),
        )
        for account in accounts
    ]
