"""The stream of the exchange's events as its one consumer gets it, faults and all."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from brokers.faults import Fault, FaultKind, FaultRun, Operation
from brokers.paper.codec import encode_event
from brokers.paper.journal import Journal
from brokers.paper.messages import CancelReject, Entry, Event, Report
from trading.execution import (
    BrokerCancelReject,
    BrokerEvent,
    BrokerReport,
    BrokerUnknown,
    ExecType,
)
from trading.ids import InstrumentID, WireID
from trading.ports import Clock

logger = logging.getLogger(__name__)


class Stream:
    """Reads the journal from a cursor on, and goes on from there when its link breaks.

    A cursor is the number of an event: up to it, everything has been delivered.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        faults: FaultRun,
        symbol_of: Callable[[WireID], InstrumentID | None],
        after: int,
    ) -> None:
        """Begin after the event of this number."""
        self._journal = journal
        self._clock = clock
        self._faults = faults
        self._symbol_of = symbol_of
        self._cursor = after
        self._shuffled: set[WireID] = set()
        self.is_down = False

    def shuffle(self, wire_id: WireID) -> None:
        """Have the trades that a request makes reported before its NEW."""
        self._shuffled.add(wire_id)

    async def events(self) -> AsyncIterator[BrokerEvent]:
        """Yield every event after the cursor, over as many links as it takes, until the close."""
        while await self._journal.reached(line := self._journal.line_after(self._cursor)):
            for event, cursor in self._arranged(self._journal.read(line)):
                struck = await self._strike(event)
                self._cursor = cursor
                claim = self._claim(event, cursor, struck)
                if FaultKind.DUPLICATE in struck:
                    yield claim
                yield claim
                if (broken := struck.get(FaultKind.DISCONNECT)) is not None:
                    # What this link had read beyond the event is lost with it, and read again.
                    await self._stay_down(broken)
                    break

    async def _strike(self, event: Event) -> Mapping[FaultKind, Fault]:
        exec_type = event.exec_type if isinstance(event, Report) else None
        struck = self._faults.strike(Operation.EVENT, self._symbol_of(event.wire_id), exec_type)
        if (late := struck.get(FaultKind.DELAY)) is not None:
            await self._clock.sleep(late.delay_ms / 1000)
        return struck

    async def _stay_down(self, fault: Fault) -> None:
        logger.info("the link broke after event %d, and is down", self._cursor)
        self.is_down = True
        await self._clock.sleep(fault.delay_ms / 1000)
        self.is_down = False

    def _arranged(self, entries: Sequence[Entry]) -> Iterator[tuple[Event, int]]:
        """Go through events in the order of delivery, each with the cursor after it.

        Where they change places, the cursor moves only after the last, so that none is missed.
        """
        for entry in entries:
            events = [event for event in entry.events if event.number > self._cursor]
            cursors = [event.number for event in events]
            if entry.request is not None and entry.request.wire_id in self._shuffled:
                events.sort(key=lambda event: not _is_trade(event))
                cursors[:-1] = [self._cursor] * (len(events) - 1)
            yield from zip(events, cursors, strict=True)

    def _claim(self, event: Event, cursor: int, struck: Mapping[FaultKind, Fault]) -> BrokerEvent:
        received_at = self._clock.now()
        if FaultKind.UNKNOWN_STATUS in struck:
            return BrokerUnknown(
                key=_key(event),
                cursor=str(cursor),
                wire_id=event.wire_id,
                received_at=received_at,
                raw=encode_event(event),
                text="the status is not one that is known",
            )
        return claim_of(event, cursor, received_at)


def claim_of(event: Event, cursor: int, received_at: int) -> BrokerEvent:
    """Put an event of the exchange in the words of the core."""
    match event:
        case CancelReject():
            return BrokerCancelReject(
                key=_key(event),
                cursor=str(cursor),
                wire_id=event.wire_id,
                received_at=received_at,
                raw=encode_event(event),
                request_wire_id=event.request_wire_id,
                cxl_rej_reason=event.cxl_rej_reason,
                transact_time=event.transact_time,
                text=event.text,
            )
        case Report():
            return _report(event, cursor, received_at)


def _report(event: Report, cursor: int, received_at: int) -> BrokerReport:
    return BrokerReport(
        key=_key(event),
        cursor=str(cursor),
        wire_id=event.wire_id,
        received_at=received_at,
        raw=encode_event(event),
        exec_type=event.exec_type,
        transact_time=event.transact_time,
        secondary_order_id=event.order_id,
        exec_id=event.exec_id,
        exec_ref_id=event.exec_ref_id,
        last_qty=event.last_qty,
        last_px=event.last_px,
        order_qty=event.order_qty,
        price=event.price,
        stop_px=event.stop_px,
        ord_rej_reason=event.ord_rej_reason,
        text=event.text,
    )


def _key(event: Event) -> str:
    return f"paper:{event.number}"


def _is_trade(event: Event) -> bool:
    return isinstance(event, Report) and event.exec_type is ExecType.TRADE
