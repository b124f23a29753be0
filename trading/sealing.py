"""The sealer: it chains what was committed a moment ago, and signs for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from trading.audit import Page, Seal, linked, merkle_root
from trading.ports import Clock
from trading.store import StoreUnavailable

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""How long after a commit its records are unsealed, while the sealer keeps up."""

CHAINS_AT_ONCE = 64
RECORDS_AT_ONCE = 100
"""How many records are read and hashed in one go, which holds up all else in the process."""

RECORDS_A_ROUND = 1_000
"""How many a seal covers while more waits for it: that of one busy account, or of many."""

_PAUSE_S = 0.05
_REST = 4
"""Times as long as it took to seal, of what is left to others while more waits for it."""

REST_MAX_S = 0.25
"""And no longer: where everything takes long, a busy account's records come as fast as ever."""
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain is sealed: its last position, and the hash after it."""

    chain: str
    last: int
    hash: bytes


class Seals(Protocol):
    """The records as sealers see them."""

    async def unsealed(self, after: str, first: int) -> Sequence[Head]:
        """Return chains after one, by name, that go on beyond their sealed heads."""

    async def leaves(self, head: Head, first: int) -> Sequence[tuple[int, bytes]]:
        """Return what comes after a head: positions in their order, with their leaves."""

    async def newest(self) -> Seal | None:
        """Return the last seal."""

    async def add(self, seal: Seal, pages: Sequence[Page]) -> bool:
        """Add a seal with its pages, all or nothing; False where another process was first."""


class Signer(Protocol):
    """What signs seals."""

    def sign(self, statement: bytes) -> str:
        """Return a signature that contains the statement."""


class Sealer:
    """Seals what is committed, a bounded number of records at a time.

    It runs beside the order path and takes no lock of it. Two at once do no harm: a seal has a
    number that one of them is first to take.
    """

    def __init__(self, *, seals: Seals, signer: Signer, clock: Clock) -> None:
        """Take the records, the key, and the clock."""
        self._seals = seals
        self._signer = signer
        self._clock = clock
        self._after = ""

    async def run(self) -> None:
        """Seal for ever."""
        while True:
            began = self._clock.monotonic()
            try:
                sealed = await self.seal()
            except StoreUnavailable as error:
                logger.warning("what was recorded is not sealed yet: %s", error)
                sealed = 0
            # Most of the time is left to others also while there is a past to be caught up with.
            took = (self._clock.monotonic() - began) / _NS_PER_S
            rest = min(max(_REST * took, _PAUSE_S), REST_MAX_S)
            await self._clock.sleep(EVERY_S if sealed < RECORDS_AT_ONCE else rest)

    async def seal(self) -> int:
        """Seal what is there, up to the bounds; return how many records that were."""
        newest = await self._seals.newest()
        heads = await self._next()
        share = RECORDS_A_ROUND // max(len(heads), 1)
        made = [await self._page(head, share) for head in heads]
        pages = [page for page in made if page is not None]
        if not pages:
            return 0
        seal = self._signed(newest, pages)
        if not await self._seals.add(seal, pages):
            return 0
        # What is kept elsewhere too shows that nothing was cut off here: logs leave this machine.
        logger.info("seal %d %s", seal.number, seal.digest)
        return sum(len(page.leaves) for page in pages)

    async def _next(self) -> Sequence[Head]:
        """Take chains in turn, so that busy ones do not keep the others waiting."""
        found = await self._seals.unsealed(self._after, CHAINS_AT_ONCE)
        if len(found) < CHAINS_AT_ONCE and self._after:
            found = [*found, *await self._seals.unsealed("", CHAINS_AT_ONCE - len(found))]
        self._after = found[-1].chain if len(found) >= CHAINS_AT_ONCE else ""
        return list({head.chain: head for head in found}.values())

    async def _page(self, head: Head, share: int) -> Page | None:
        leaves: list[bytes] = []
        more = True
        while more:
            fresh = await self._leaves(replace(head, last=head.last + len(leaves)))
            leaves += fresh
            more = len(fresh) == RECORDS_AT_ONCE and len(leaves) < share
        if not leaves:
            return None
        first = head.last + 1
        return Page(head.chain, first, tuple(leaves), linked(head.hash, first, leaves))

    async def _leaves(self, head: Head) -> list[bytes]:
        """Read the leaves after a position, as far as they follow without a gap."""
        found = await self._seals.leaves(head, RECORDS_AT_ONCE)
        leaves = [
            leaf for at, (position, leaf) in enumerate(found, 1) if position == head.last + at
        ]
        if len(leaves) < len(found):
            # It stays unsealed, so that `audit verify` goes on naming it.
            logger.error("%s lacks the record %d", head.chain, head.last + len(leaves) + 1)
        return leaves

    def _signed(self, newest: Seal | None, pages: Sequence[Page]) -> Seal:
        seal = Seal(
            number=newest.number + 1 if newest else 1,
            at=self._clock.now(),
            previous=newest.digest if newest else "",
            root=merkle_root([page.digest for page in pages]).hex(),
            pages=len(pages),
        )
        return replace(seal, signature=self._signer.sign(seal.statement))
