"""Recomputation: exposure folded from fills, from a checkpoint on, and again from the first.

Whoever begins reads a checkpoint and what was filled since, a page at a time. A checkpoint is no
evidence for itself: beside it, slowly, all fills are folded anew, account after account, for ever.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trading.account import Account, Position
from trading.books import Books
from trading.exposure import Fold, Ledger, by_account, differences
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.store import Evidence, StoreUnavailable

logger = logging.getLogger(__name__)

PAGE = 500
"""Fills read at a time: some milliseconds, for which nothing else has its turn."""

KEPT_AFTER = 2_000
"""Fills after which a checkpoint is kept, and so the most of an account that is read again."""

_LONG = 20
"""Pages after which an account that is still behind is named: it is not watched meanwhile."""

_PROVE_EACH = 10
"""Steps for each page of a proof: what is behind is read first, and this is in no hurry."""

type _Standing = tuple[int, int, Sequence[Position]]
"""An account's last sequence number, its count of open orders, and its positions."""


@dataclass(slots=True, kw_only=True)
class Recomputation:
    """Folds the fills of accounts, and compares that with their running ledgers.

    `epoch` is that of the session's owner, whose checkpoints an earlier owner does not replace.
    `tell` hears of an account what does not agree, and hears it again until it has not failed.
    """

    evidence: Evidence
    catalogue: Catalogue
    epoch: int
    tell: Callable[[AccountID, str], Awaitable[None]]
    _folds: dict[AccountID, Fold] = field(default_factory=dict, init=False)
    _unkept: dict[AccountID, int] = field(default_factory=dict, init=False)
    _agreed: dict[AccountID, _Standing] = field(default_factory=dict, init=False)
    _behind: dict[AccountID, int] = field(default_factory=dict, init=False)
    _proofs: dict[AccountID, Fold] = field(default_factory=dict, init=False)
    _steps: int = field(default=0, init=False)

    async def look(self, seen: Books) -> None:
        """Compare each account that is not as it was when it agreed; read a page of it at most."""
        await self._begin(seen)
        positions = by_account(seen.positions.values())
        near, far = dict[AccountID, int](), list[AccountID]()
        for account in seen.accounts.values():
            standing = _standing(account, positions.get(account.id, ()))
            if account.id in self._behind or self._agreed.get(account.id) == standing:
                continue
            new = account.last_seq - self._read_to(account.id)
            if new < PAGE:
                near[account.id] = new
            else:
                far.append(account.id)
        for some in _pages(near):
            after_seqs = {account_id: self._read_to(account_id) for account_id in some}
            for ledger in await self.evidence.ledgers(after_seqs):
                await self._take(ledger)
        for account_id in far:
            await self._follow(account_id)

    async def step(self) -> None:
        """Read a page of an account that is behind; now and then, one of a proof."""
        if (account_id := next(iter(self._behind), None)) is not None:
            # To the end of the line, so that a short past need not wait for a long one.
            await self._follow(account_id, self._behind.pop(account_id))
        self._steps += 1
        if self._proofs and self._steps % _PROVE_EACH == 0:
            await self._prove(next(iter(self._proofs)))

    async def _begin(self, seen: Books) -> None:
        """Take up the checkpoints of accounts that were not looked at before."""
        fresh = seen.accounts.keys() - self._folds.keys()
        if not fresh:
            return
        kept = await self.evidence.checkpoints(fresh)
        for account_id in sorted(fresh):
            fold = kept.get(account_id, Fold())
            if fold.seq > seen.accounts[account_id].last_seq:
                logger.error("%s: its checkpoint is of a report that there is not", account_id)
                fold = Fold()
            self._folds[account_id] = fold
            self._proofs[account_id] = Fold()

    def _read_to(self, account_id: AccountID) -> int:
        """Return the number of the last report of which it is known whether it is a fill."""
        agreed, *_ = self._agreed.get(account_id, (0,))
        return max(self._folds[account_id].seq, agreed)

    async def _follow(self, account_id: AccountID, pages: int = 0) -> None:
        """Read a page of what is new, after so many others."""
        ledger = await self.evidence.ledger(account_id, self._folds[account_id].seq, PAGE)
        await self._take(ledger, pages)

    async def _take(self, ledger: Ledger, pages: int = 0) -> None:
        """Fold what is new; once nothing follows, compare."""
        account_id = ledger.account.id
        fold = self._folds[account_id] = self._folds[account_id].then(ledger.fills)
        self._unkept[account_id] = self._unkept.get(account_id, 0) + len(ledger.fills)
        if ledger.has_next:
            self._behind[account_id] = pages + 1
            if pages + 1 == _LONG:
                logger.warning("%s is not watched until more of its fills are read", account_id)
        elif details := differences(ledger, fold, self.catalogue):
            await self.tell(account_id, f"EXPOSURE: {'; '.join(details)}")
        else:
            self._agreed[account_id] = _standing(ledger.account, ledger.positions)
        if self._unkept[account_id] >= KEPT_AFTER:
            await self._keep(account_id)

    async def _prove(self, account_id: AccountID) -> None:
        """Fold another page of an account from its first fill on, and compare when it is level."""
        fold, proof = self._folds[account_id], self._proofs[account_id]
        fills = await self.evidence.fills(account_id, proof.seq, fold.seq, PAGE)
        proof = self._proofs[account_id] = proof.then(fills)
        if len(fills) == PAGE:
            return
        if details := fold.unlike(proof):
            await self.tell(account_id, f"CHECKPOINT: {'; '.join(details)}")
            # The facts are right. A person is told, and from here on the fold is theirs again.
            self._folds[account_id] = replace(proof, seq=fold.seq)
            self._agreed.pop(account_id, None)
            await self._keep(account_id)
        # From the beginning again, after all others.
        del self._proofs[account_id]
        self._proofs[account_id] = Fold()

    async def _keep(self, account_id: AccountID) -> None:
        """Keep a checkpoint; where the store is too busy for it now, the next page tries again."""
        try:
            await self.evidence.keep(account_id, self._folds[account_id], self.epoch)
        except StoreUnavailable as error:
            logger.warning("the checkpoint of %s is not kept: %s", account_id, error)
        else:
            self._unkept[account_id] = 0


