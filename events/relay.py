"""The relay: what the outbox holds goes to the bus in order, many commits in one message.

A message costs the bus and its readers as much as a whole order, whatever it carries; so whatever
has come together since the last one goes out as the next.

A row is marked after it was published, and rows are marked together, because each mark is a commit
and the orders have better use for those. A crash in between publishes them again: consumers drop
what they have by (account, seq). The relay decides nothing and is never waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from events.codec import Channel, ReportBatch, Reports, StateChanges, encode
from trading.control import TradingStateChange
from trading.execution import Report
from trading.ids import AccountID
from trading.ports import Clock
from trading.probe import NO_PROBE, Leg, Probe
from trading.store import Reads, StoreUnavailable

logger = logging.getLogger(__name__)

POLL_S = 0.25
ROWS_PER_ROUND = 128
REPORTS_PER_MESSAGE = 256
TRACES_PER_MESSAGE = 32
STATES_KEPT = 1024
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0

type _Log = dict[tuple[AccountID, int], Report]


class OutboxRow(Protocol):
    """What one commit recorded of one account: its reports `first_seq` to `last_seq`."""

    @property
    def id(self) -> int:
        """The row's own number, which rises with the commits of an account."""

    @property
    def account_id(self) -> AccountID:
        """The account."""

    @property
    def first_seq(self) -> int:
        """The first report."""

    @property
    def last_seq(self) -> int:
        """The last report, that one included."""

    @property
    def traceparents(self) -> str | None:
        """The traces that the reports belong to, with a blank between them."""


class Outbox(Protocol):
    """The rows that commits have left to be published."""

    async def pending(self, limit: int) -> Sequence[OutboxRow]:
        """Return the oldest rows that are not published, in order."""

    async def published(self, ids: Collection[int]) -> None:
        """Mark rows as published."""


class BusUnavailable(Exception):
    """The bus did not take a message, or did not say so in time: it may come twice."""


class Bus(Protocol):
    """What carries messages to every process, or to this one alone."""

    async def publish(
        self, channel: Channel, message: bytes, traceparent: str | None = None
    ) -> None:
        """Hand a message over, within bounds of time. Raises BusUnavailable.

        `traceparent` is of the span that publishes it, for whoever consumes it elsewhere.
        """


