"""Inboxes: what one subscriber has not yet taken of the news, bounded whatever it does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from events.codec import ReportBatch
from trading.execution import Report
from trading.ids import InstrumentID
from trading.quote import Quote

REPORTS_KEPT = 1024


class Inbox:
    """A bell that news rings and one subscriber waits for. Nothing that rings it ever waits."""

    def __init__(self) -> None:
        """Start silent and open."""
        self._bell = asyncio.Event()
        self.is_open = True

    def ring(self) -> None:
        """Wake the subscriber."""
        self._bell.set()

    def close(self) -> None:
        """Wake the subscriber for the last time."""
        self.is_open = False
        self.ring()

    async def wait(self) -> None:
        """Wait for news since the last wait."""
        if self.is_open:
            await self._bell.wait()
            self._bell.clear()


class ReportInbox(Inbox):
    """Reports of one account as they come, and the account's head as far as it is known.

    For a subscriber that is slower than the news only the head moves on: it is behind, and reads
    the log.
    """

    def __init__(self) -> None:
        """Start empty, knowing of no report."""
        super().__init__()
        self._reports: deque[Report] = deque()
        self.head = 0

    def hear(self, batch: ReportBatch) -> None:
        """Take in a batch, which may come late, twice or out of turn."""
        if len(self._reports) + len(batch.reports) <= REPORTS_KEPT:
            self._reports.extend(batch.reports)
        self.hear_head(batch.last_seq)

    def hear_head(self, seq: int) -> None:
        """Take in that the account has a report of this number."""
        if seq > self.head:
            self.head = seq
            self.ring()

    def after(self, seq: int) -> Report | None:
        """Take the report that follows, or None where it is not at hand; older ones are dropped."""
        while self._reports and self._reports[0].seq <= seq:
            self._reports.popleft()
        if self._reports and self._reports[0].seq == seq + 1:
            return self._reports.popleft()
        return None


class QuoteInbox(Inbox):
    """The latest quote of each symbol that its subscriber has not seen: never a backlog."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._latest: dict[InstrumentID, Quote] = {}

    def hear(self, quote: Quote) -> None:
        """Take in a quote in place of the one before, in whose turn it then stands."""
        self._latest[quote.symbol] = quote
        self.ring()

    def take(self) -> Quote | None:
        """Take the quote that has waited longest, or None."""
        return self._latest.pop(next(iter(self._latest))) if self._latest else None


class StateInbox(Inbox):
    """A bell that changes of an account's trading state ring."""


class Watch(Inbox):
    """What moves an account and its valuation: its reports, its state, and quotes of its symbols.

    Quotes only leave a mark, which `pulse` turns into a ring, so that they ring as seldom as it is
    called.
    """

    def __init__(self) -> None:
        """Start with the account unread."""
        super().__init__()
        self._is_stale = True
        self._has_moved = False
        self.head = 0
        self.symbols: frozenset[InstrumentID] = frozenset()

    def hear_head(self, seq: int) -> None:
        """Take in that the account has a report of this number."""
        if seq > self.head:
            self.head = seq
            self.hear()

    def hear(self) -> None:
        """Take in that the account is not what it was."""
        self._is_stale = True
        self.ring()

    def hear_quote(self) -> None:
        """Take in that a symbol of the account is quoted anew."""
        self._has_moved = True

    def pulse(self) -> None:
        """Ring if there was a quote since the last pulse."""
        if self._has_moved:
            self._has_moved = False
            self.ring()

    def take_stale(self) -> bool:
        """Tell whether the account must be read again, and take it as read."""
        is_stale, self._is_stale = self._is_stale, False
        return is_stale


class Subscribers[K, I: Inbox]:
    """Who listens to what: the open inboxes by their keys."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._inboxes: dict[K, set[I]] = {}

    def add(self, keys: Iterable[K], inbox: I) -> None:
        """Have an inbox hear these keys."""
        for key in keys:
            self._inboxes.setdefault(key, set()).add(inbox)

    def discard(self, keys: Iterable[K], inbox: I) -> None:
        """Have an inbox hear these keys no more."""
        for key in keys:
            inboxes = self._inboxes.get(key, set())
            inboxes.discard(inbox)
            if not inboxes:
                self._inboxes.pop(key, None)

    def __contains__(self, key: K) -> bool:
        """Tell whether anybody listens to a key."""
        return key in self._inboxes

    def of(self, key: K) -> Iterable[I]:
        """Return who listens to a key."""
        return self._inboxes.get(key, ())

    def keys(self) -> frozenset[K]:
        """Return all that is listened to."""
        return frozenset(self._inboxes)

    def all(self) -> set[I]:
        """Return every inbox once."""
        return {inbox for inboxes in self._inboxes.values() for inbox in inboxes}
