"""The sealer leaves the processor to others, also while it has a long past to catch up with."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from trading.audit import Page, Seal, genesis
from trading.sealing import (
    EVERY_S,
    RECORDS_A_ROUND,
    RECORDS_AT_ONCE,
    REST_MAX_S,
    Head,
    Sealer,
)

CHAIN = "account:a"
PAGES = RECORDS_A_ROUND // RECORDS_AT_ONCE


@dataclass
class Worked:
    """A clock that sleep and work move, and that knows which of them."""

    time: int = 0
    pauses: list[float] = field(default_factory=list)

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += int(seconds * 1_000_000_000)
        if len(self.pauses) == 9:
            raise asyncio.CancelledError


@dataclass
class Past:
    """One chain of so many records, each page of which takes a while to read."""

    clock: Worked
    records: int
    page_ns: int
    sealed: int = 0

    async def unsealed(self, after: str, first: int) -> Sequence[Head]:
        del after, first
        left = self.sealed < self.records
        return [Head(CHAIN, self.sealed, genesis(CHAIN))] if left else []

    async def leaves(self, head: Head, first: int) -> Sequence[tuple[int, bytes]]:
        self.clock.time += self.page_ns
        last = min(head.last + first, self.records)
        return [(at, bytes(32)) for at in range(head.last + 1, last + 1)]

    async def newest(self) -> Seal | None:
        return None

    async def add(self, seal: Seal, pages: Sequence[Page]) -> bool:
        del seal
        self.sealed += sum(len(page.leaves) for page in pages)
        return True


class Signing:
    def sign(self, statement: bytes) -> str:
        return statement.hex()


async def sealed(past: Past) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await Sealer(seals=past, signer=Signing(), clock=past.clock).run()


async def test_a_long_past_is_sealed_in_a_fifth_of_the_time() -> None:
    past = Past(Worked(), records=5 * RECORDS_A_ROUND + 1, page_ns=5_000_000)
    await sealed(past)

    assert past.sealed == past.records
    behind, level = past.clock.pauses[:5], past.clock.pauses[5:]
    assert behind == [4 * PAGES * past.page_ns / 1_000_000_000] * 5
    assert level == [EVERY_S] * 4


async def test_a_slow_machine_keeps_up_with_a_busy_account() -> None:
    """Six hundred orders in a second are 1,800 records."""
    past = Past(Worked(), records=1_000 * RECORDS_A_ROUND, page_ns=30_000_000)
    await sealed(past)

    assert set(past.clock.pauses) == {REST_MAX_S}
    assert past.sealed / (past.clock.time / 1_000_000_000) > 1_800
