"""Live streams: the log first, then the news, and the log again wherever the news leaves a gap.

What is yielded comes from the store or has been checked against the store's sequence, so that a
bus which drops, repeats, delays or is gone costs time and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial

from events.broadcaster import News
from events.inbox import Inbox, ReportInbox, Watch
from trading.account import Account, Position
from trading.control import TradingStateChange
from trading.execution import Report
from trading.ids import AccountID, InstrumentID
from trading.outcome import CursorAhead, NotFound
from trading.ports import Clock, Quotes
from trading.quantity import ZERO, Px
from trading.quote import Quote
from trading.store import Reads, StoreUnavailable

logger = logging.getLogger(__name__)

POLL_S = 0.25
PULSE_NS = 1_000_000_000
REST_S = 0.05
PAGE = 500


class BrokenSequence(Exception):
    """The log itself has a gap. The stream ends, because it would otherwise skip a report."""


class LiveStreams:
    """The `Streams` of one process.

    Four times a second it asks the store, once for all accounts that somebody watches, how far
    they are. Each iterator is detached when it is closed, and all end when `run` does.
    """

    def __init__(self, *, reads: Reads, quotes: Quotes, news: News, clock: Clock) -> None:
        """Take its parts; without `run`, streams hear only what the bus brings."""
        self._reads, self._quotes, self._news, self._clock = reads, quotes, news, clock
        self._last_change: int | None = None
        self._pulsed_at = clock.monotonic()

    async def run(self) -> None:
        """Look after the streams until canceled, then end them."""
        is_failing = False
        try:
            while True:
                await self._clock.sleep(POLL_S)
                self._pulse()
                try:
                    await self._look()
                    is_failing = False
                except Exception as error:  # noqa: BLE001 - whatever it is, streams go on
                    if not is_failing:
                        _tell(error)
                    is_failing = True
        finally:
            self._news.close()

    def _pulse(self) -> None:
        if (now := self._clock.monotonic()) - self._pulsed_at >= PULSE_NS:
            self._pulsed_at = now
            self._news.pulse()

    async def _look(self) -> None:
        if watched := self._news.watched:
            self._news.hear_heads((await self._reads.heads(watched)).items())
        if self._news.watches_states:
            await self._look_for_changes()

    async def _look_for_changes(self) -> int:
        """Deal out the changes of trading state that are new; return the id of the newest."""
        last = self._last_change or 0
        while changes := await self._reads.state_changes(last):
            last = changes[-1].id
            if self._last_change is not None:
                self._news.hear_states(changes)
        self._last_change = max(last, self._last_change or 0)
        return self._last_change

    # --- reports ---------------------------------------------------------------------------------

    async def reports(self, account_id: AccountID, after_seq: int | None) -> AsyncIterator[Report]:
        """Yield reports after a sequence number, each once and in order; None is from now.

        Raises CursorAhead, BrokenSequence.
        """
        with self._news.reports_of(account_id) as inbox:
            inbox.hear_head(head := await self._head(account_id))
            last = head if after_seq is None else after_seq
            if last > head:
                raise CursorAhead(f"afterSeq is {last}, and the last report of the account {head}")
            while inbox.is_open:
                if (report := inbox.after(last)) is not None:
                    last = report.seq
                    yield report
                elif inbox.head > last:
                    for each in await self._log(account_id, last, inbox):
                        last = each.seq
                        yield each
                else:
                    await inbox.wait()

    async def _head(self, account_id: AccountID) -> int:
        return (await self._reads.heads({account_id})).get(account_id, 0)

    async def _log(
        self, account_id: AccountID, after_seq: int, inbox: ReportInbox
    ) -> Sequence[Report]:
        read = partial(self._reads.reports, account_id, after_seq, PAGE)
        page = (await self._patiently(read, inbox)).items
        if not page:
            # The news was of a report that the store does not show; its head will tell.
            inbox.head = after_seq
        for expected, report in enumerate(page, after_seq + 1):
            if report.seq != expected:
                raise BrokenSequence(f"account {account_id} has no report {expected}")
        return page

    async def _patiently[T](self, read: Callable[[], Awaitable[T]], inbox: Inbox) -> T:
        """Read, and read again while the store does not answer: a stream outlives that."""
        while True:
            try:
                return await read()
            except StoreUnavailable:
                if not inbox.is_open:
                    raise
                await self._clock.sleep(POLL_S)

    # --- quotes ----------------------------------------------------------------------------------

    async def quotes(self, symbols: Collection[InstrumentID]) -> AsyncIterator[Quote]:
        """Yield the last known quote of each symbol, then the latest whenever it has changed."""
        with self._news.quotes_of(symbols) as inbox:
            for symbol in symbols:
                # What was dealt out comes first: it keeps its order with what will be.
                if (known := self._news.last(symbol) or self._quotes.last(symbol)) is not None:
                    inbox.hear(known)
            shown: dict[InstrumentID, Quote] = {}
            while inbox.is_open:
                if (quote := inbox.take()) is None:
                    await inbox.wait()
                elif shown.get(quote.symbol) != quote:
                    shown[quote.symbol] = quote
                    yield quote

    # --- positions and accounts ------------------------------------------------------------------

    async def positions(self, account_id: AccountID) -> AsyncIterator[Position]:
        """Yield every position that was ever traded, then each that changes, or whose mark does.

        Between two looks lies a rest, so that a burst of reports costs one; marks are looked at
        once a second.
        """
        with self._news.watch(account_id) as watch:
            shown: dict[InstrumentID, tuple[Position, Px | None]] = {}
            while watch.is_open:
                if watch.take_stale():
                    held = await self._positions(account_id, watch)
                for position in held:
                    seen = position, self._mark(position)
                    if shown.get(position.symbol) != seen:
                        shown[position.symbol] = seen
                        yield position
                await self._clock.sleep(REST_S)
                await watch.wait()

    async def account(self, account_id: AccountID) -> AsyncIterator[Account]:
        """Yield the account, then again whenever it changes, or a mark that its equity rests on.

        Raises NotFound.
        """
        with self._news.watch(account_id) as watch:
            shown: tuple[Account, Sequence[Px | None]] | None = None
            while watch.is_open:
                if watch.take_stale():
                    account = await self._account(account_id, watch)
                    held = await self._positions(account_id, watch)
                seen = account, [self._mark(position) for position in held]
                if seen != shown:
                    shown = seen
                    yield account
                await self._clock.sleep(REST_S)
                await watch.wait()

    async def _account(self, account_id: AccountID, watch: Watch) -> Account:
        for account in await self._patiently(partial(self._reads.accounts, {account_id}), watch):
            return account
        raise NotFound("there is no such account")

    async def _positions(self, account_id: AccountID, watch: Watch) -> Sequence[Position]:
        """Read what was ever traded, and have the watch hear quotes of what is held."""
        found = await self._patiently(partial(self._reads.positions, {account_id}), watch)
        self._news.follow(watch, frozenset(each.symbol for each in found if each.net_qty != ZERO))
        return [each for each in found if each.as_of_seq > 0]

    def _mark(self, position: Position) -> Px | None:
        if position.net_qty == ZERO:
            return None
        quote = self._quotes.last(position.symbol)
        return quote.mid if quote else None

    # --- trading states --------------------------------------------------------------------------

    async def trading_states(
        self, accounts: Collection[AccountID]
    ) -> AsyncIterator[TradingStateChange]:
        """Yield changes of the trading state of these accounts, from now, each once, in order."""
        with self._news.states_of(accounts) as inbox:
            last = await self._look_for_changes()
            while inbox.is_open:
                await inbox.wait()
                read = self._reads.state_changes
                while changes := await self._patiently(partial(read, last), inbox):
                    last = changes[-1].id
                    for change in changes:
                        if change.account_id in accounts:
                            yield change


def _tell(error: Exception) -> None:
    """Log what keeps us from looking: an outage of the store is no defect of ours."""
    if isinstance(error, StoreUnavailable):
        logger.warning("news cannot be looked for in the store, tried again: %s", error)
    else:
        logger.error("looking for news in the store fails, tried again", exc_info=error)
