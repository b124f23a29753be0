"""The exchange's events as one client gets them over one link, faults and all."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from brokers.faults import BREAKS, Fault, FaultKind, FaultRun, Operation
from brokers.paper.journal import Journal
from brokers.paper.messages import Entry, Event, Report
from trading.execution import ExecType
from trading.ids import InstrumentID, WireID
from trading.ports import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way: after it, a client resumes behind the event numbered `cursor`.

    One that is not readable has to arrive as something of which the client can make no sense.
    """

    event: Event
    cursor: int
    is_readable: bool


class LinkBroken(Exception):
    """The fault script breaks the link here; what was read ahead is lost, and read again."""

    def __init__(self, down_s: float, kind: FaultKind = FaultKind.DISCONNECT) -> None:
        """Say for how many seconds nothing gets through, and why."""
        super().__init__(f"the link breaks for {down_s} s: {kind}")
        self.down_s = down_s
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Reads the journal, which is the queue of events too. `shuffled` report trades before NEW."""

    journal: Journal
    clock: Clock
    faults: FaultRun
    shuffled: Collection[WireID]
    symbol_of: Callable[[WireID], InstrumentID | None]

    async def deliveries(self, after: int) -> AsyncGenerator[Delivery]:
        """Yield all durable events beyond this number, then each new one, until the close.

        Raises LinkBroken after an event at which the fault script says so.
        """
        cursor, is_mute = after, False
        while await self.journal.reached(line := self.journal.line_after(cursor)):
            for event, beyond in self._arranged(self.journal.read(line), cursor):
                struck = await self._strike(event)
                cursor = beyond
                is_mute |= FaultKind.MUTE in struck
                if is_mute or FaultKind.GAP in struck:
                    continue
                delivery = Delivery(event, cursor, FaultKind.UNKNOWN_STATUS not in struck)
                if FaultKind.DUPLICATE in struck:
                    yield delivery
                yield delivery
                for broken in filter(None, map(struck.get, BREAKS)):
                    logger.info("the link breaks after event %d: %s", cursor, broken.kind)
                    raise LinkBroken(broken.delay_ms / 1000, broken.kind)

    async def _strike(self, event: Event) -> Mapping[FaultKind, Fault]:
        exec_type = event.exec_type if isinstance(event, Report) else None
        struck = self.faults.strike(Operation.EVENT, self.symbol_of(event.wire_id), exec_type)
        if (late := struck.get(FaultKind.DELAY)) is not None:
            await self.clock.sleep(late.delay_ms / 1000)
        return struck

    def _arranged(self, entries: Sequence[Entry], after: int) -> Iterator[tuple[Event, int]]:
        """Go through events in the order of delivery, each with the cursor after it.

        Where they change places, the cursor moves only after the last, so that none is missed.
        """
        for entry in entries:
            events = [event for event in entry.events if event.number > after]
            cursors = [event.number for event in events]
            if entry.request is not None and entry.request.wire_id in self.shuffled:
                before = entry.events[0].number - 1
                events.sort(key=lambda event: not _is_trade(event))
                cursors[:-1] = [max(after, before)] * (len(events) - 1)
            yield from zip(events, cursors, strict=True)


def _is_trade(event: Event) -> bool:
    return isinstance(event, Report) and event.exec_type is ExecType.TRADE
