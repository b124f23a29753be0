"""The adapter to the paper exchange in the same process; the reference for every other adapter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from pathlib import Path
from random import Random

from brokers.faults import Fault, FaultKind, FaultRun, FaultScript, Operation
from brokers.paper.exchange import DuplicateWireID, Exchange
from brokers.paper.journal import Journal, JournalError
from brokers.paper.ledger import Ledger, PaperOrder
from brokers.paper.messages import Cancel, Entry, NewOrder, Replace, Report, Request
from brokers.paper.stream import Stream
from trading.execution import BrokerEvent, ExecType
from trading.ids import AccountID, ExecID, InstrumentID, WireID
from trading.instrument import Catalogue
from trading.order import ApprovedOrder, ApprovedReplace, Order, OrdType, TimeInForce
from trading.ports import (
    Ack,
    BrokerOrder,
    Capabilities,
    Clock,
    Environment,
    InDoubt,
    MarketClock,
    Permit,
    RateLimited,
    Rejected,
    ReplaceModel,
    Snapshot,
    Unavailable,
)
from trading.quantity import Qty, average
from trading.quote import Quote

_TICK_S = 0.25
"""How often time alone may end orders; quotes and requests bring the market's time as well."""

logger = logging.getLogger(__name__)

CAPABILITIES = Capabilities(
    broker="paper",
    environment=Environment.SIM,
    ord_types=frozenset(OrdType),
    times_in_force=frozenset(TimeInForce),
    replace=ReplaceModel.SAME_ID,
    dedupes_wire_id=True,
    proves_absence=True,
    trade_cancels=True,
)


class Latency:
    """How long requests take to the exchange: drawn from one seed, and never out of order."""

    def __init__(self, clock: Clock, seed: int, min_ms: int = 0, max_ms: int = 0) -> None:
        """Draw evenly between two durations in milliseconds."""
        if not 0 <= min_ms <= max_ms:
            raise ValueError(f"the latency from {min_ms} to {max_ms} ms is not a range")
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - a simulated latency is no secret
        self._range = min_ms * 1000, max_ms * 1000
        self._last = asyncio.Event()
        self._last.set()

    async def travel(self, extra_ms: int) -> None:
        """Take as long as this request takes, and not arrive before those sent earlier."""
        ahead, self._last = self._last, asyncio.Event()
        mine, micros = self._last, self._random.randint(*self._range) + extra_ms * 1000
        try:
            if micros:
                await self._clock.sleep(micros / 1_000_000)
            await ahead.wait()
        finally:
            mine.set()


