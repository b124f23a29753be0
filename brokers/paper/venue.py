"""The paper exchange as it runs: its engine, its journal, its faults and the time they take.

Clients in this process and clients behind sockets meet here, and get the same answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random

from brokers.faults import Fault, FaultKind, FaultRun, FaultScript, Operation
from brokers.paper.exchange import DuplicateWireID, Exchange
from brokers.paper.journal import Journal, JournalError, Stamp
from brokers.paper.ledger import Ledger, PaperOrder
from brokers.paper.messages import (
    Cancel,
    CancelReject,
    Entry,
    NewOrder,
    Replace,
    Report,
    Request,
)
from brokers.paper.stream import Delivery, Stream
from brokers.paper.translation import broker_order
from trading.execution import ExecType
from trading.ids import AccountID, ExecID, InstrumentID, SecondaryOrderID, WireID
from trading.instrument import Catalogue
from trading.ports import (
    BrokerOrder,
    Clock,
    Environment,
    InDoubt,
    MarketClock,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from trading.quantity import Qty
from trading.quote import Quote

JOURNAL = "paper.journal"
"""The name of the journal in the directory of its exchange."""

_TICK_S = 0.25
"""How often time alone may end orders; quotes and requests bring the market's time as well."""

_OPERATIONS = {
    NewOrder: Operation.SUBMIT,
    Replace: Operation.REPLACE,
    Cancel: Operation.CANCEL,
}

logger = logging.getLogger(__name__)


class NoAnswer(InDoubt):
    """The fault script has lost a request, or the answer to it."""


class Route:
    """One client's way to the exchange, on which requests take their time and none overtakes."""

    def __init__(self) -> None:
        """Start with nobody on the way."""
        self._last = asyncio.Event()
        self._last.set()

    async def travel(self, clock: Clock, micros: int) -> None:
        """Take this long, and do not arrive before those sent earlier."""
        ahead, self._last = self._last, asyncio.Event()
        mine = self._last
        try:
            if micros:
                await clock.sleep(micros / 1_000_000)
            await ahead.wait()
        finally:
            mine.set()