async def recounted(
    evidence: Evidence, catalogue: Catalogue, account_id: AccountID
) -> AsyncIterator[tuple[int, list[str]]]:
    """Fold an account's fills from the first on, a page at a time, whatever was kept of them.

    Yield how many each page had, and what does not agree with them: the checkpoint, where the fold
    comes to it, and at the end the running ledger, as of one moment.
    """
    kept = (await evidence.checkpoints([account_id])).get(account_id, Fold())
    fold, has_next = Fold(), True
    while has_next and fold.seq < kept.seq:
        fills = await evidence.fills(account_id, fold.seq, kept.seq, PAGE)
        fold, has_next = fold.then(fills), len(fills) == PAGE
        yield len(fills), []
    yield 0, [f"CHECKPOINT: {each}" for each in kept.unlike(fold)]
    has_next = True
    while has_next:
        ledger = await evidence.ledger(account_id, fold.seq, PAGE)
        fold, has_next = fold.then(ledger.fills), ledger.has_next
        found = [] if has_next else differences(ledger, fold, catalogue)
        yield len(ledger.fills), [f"EXPOSURE: {each}" for each in found]


def _pages(near: Mapping[AccountID, int]) -> Iterator[Sequence[AccountID]]:
    """Put accounts together whose new reports, and they themselves, make a page."""
    page, size = list[AccountID](), 0
    for account_id, new in near.items():
        if page and size + new >= PAGE:
            yield page
            page, size = [], 0
        page.append(account_id)
        size += new + 1
    if page:
        yield page


def _standing(account: Account, positions: Sequence[Position]) -> _Standing:
    ordered = sorted(positions, key=lambda position: position.symbol)
    return account.last_seq, account.open_orders, ordered
