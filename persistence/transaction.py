"""One transaction of the store: lock the accounts, load what is asked for, save what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from persistence.database import OpenTransaction
from persistence.limits import KnownLimits
from persistence.loading import load, lock
from persistence.saving import save
from trading.account import Account
from trading.books import Books, Wants
from trading.execution import Report
from trading.ids import AccountID
from trading.instrument import Catalogue


class SqlTransaction:
    """Implements `trading.store.Transaction`: it sees the accounts that it has locked, no others.

    Each step is one job.
    """

    def __init__(self, steps: OpenTransaction, catalogue: Catalogue, known: KnownLimits) -> None:
        """Take the transaction whose steps these are, and the limits that are known already."""
        self._steps = steps
        self._catalogue = catalogue
        self._known = known
        self._asked: frozenset[AccountID] = frozenset()
        self._locked: Mapping[AccountID, Account] = {}
        self.recorded: list[Report] = []
        """The reports that are to be saved."""

    async def lock(self, accounts: Collection[AccountID]) -> None:
        """Lock the account rows in the order of their ids; always first, and nothing else."""
        self._asked = frozenset(accounts)
        self._locked = await self._steps.do(lock, self._asked)

    async def load(self, wants: Wants) -> Books:
        """Read what was asked for, of the locked accounts. Raises ValueError for one not locked."""
        if unlocked := wants.accounts - self._asked:
            raise ValueError(f"lock accounts before loading them: {', '.join(sorted(unlocked))}")
        return await self._steps.do(load, self._catalogue, self._known, self._locked, wants)

    async def save(self, books: Books) -> None:
        """Have all changes of the books written with the commit, which fails where they do not fit.

        What raises IntegrityError then is a ClOrdID, a fill, a sequence number or a broker's event
        that is recorded already.
        """
        self.recorded += books.new_reports
        self._steps.later(save, books)