class Venue:
    """One exchange for any number of clients. Nobody hears of anything before it is durable."""

    def __init__(
        self,
        *,
        journal: Path,
        environment: Environment,
        catalogue: Catalogue,
        clock: Clock,
        market: MarketClock,
        seed: int = 0,
        latency_ms: tuple[int, int] = (0, 0),
        faults: FaultScript | None = None,
    ) -> None:
        """Open the journal and restore what it says. Raises JournalError, ValueError."""
        least, most = latency_ms
        if not 0 <= least <= most:
            raise ValueError(f"the latency from {least} to {most} ms is not a range")
        self._path = journal
        self.market = market
        self._environment = environment
        self._catalogue = catalogue
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - a simulated latency is no secret
        self._latency = least * 1000, most * 1000
        self._faults = FaultRun(faults or FaultScript())
        self._shuffled: set[WireID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.open()

    def open(self) -> None:
        """Open the journal again after a close. Raises JournalError."""
        ledger = Ledger()
        # The instant at which a journal begins tells it from all others that a client may meet.
        stamp = Stamp(f"{self._clock.now():x}", self._environment)
        self._journal = Journal(self._path, ledger.restore, stamp)
        self._exchange = Exchange(self._catalogue, ledger)

    async def close(self) -> None:
        """End all streams, when all that happened is durable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._journal.close()

    @property
    def id(self) -> str:
        """The id of this exchange, which its journal keeps."""
        return self._journal.stamp.exchange

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._journal.closed

    @property
    def last_number(self) -> int:
        """The number of the last event."""
        return self._journal.last_number

    def check(self) -> None:
        """Raise Unavailable if nothing can be promised any more."""
        if self._journal.closed:
            raise Unavailable("the paper exchange is closed")
        if self._journal.failed:
            raise Unavailable("the paper exchange's journal cannot be written")

    # --- requests ---

    async def carry_out(
        self, request: Request, route: Route, leave: Callable[[], None]
    ) -> SecondaryOrderID | None:
        """Carry a request out, and return its order's id when what came of it is durable.

        `leave` is called when the request arrives, and may raise to have it not happen. Raises
        RateLimited, Rejected, Unauthorized, Unavailable, InDoubt, and NoAnswer where none may be
        given.
        """
        self.check()
        struck = self._faults.strike(_OPERATIONS[type(request)], self._symbol(request))
        if (limit := struck.get(FaultKind.RATE_LIMIT)) is not None:
            raise RateLimited("the exchange asks to wait", limit.retry_after_ms / 1000)
        if FaultKind.UNAUTHORIZED in struck:
            raise Unauthorized("the exchange does not accept the credential")
        late = struck.get(FaultKind.DELAY)
        extra_ms = late.delay_ms if late else 0
        await route.travel(self._clock, self._random.randint(*self._latency) + extra_ms * 1000)
        # No await stands between these: what they find holds when the exchange gets the request.
        self.check()
        leave()
        if FaultKind.DROP_REQUEST not in struck:
            self._handle(request, struck)
        return await self._answer(request, struck)

    def _handle(self, request: Request, struck: Mapping[FaultKind, Fault]) -> None:
        if FaultKind.FILL_BEFORE_ACK in struck:
            self._shuffled.add(request.wire_id)
        try:
            self._record(self._exchange.handle(request, self.market.now()))
        except DuplicateWireID as error:
            raise Rejected(str(error)) from None

    async def _answer(
        self, request: Request, struck: Mapping[FaultKind, Fault]
    ) -> SecondaryOrderID | None:
        try:
            await self._journal.flushed()
        except JournalError as error:
            raise InDoubt(str(error)) from error
        if (held := struck.get(FaultKind.FILL_BEFORE_ACK)) is not None:
            await self._clock.sleep(held.delay_ms / 1000)
        if struck.keys() & {FaultKind.DROP_REQUEST, FaultKind.DROP_ANSWER}:
            raise NoAnswer("the exchange did not answer")
        if FaultKind.SERVER_ERROR in struck:
            raise InDoubt("the exchange has failed, and does not say whether it had acted")
        order = self._exchange.find(request.wire_id)
        return order.order_id if order else None

    # --- events ---

    def check_cursor(self, exchange: str | None, number: int) -> None:
        """Raise Unavailable for a cursor that is not in this journal. Any exchange is None."""
        if exchange not in {None, self.id} or number > self.last_number:
            raise Unavailable(
                f"{self._path} is of the exchange {self.id} and ends at event {self.last_number}:"
                f" event {number} of {exchange or 'any exchange'} is not in it. Bring back the"
                " journal that this store has traded with"
            )

    def deliveries(self, after: int) -> AsyncGenerator[Delivery]:
        """Return all durable events beyond a number, then each new one, until the close.

        The iterator raises LinkBroken.
        """
        return self._stream(self._faults, self._shuffled).deliveries(after)

    def history(self) -> AsyncGenerator[Delivery]:
        """Return all durable events as they happened, for a simulator's own books: no fault."""
        return self._stream(FaultRun(FaultScript()), ()).deliveries(0)

    def _stream(self, faults: FaultRun, shuffled: Collection[WireID]) -> Stream:
        return Stream(
            journal=self._journal,
            clock=self._clock,
            faults=faults,
            shuffled=shuffled,
            symbol_of=self._symbol_of,
        )

    # --- questions ---

    def paper_order(self, wire_id: WireID) -> PaperOrder | None:
        """Return an order as the exchange has it now, durable or about to be."""
        return self._exchange.find(wire_id)

    def refusal_of(self, wire_id: WireID) -> CancelReject | None:
        """Return how a replace or cancel was refused, if it was."""
        return self._exchange.refusal_of(wire_id)

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by the wire id of any of its requests; None proves it never came.

        Raises Unavailable.
        """
        order = self._exchange.find(wire_id)
        return await self._durable(None if order is None else broker_order(order))

    async def orders(self, accounts: Collection[AccountID]) -> Sequence[BrokerOrder]:
        """Return all open orders. Raises Unavailable."""
        orders = self._exchange.open_orders(accounts)
        return await self._durable([broker_order(order) for order in orders])

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Sequence[tuple[AccountID, InstrumentID, Qty]]:
        """Return all net positions. Raises Unavailable."""
        return await self._durable(self._exchange.positions(accounts))

    async def _durable[T](self, answer: T) -> T:
        """Give an answer when all that it rests on is durable, and not what came meanwhile."""
        self.check()
        try:
            await self._journal.flushed()
        except JournalError as error:
            raise Unavailable(str(error)) from error
        return answer

    # --- the market ---

    def on_quote(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market. Needs a running event loop."""
        if not self._journal.closed and not self._journal.failed:
            self._record(self._exchange.quote(quote))

    async def keep_time(self) -> None:
        """Let time end orders. Returns when the journal has failed, and nothing can happen more."""
        while not self._journal.failed:
            await self._clock.sleep(_TICK_S)
            self._record(self._exchange.advance(self.market.now()))

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Have work done in the background, until the close."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self, entry: Entry | None) -> None:
        if entry is None:
            return
        self._journal.append(entry)
        for event in entry.events:
            if isinstance(event, Report) and event.exec_type is ExecType.TRADE:
                self._strike_trade(event)

    def _strike_trade(self, report: Report) -> None:
        struck = self._faults.strike(Operation.TRADE, self._symbol_of(report.wire_id))
        for fault in struck.values():
            if report.exec_id is not None:
                self.start(self._revise(fault, report.exec_id))

    async def _revise(self, fault: Fault, exec_id: ExecID) -> None:
        await self._clock.sleep(fault.delay_ms / 1000)
        at, trade = self.market.now(), self._exchange.execution(exec_id)
        if trade is None or self._journal.failed:
            return
        if fault.kind is FaultKind.TRADE_CANCEL:
            self._record(self._exchange.bust(exec_id, at))
            return
        qty = fault.last_qty if fault.last_qty is not None else trade.last_qty
        px = fault.last_px if fault.last_px is not None else trade.last_px
        try:
            self._record(self._exchange.correct(exec_id, qty, px, at))
        except ValueError as error:
            logger.warning("the trade %s is not corrected: %s", exec_id, error)

    # --- small things ---

    def _symbol(self, request: Request) -> InstrumentID | None:
        match request:
            case NewOrder():
                return request.symbol
            case Replace() | Cancel():
                return self._symbol_of(request.orig_wire_id)

    def _symbol_of(self, wire_id: WireID) -> InstrumentID | None:
        order = self._exchange.find(wire_id)
        return order.symbol if order else None