class Relay:
    """Publishes the outbox: rung after each commit, and looking by itself four times a second.

    It is the Doorbell that the core rings. A bus that fails is tried again after a pause that
    grows from 0.1 to 5 seconds, from the row at which it failed.

    `is_followed` says whether anybody can hear of an account. Only a bus within this process knows
    that; there, rows that nobody hears of are passed over, unread. Who begins to follow an account
    reads its log first, and so misses nothing by it.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        reads: Reads,
        bus: Bus,
        clock: Clock,
        is_followed: Callable[[AccountID], bool] = lambda _: True,
        probe: Probe = NO_PROBE,
    ) -> None:
        """Take its parts; nothing runs before `run`."""
        self._outbox, self._reads, self._bus, self._clock = outbox, reads, bus, clock
        self._is_followed, self._probe = is_followed, probe
        self._rung = asyncio.Event()
        self._states: deque[TradingStateChange] = deque(maxlen=STATES_KEPT)
        self._unmarked: set[int] = set()
        self._is_time_to_mark = False

    def ring(self, accounts: Collection[AccountID]) -> None:
        """Say that these accounts have new reports. Never blocks, never fails."""
        if any(map(self._is_followed, accounts)):
            self._rung.set()

    def ring_states(self, changes: Sequence[TradingStateChange]) -> None:
        """Say that trading states changed. Never blocks, never fails."""
        self._states.extend(changes)
        self._rung.set()

    def ring_session(self, broker: str) -> None:
        """Do nothing: in a process without others, whoever queues a command owns the session."""

    async def run(self) -> None:
        """Relay until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_by_itself())
            tasks.create_task(self._relay())

    async def _look_by_itself(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            self._is_time_to_mark = True
            self._rung.set()

    async def _relay(self) -> None:
        pause_s = PAUSE_MIN_S
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._drain()
                pause_s = PAUSE_MIN_S
                continue
            except (BusUnavailable, StoreUnavailable) as error:
                logger.warning("publishing waits %.1f s: %s", pause_s, error)
            except Exception:
                logger.exception("publishing failed, next try in %.1f s", pause_s)
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            self._rung.set()

    async def _drain(self) -> None:
        await self._publish_states()
        while await self._publish_rows():
            await self._publish_states()

    async def _publish_states(self) -> None:
        # First of all, because a halt is the most urgent news; taken off only once it is out.
        while changes := tuple(self._states):
            await self._bus.publish(Channel.STATES, encode(StateChanges(changes)))
            for _ in changes:
                self._states.popleft()

    async def _publish_rows(self) -> bool:
        """Publish a bounded number of rows; tell whether there may be more."""
        limit = ROWS_PER_ROUND + len(self._unmarked)
        pending = await self._outbox.pending(limit)
        rows = [row for row in pending if row.id not in self._unmarked]
        wanted = [row for row in rows if self._is_followed(row.account_id)]
        self._unmarked |= {row.id for row in rows} - {row.id for row in wanted}
        for part in _parted(wanted):
            await self._send(part)
        if self._is_time_to_mark or len(self._unmarked) >= ROWS_PER_ROUND:
            await self._mark()
        return len(pending) == limit

    async def _send(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows as one message, and wait until the bus has it.

        What comes after one that failed waits for it: it would come too early.
        """
        log = await self._read(rows)
        for message in _messages(rows, log):
            about: Mapping[str, str | int] = {"channel": Channel.REPORTS, "reports": len(log)}
            with ExitStack() as legs:
                begun = (self._probe.begin(Leg.PUBLISH, each, **about) for each in _traces(rows))
                spans = [legs.enter_context(span) for span in begun]
                traceparent = spans[0].traceparent if spans else None
                await self._bus.publish(Channel.REPORTS, message, traceparent)
        self._unmarked.update(row.id for row in rows)

    async def _mark(self) -> None:
        self._is_time_to_mark = False
        if self._unmarked:
            await self._outbox.published(frozenset(self._unmarked))
            self._unmarked.clear()

    async def _read(self, rows: Sequence[OutboxRow]) -> _Log:
        keys = [(row.account_id, seq) for row in rows for seq in _seqs(row)]
        log: _Log = {}
        for first in range(0, len(keys), REPORTS_PER_MESSAGE):
            found = await self._reads.reports_at(keys[first : first + REPORTS_PER_MESSAGE])
            log |= {(report.account_id, report.seq): report for report in found}
        return log


def _traces(rows: Iterable[OutboxRow]) -> Sequence[str]:
    """Return the traces of rows, each once, as many as one message is told of to them."""
    found = dict.fromkeys(each for row in rows for each in (row.traceparents or "").split())
    return list(found)[:TRACES_PER_MESSAGE]


def _seqs(row: OutboxRow) -> range:
    return range(row.first_seq, row.last_seq + 1)


def _parted(rows: Iterable[OutboxRow]) -> Iterator[Sequence[OutboxRow]]:
    """Part rows in their order, so that each part is a message of a bounded size, or one commit."""
    part: list[OutboxRow] = []
    count = 0
    for row in rows:
        if part and count + len(_seqs(row)) > REPORTS_PER_MESSAGE:
            yield part
            part, count = [], 0
        part.append(row)
        count += len(_seqs(row))
    if part:
        yield part


def _messages(rows: Sequence[OutboxRow], log: _Log) -> Iterator[bytes]:
    """Write rows as one message; where that fails, each alone, so that one holds up no others.

    Nothing is lost by one that is passed over: subscribers find its reports in the log.
    """
    try:
        yield encode(Reports(tuple(_batches(rows, log))))
    except (LookupError, TypeError, ValueError):
        if len(rows) == 1:
            (row,) = rows
            logger.exception("outbox row %d of account %s is passed over", row.id, row.account_id)
        else:
            for row in rows:
                yield from _messages([row], log)


def _batches(rows: Iterable[OutboxRow], log: _Log) -> Iterator[ReportBatch]:
    """Put the reports of each account together: its rows follow on one another."""
    reports: dict[AccountID, list[Report]] = {}
    for row in rows:
        theirs = [log[row.account_id, seq] for seq in _seqs(row)]
        reports.setdefault(row.account_id, []).extend(theirs)
    for account_id, each in reports.items():
        yield ReportBatch(account_id, tuple(each))