class PaperBroker:
    """Trades on the paper exchange. Quotes come in by `on_quote`, and accounts with their orders.

    A refusal is not the failure of a request: like a fill, it comes in the stream, with its reason.
    """

    def __init__(
        self,
        *,
        journal: Path,
        catalogue: Catalogue,
        clock: Clock,
        market: MarketClock,
        seed: int = 0,
        latency_ms: tuple[int, int] = (0, 0),
        faults: FaultScript | None = None,
    ) -> None:
        """Open the journal and restore what it says. Raises JournalError, ValueError."""
        self._path = journal
        self._catalogue = catalogue
        self._clock = clock
        self._market = market
        self._latency = Latency(clock, seed, *latency_ms)
        self._faults = FaultRun(faults or FaultScript())
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: Stream | None = None
        self._open()

    def _open(self) -> None:
        ledger = Ledger()
        self._journal = Journal(self._path, ledger.restore)
        self._exchange = Exchange(self._catalogue, ledger)

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    # --- the session ---

    async def connect(self, resume_from: str | None) -> None:
        """Open the session, and have `events` go on after the cursor given.

        Raises Unavailable for a cursor that the journal does not reach: it is not the one that
        the cursor came from.
        """
        if self._journal.closed:
            self._open()
        after = int(resume_from) if resume_from and resume_from.isdecimal() else 0
        if after > self._journal.last_number or str(after) != (resume_from or "0"):
            raise Unavailable(
                f"{self._path} ends at event {self._journal.last_number}, and cursor {resume_from}"
                " is not in it: bring back the journal that this store has traded with"
            )
        self._stream = Stream(self._journal, self._clock, self._faults, self._symbol_of, after)
        self._start(self._tick())

    async def close(self) -> None:
        """End the session and its stream, when all that happened is durable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stream = None
        await self._journal.close()

    def events(self) -> AsyncIterator[BrokerEvent]:
        """Return the exchange's events after the cursor, each when it is durable.

        Raises Unavailable if the session is not open.
        """
        if self._stream is None:
            raise Unavailable("the session with the paper exchange is not open")
        return self._stream.events()

    # --- requests ---

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""
        order = approved.order
        request = NewOrder(
            wire_id=order.wire_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            ord_type=order.ord_type,
            time_in_force=order.time_in_force,
            order_qty=order.order_qty,
            price=order.price,
            stop_px=order.stop_px,
            expire_time=order.expire_time,
        )
        return await self._send(Operation.SUBMIT, request, order.symbol, permit)

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace. Raises BrokerError, PermitRefused."""
        terms = approved.terms
        request = Replace(
            wire_id=approved.wire_id,
            orig_wire_id=approved.order.wire_id,
            order_qty=terms.order_qty,
            price=terms.price,
            stop_px=terms.stop_px,
        )
        return await self._send(Operation.REPLACE, request, approved.order.symbol, permit)

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""
        request = Cancel(wire_id=wire_id, orig_wire_id=order.wire_id)
        return await self._send(Operation.CANCEL, request, order.symbol, None)

    async def _send(
        self, operation: Operation, request: Request, symbol: InstrumentID, permit: Permit | None
    ) -> Ack:
        self._check_link()
        struck = self._faults.strike(operation, symbol)
        if (limit := struck.get(FaultKind.RATE_LIMIT)) is not None:
            raise RateLimited("the exchange asks to wait", limit.retry_after_ms / 1000)
        late = struck.get(FaultKind.DELAY)
        await self._latency.travel(late.delay_ms if late else 0)
        # No await stands between these three: the permit holds when the exchange gets the request.
        stream = self._check_link()
        if permit is not None:
            permit.check()
        if FaultKind.DROP_REQUEST not in struck:
            self._carry_out(request, struck, stream)
        return await self._answer(request, struck)

    def _carry_out(
        self, request: Request, struck: Mapping[FaultKind, Fault], stream: Stream
    ) -> None:
        if FaultKind.FILL_BEFORE_ACK in struck:
            stream.shuffle(request.wire_id)
        try:
            self._record(self._exchange.handle(request, self._market.now()))
        except DuplicateWireID as error:
            raise Rejected(str(error)) from None

    async def _answer(self, request: Request, struck: Mapping[FaultKind, Fault]) -> Ack:
        try:
            await self._journal.flushed()
        except JournalError as error:
            raise InDoubt(str(error)) from error
        if (held := struck.get(FaultKind.FILL_BEFORE_ACK)) is not None:
            await self._clock.sleep(held.delay_ms / 1000)
        if struck.keys() & {FaultKind.DROP_REQUEST, FaultKind.DROP_ANSWER}:
            raise InDoubt("the exchange did not answer")
        order = self._exchange.find(request.wire_id)
        return Ack(order.order_id if order else None)

    def _check_link(self) -> Stream:
        """Return the open stream. Raises Unavailable if nothing can be sent now."""
        if self._stream is None or self._journal.closed:
            raise Unavailable("the session with the paper exchange is not open")
        if self._journal.failed:
            raise Unavailable("the paper exchange's journal cannot be written")
        if self._stream.is_down:
            raise Unavailable("the link to the paper exchange is down")
        return self._stream

    # --- questions ---

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by the wire id of any of its requests; None proves it never came.

        Raises Unavailable.
        """
        await self._settled()
        order = self._exchange.find(wire_id)
        return None if order is None else _broker_order(order)

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return all open orders. Raises Unavailable."""
        await self._settled()
        orders = self._exchange.open_orders(accounts)
        return Snapshot([_broker_order(order) for order in orders], complete=True)

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return all net positions. Raises Unavailable."""
        await self._settled()
        return Snapshot(self._exchange.positions(accounts), complete=True)

    async def _settled(self) -> None:
        """Wait until what is known is durable, for nobody may hear of it before."""
        self._check_link()
        try:
            await self._journal.flushed()
        except JournalError as error:
            raise Unavailable(str(error)) from error

    # --- the market ---

    def on_quote(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market. Needs a running event loop."""
        if not self._journal.closed and not self._journal.failed:
            self._record(self._exchange.quote(quote))

    async def _tick(self) -> None:
        while not self._journal.failed:
            await self._clock.sleep(_TICK_S)
            self._record(self._exchange.advance(self._market.now()))

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
                self._start(self._revise(fault, report.exec_id))

    async def _revise(self, fault: Fault, exec_id: ExecID) -> None:
        await self._clock.sleep(fault.delay_ms / 1000)
        at, trade = self._market.now(), self._exchange.execution(exec_id)
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

    def _symbol_of(self, wire_id: WireID) -> InstrumentID | None:
        order = self._exchange.find(wire_id)
        return order.symbol if order else None

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _broker_order(order: PaperOrder) -> BrokerOrder:
    if order.order_id is None:
        raise ValueError("an order gets its id with its first event, in the same turn")
    return BrokerOrder(
        wire_id=order.wire_id,
        secondary_order_id=order.order_id,
        status=order.status,
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        cum_qty=order.cum_qty,
        avg_px=average(order.cum_value, order.cum_qty),
        symbol=order.symbol,
        side=order.side,
        last_request_wire_id=order.last_request,
    )
