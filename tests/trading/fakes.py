"""A store-less world in memory: clock, ids, gate, broker and bell, each failing on demand."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal

from tests.trading.builders import NOW, NS, at_broker
from trading.books import Books
from trading.command import Command
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import BrokerEvent, LinkEvent
from trading.ids import AccountID, InstrumentID, SecondaryOrderID, WireID
from trading.instrument import Instrument
from trading.order import (
    ApprovedOrder,
    ApprovedReplace,
    Order,
    OrdStatus,
    OrdType,
    TimeInForce,
)
from trading.ports import (
    Ack,
    BrokerError,
    BrokerOrder,
    Capabilities,
    Cleared,
    Environment,
    InDoubt,
    Permit,
    ReplaceModel,
    Snapshot,
    Unavailable,
    Withheld,
)
from trading.quote import Quote


async def settle() -> None:
    """Let every task run until it waits for something that only a test can bring."""
    for _ in range(200):
        await asyncio.sleep(0)


class ManualClock:
    """Time that stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = NOW
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._now + int(seconds * NS)
        heapq.heappush(self._sleepers, (due, next(self._count), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Wake the sleepers one after the other, at their times."""
        end = self._now + int(seconds * NS)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
                await settle()
        self._now = end


class Sequential:
    """Ids 1, 2, 3, …"""

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    def next(self) -> int:
        return next(self._ids)


class OpenGate:
    """A gate that approves what it is not told to refuse, and reserves the price or 100."""

    def __init__(self) -> None:
        self.refuses: RiskDecision | None = None
        self.withholds: str | None = None

    def _decide(self, at: int) -> RiskDecision:
        return self.refuses or RiskDecision(checks=(), limits_version=1, decided_at=at)

    def clear(
        self, order: Order, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedOrder]:
        del instrument, books
        approved = replace(order, reserve_px=order.price or Decimal(100))
        ok = None if self.refuses else ApprovedOrder(order=approved, approved_at=at)
        return Cleared(approved=ok, decision=self._decide(at))

    def clear_replace(
        self, order: Order, command: Command, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedReplace]:
        del instrument
        assert command.terms is not None
        terms = replace(command.terms, reserve_px=command.terms.price or Decimal(100))
        again = self.readmit(order, replace(command, terms=terms), books, at)
        ok = again if isinstance(again, ApprovedReplace) and not self.refuses else None
        return Cleared(approved=ok, decision=self._decide(at))

    def readmit(
        self, order: Order, command: Command, books: Books, at: int
    ) -> ApprovedOrder | ApprovedReplace | Withheld:
        del books
        if self.withholds:
            return Withheld(self.withholds)
        if command.terms is None:
            return ApprovedOrder(order=order, approved_at=at)
        return ApprovedReplace(
            order=order, wire_id=command.wire_id, terms=command.terms, approved_at=at
        )


CAPABILITIES = Capabilities(
    broker="fake",
    environment=Environment.SIM,
    ord_types=frozenset(OrdType),
    times_in_force=frozenset(TimeInForce),
    replace=ReplaceModel.SAME_ID,
    dedupes_wire_id=True,
    proves_absence=True,
    trade_cancels=True,
)


class ScriptedBroker:
    """A broker that notes what reaches it, and answers each sending as its script says.

    `answers` are taken one by one: None takes the command, an error refuses it, and an error that
    is in doubt is raised after the command was taken. `hold`, if set, delays every sending.
    """

    def __init__(self) -> None:
        self.answers: list[BrokerError | None] = []
        self.found: list[BrokerOrder | BrokerError | None] = []
        self.sent: list[tuple[str, WireID]] = []
        self.known: dict[WireID, BrokerOrder] = {}
        self.held: dict[tuple[AccountID, InstrumentID], Decimal] | None = None
        self.shows_all = True
        self.resumed_from: list[str | None] = []
        self.before_first_byte: Callable[[], Awaitable[None]] | None = None
        self.stream: asyncio.Queue[BrokerEvent | LinkEvent | None] = asyncio.Queue()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def connect(self, resume_from: str | None) -> None:
        self.resumed_from.append(resume_from)

    async def close(self) -> None:
        return

    async def events(self) -> AsyncIterator[BrokerEvent | LinkEvent]:
        while (event := await self.stream.get()) is not None:
            yield event

    def tell(self, *events: BrokerEvent | LinkEvent) -> None:
        for event in events:
            self.stream.put_nowait(event)

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        if self.before_first_byte:
            await self.before_first_byte()
        permit.check()
        return self._take("NEW", approved.order.wire_id, approved.order)

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        permit.check()
        return self._take("REPLACE", approved.wire_id, approved.order)

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        return self._take("CANCEL", wire_id, order)

    def _take(self, kind: str, wire_id: WireID, order: Order) -> Ack:
        error = self.answers.pop(0) if self.answers else None
        self.sent.append((kind, wire_id))
        if error is None or isinstance(error, InDoubt):
            status = OrdStatus.NEW if kind == "NEW" else order.status
            self.known.setdefault(order.wire_id, at_broker(order, status=status))
        if error is not None:
            raise error
        return Ack(SecondaryOrderID(f"B-{order.wire_id}"))

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        answer = self.found.pop(0) if self.found else self.known.get(wire_id)
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        del accounts
        return Snapshot(tuple(self.known.values()), complete=True)

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Decimal]]:
        if self.held is None:
            raise Unavailable("this broker shows no positions")
        mine = [(*holding, qty) for holding, qty in self.held.items() if holding[0] in accounts]
        return Snapshot(tuple(mine), complete=self.shows_all)


class Bell:
    """A doorbell that remembers who rang."""

    def __init__(self) -> None:
        self.rung: list[AccountID] = []
        self.changes: list[TradingStateChange] = []
        self.sessions: list[str] = []

    def ring(self, accounts: Collection[AccountID]) -> None:
        self.rung.extend(accounts)

    def ring_states(self, changes: Sequence[TradingStateChange]) -> None:
        self.changes.extend(changes)

    def ring_session(self, broker: str) -> None:
        self.sessions.append(broker)


class NoQuotes:
    """Quotes and prices for a desk whose store has its references already."""

    def __init__(self) -> None:
        self.wanted: set[InstrumentID] = set()

    def last(self, symbol: InstrumentID) -> Quote | None:
        del symbol
        return None

    def want(self, symbols: Collection[InstrumentID]) -> None:
        self.wanted.update(symbols)

    async def fresh(self, symbols: Collection[InstrumentID], max_wait_s: float = 0.5) -> None:
        del max_wait_s
        self.wanted.update(symbols)
