"""The verifier: it recomputes what was sealed, and names every record that does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trading.audit import Content, Page, Seal, account_of, genesis, leaf, linked, merkle_root

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Sealed:
    """A page with the number of its seal, and its place in that seal's tree."""

    page: Page
    seal: int
    place: int


class Record(Protocol):
    """All that is recorded and sealed."""

    async def seals(self, after: int, first: int) -> Sequence[Seal]:
        """Return seals after a number."""

    async def pages_of_seal(self, number: int) -> Sequence[Page]:
        """Return the pages of a seal, in the order of its tree."""

    async def records(self, chain: str, after: int, first: int) -> Sequence[tuple[int, Content]]:
        """Return the records of a chain after a position, in their order."""

    async def ends(self) -> Mapping[str, int]:
        """Return the position that each chain has got to, by what its account says."""


class Signatures(Protocol):
    """What verifies signatures."""

    def verify(self, signature: str) -> bytes:
        """Return the statement that was signed. Raises ValueError, which says what is wrong."""


@dataclass
class Verification:
    """One go through the record. `anchors` are seals known from elsewhere: hashes by number."""

    record: Record
    signatures: Signatures
    anchors: Mapping[int, str] = field(default_factory=dict)
    seals: int = 0
    sealed: int = 0
    unsealed: int = 0
    _heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    async def findings(self) -> AsyncIterator[str]:
        """Name what does not fit, one line each; nothing, where all does."""
        before: Seal | None = None
        while seals := await self.record.seals(before.number if before else 0, _AT_ONCE):
            for seal in seals:
                pages = await self.record.pages_of_seal(seal.number)
                for finding in self._of_seal(before, seal, pages):
                    yield finding
                for page in pages:
                    async for finding in self._of_page(seal, page):
                        yield finding
                before = seal
                self.seals += 1
        for number, _ in sorted(self.anchors.items()):
            if before is None or number > before.number:
                yield f"seal {number} is missing: it was there when its hash was noted"
        async for finding in self._of_ends():
            yield finding

    def _of_seal(self, before: Seal | None, seal: Seal, pages: Sequence[Page]) -> Iterator[str]:
        name = f"seal {seal.number}"
        expected = before.number + 1 if before else 1
        if seal.number != expected:
            yield f"seal {expected} is missing"
        elif seal.previous != (before.digest if before else ""):
            yield f"{name} does not follow the one before it"
        yield from _signature(self.signatures, seal)
        if len(pages) != seal.pages or seal.root != merkle_root([p.digest for p in pages]).hex():
            yield f"{name}: its pages are not those that were signed for"
        if self.anchors.get(seal.number, seal.digest) != seal.digest:
            yield f"{name} is not the one whose hash was noted"

    async def _of_page(self, seal: Seal, page: Page) -> AsyncIterator[str]:
        last, head = self._heads.get(page.chain, (0, genesis(page.chain)))
        if page.first != last + 1 or linked(head, page.first, page.leaves) != page.head:
            place = _place(page.chain, page.first)
            yield f"{place}: seal {seal.number} does not go on where the chain ended"
        self._heads[page.chain] = (page.last, page.head)
        self.sealed += len(page.leaves)
        count = len(page.leaves)
        found = {
            position: leaf(content)
            for position, content in await self.record.records(page.chain, page.first - 1, count)
            if position <= page.last
        }
        for finding in _differences(page, found):
            yield f"{finding} (seal {seal.number})"

    async def _of_ends(self) -> AsyncIterator[str]:
        """Look at what comes after the last seal, and for chains that end too early."""
        ends = dict(await self.record.ends())
        for chain, (last, _) in self._heads.items():
            if ends.get(chain, 0) < last:
                yield f"{_name(chain)} ends at {ends.get(chain, 0)}, and was sealed up to {last}"
        for chain, end in ends.items():
            last, _ = self._heads.get(chain, (0, b""))
            async for finding in self._of_rest(chain, last, end):
                yield finding

    async def _of_rest(self, chain: str, last: int, end: int) -> AsyncIterator[str]:
        while found := await self.record.records(chain, last, _AT_ONCE):
            for position, _ in found:
                # Of what was recorded since, the end was read before.
                if position != last + 1:
                    yield f"{_place(chain, last + 1)} is missing (not sealed yet)"
                last = position
                self.unsealed += 1
        if last < end:
            yield f"{_place(chain, last + 1)} is missing (not sealed yet)"


def _signature(signatures: Signatures, seal: Seal) -> Iterator[str]:
    try:
        if signatures.verify(seal.signature) != seal.statement:
            yield f"seal {seal.number} was changed after it was signed"
    except ValueError as error:
        yield f"seal {seal.number}: {error}"


def _differences(page: Page, found: Mapping[int, bytes]) -> Iterator[str]:
    positions = {each: position for position, each in enumerate(page.leaves, page.first)}
    for position, expected in enumerate(page.leaves, page.first):
        place, actual = _place(page.chain, position), found.get(position)
        if actual is None:
            yield f"{place} is missing"
        elif actual != expected and actual in positions:
            yield f"{place} holds what was recorded as {positions[actual]}: reordered"
        elif actual != expected:
            yield f"{place} was changed after it was sealed"


def _place(chain: str, position: int) -> str:
    unit = "act" if account_of(chain) is None else f"{_name(chain)} seq"
    return f"{unit} {position}"


def _name(chain: str) -> str:
    account_id = account_of(chain)
    return "the record of acts" if account_id is None else f"account {account_id}"
