"""The matching engine: pure, synchronous, and the same for the same requests, quotes and times.

It knows no clock and no file: every turn is told the market's time, and returns the entry to be
made durable before anybody hears of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from brokers.paper.admission import refuse_cancel, refuse_new, refuse_replace
from brokers.paper.book import Book, Display, Queue, opposite
from brokers.paper.ledger import Execution, Ledger, PaperOrder
from brokers.paper.messages import (
    Cancel,
    CancelReject,
    Entry,
    Event,
    NewOrder,
    Replace,
    Report,
    Request,
)
from trading.calendar import calendar
from trading.execution import ExecType
from trading.ids import AccountID, ExecID, InstrumentID, SecondaryOrderID, WireID
from trading.instrument import Catalogue, Instrument
from trading.order import Side, TimeInForce
from trading.quantity import ZERO, Px, Qty, is_multiple
from trading.quote import Quote
from trading.reject import CxlRejReason, OrdRejReason

_UNKNOWN = (CxlRejReason.UNKNOWN_ORDER, "the exchange never had this order")
_AT_ONCE = frozenset({TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL})


class DuplicateWireID(ValueError):
    """A wire id was used before for another request; nothing took effect."""


class Exchange:
    """All books of the exchange. Instants are UTC nanoseconds of the market.

    Time never goes back in a run, but is not restored: a replay that starts again starts its day.
    """

    def __init__(self, catalogue: Catalogue, ledger: Ledger | None = None) -> None:
        """List these instruments, and have the open orders of a restored ledger work again."""
        self._catalogue = catalogue
        self._ledger = ledger or Ledger()
        self._books: dict[InstrumentID, Book] = {}
        self._expiries = Queue()
        self._now = 0
        self._events: list[Event] = []
        for order in self._ledger.orders.values():
            if order.is_open:
                self._place(order)
                self._watch(order)

    # --- turns ---

    def handle(self, request: Request, at: int) -> Entry | None:
        """Carry a request out. One that came before has no further effect; a refusal is said again.

        Raises DuplicateWireID when its wire id came before with another request.
        """
        known = self._ledger.requests.get(request.wire_id)
        if known is not None and known != request:
            raise DuplicateWireID(f"the wire id {request.wire_id} was used before")
        self._begin(at)
        if known is not None:
            if (refusal := self._ledger.refusals.get(request.wire_id)) is not None:
                self._say(replace(refusal, number=self._ledger.number + 1))
            return self._end()
        self._ledger.begin(request)
        match request:
            case NewOrder():
                self._new(request)
            case Replace():
                self._replace(request)
            case Cancel():
                self._cancel(request)
        return self._end(request)

    def quote(self, quote: Quote) -> Entry | None:
        """Display a quote, and trade, trigger and expire what it makes due."""
        self._begin(quote.time)
        if (book := self._book(quote.symbol)) is not None:
            book.show(quote)
            self._wake_markets(book, *Side)
            self._meet(book)
            for order in book.stops:
                self._trigger(book, order)
        return self._end()

    def advance(self, at: int) -> Entry | None:
        """Let the market's time pass, and expire what is due."""
        self._begin(at)
        return self._end()

    def bust(self, exec_id: ExecID, at: int) -> Entry | None:
        """Cancel a trade, on both sides where both are ours. Raises LookupError if none stands."""
        sides = self._sides(exec_id)
        self._begin(at)
        for each in sides:
            self._revise(ExecType.TRADE_CANCEL, each, each.last_qty, each.last_px)
        return self._end()

    def correct(self, exec_id: ExecID, last_qty: Qty, last_px: Px, at: int) -> Entry | None:
        """Correct a trade, on both sides where both are ours.

        Raises LookupError if no such trade stands, and ValueError for a quantity that is no
        multiple of the lot, or more than an order has.
        """
        sides = self._sides(exec_id)
        for each in sides:
            self._check_correction(each, last_qty)
        self._begin(at)
        contra_ids = [self._exec_id(len(sides) - n) for n in range(len(sides))]
        for each, contra in zip(sides, contra_ids, strict=True):
            linked = contra if each.contra_exec_id else None
            self._revise(ExecType.TRADE_CORRECT, each, last_qty, last_px, linked)
        return self._end()

    # --- questions ---

    def find(self, wire_id: WireID) -> PaperOrder | None:
        """Find an order by the wire id of any request about it."""
        return self._ledger.order_of(wire_id)

    def refusal_of(self, wire_id: WireID) -> CancelReject | None:
        """Return the refusal of a replace or cancel, or None."""
        return self._ledger.refusals.get(wire_id)

    def open_orders(self, accounts: Collection[AccountID]) -> Sequence[PaperOrder]:
        """Return the open orders of accounts, oldest first."""
        orders = self._ledger.orders.values()
        return [o for o in orders if o.is_open and o.request.account_id in accounts]

    def positions(
        self, accounts: Collection[AccountID]
    ) -> Sequence[tuple[AccountID, InstrumentID, Qty]]:
        """Return the net positions of accounts, flat ones left out."""
        return [
            (account_id, symbol, qty)
            for (account_id, symbol), qty in sorted(self._ledger.positions.items())
            if account_id in accounts and qty != ZERO
        ]

    def execution(self, exec_id: ExecID) -> Execution | None:
        """Return a trade that stands, or None."""
        return self._ledger.executions.get(exec_id)

    # --- a turn: its beginning, its events, its end ---

    def _begin(self, at: int) -> None:
        self._events = []
        self._now = max(self._now, at)
        while (first := self._expiries.first()) is not None and first[0][0] <= self._now:
            (due, _), order = first
            self._report(order, ExecType.EXPIRED, transact_time=int(due))

    def _end(self, request: Request | None = None) -> Entry | None:
        if not self._events:
            return None
        return Entry(request=request, events=tuple(self._events))

    def _report(self, order: PaperOrder, exec_type: ExecType, **terms: Any) -> None:
        """Say what happened to an order."""
        number = self._ledger.number + 1
        terms.setdefault("transact_time", self._now)
        report = Report(
            number=number,
            wire_id=order.wire_id,
            exec_type=exec_type,
            order_id=order.order_id or SecondaryOrderID(f"P{number}"),
            **terms,
        )
        self._say(report)
        if not order.is_open:
            self._retire(order)

    def _reject(self, order: PaperOrder, reason: OrdRejReason, text: str) -> None:
        self._report(order, ExecType.REJECTED, ord_rej_reason=reason, text=text)

    def _reject_cancel(
        self, request: Replace | Cancel, wire_id: WireID, reason: CxlRejReason, text: str
    ) -> None:
        event = CancelReject(
            number=self._ledger.number + 1,
            wire_id=wire_id,
            request_wire_id=request.wire_id,
            cxl_rej_reason=reason,
            transact_time=self._now,
            text=text,
        )
        self._say(event)

    def _say(self, event: Event) -> None:
        """Bring an event about: there is no other way in which anything changes."""
        self._ledger.apply(event)
        self._events.append(event)

    def _exec_id(self, ahead: int = 1) -> ExecID:
        return ExecID(f"E{self._ledger.number + ahead}")

    # --- requests ---

    def _new(self, request: NewOrder) -> None:
        order, book = self._ledger.orders[request.wire_id], self._book(request.symbol)
        if book is None:
            text = f"the exchange does not list {request.symbol}"
            self._reject(order, OrdRejReason.UNKNOWN_SYMBOL, text)
        elif refusal := refuse_new(request, book, self._now):
            self._reject(order, *refusal)
        else:
            expire_time = _end_of(request, book.instrument, self._now)
            self._report(order, ExecType.NEW, expire_time=expire_time)
            self._watch(order)
            self._enter(book, order)

    def _replace(self, request: Replace) -> None:
        if (order := self._ledger.order_of(request.orig_wire_id)) is None:
            self._reject_cancel(request, request.orig_wire_id, *_UNKNOWN)
        elif (book := self._book(order.symbol)) is None:
            text = f"the exchange no longer lists {order.symbol}"
            self._reject_cancel(request, order.wire_id, CxlRejReason.OTHER, text)
        elif refusal := refuse_replace(request, order, book):
            self._reject_cancel(request, order.wire_id, *refusal)
        else:
            self._amend(book, order, request)

    def _amend(self, book: Book, order: PaperOrder, request: Replace) -> None:
        keeps_place = order.keeps_place(request.order_qty, request.price, request.stop_px)
        book.lift(order)
        self._report(
            order,
            ExecType.REPLACED,
            request_wire_id=request.wire_id,
            order_qty=request.order_qty,
            price=request.price,
            stop_px=request.stop_px,
        )
        if keeps_place:
            book.place(order)
        else:
            self._enter(book, order)

    def _cancel(self, request: Cancel) -> None:
        if (order := self._ledger.order_of(request.orig_wire_id)) is None:
            self._reject_cancel(request, request.orig_wire_id, *_UNKNOWN)
        elif refusal := refuse_cancel(order):
            self._reject_cancel(request, order.wire_id, *refusal)
        else:
            self._report(order, ExecType.CANCELED, request_wire_id=request.wire_id)

    # --- matching ---

    def _enter(self, book: Book, order: PaperOrder) -> None:
        """Bring an order to the market: a stop waits for its trigger, all others work."""
        if order.awaits_stop:
            book.place(order)
            self._trigger(book, order)
        else:
            self._work(book, order)

    def _trigger(self, book: Book, order: PaperOrder) -> None:
        if order.is_open and order.awaits_stop and book.triggers(order):
            book.lift(order)
            self._report(order, ExecType.TRIGGERED_OR_ACTIVATED_BY_SYSTEM)
            self._work(book, order)

    def _work(self, book: Book, order: PaperOrder) -> None:
        """Trade what can be traded at once, then rest, wait for the next quote, or end."""
        time_in_force = order.request.time_in_force
        if time_in_force is not TimeInForce.FILL_OR_KILL or book.can_fill(order):
            self._take(book, order)
        if not order.is_open:
            return
        if time_in_force in _AT_ONCE:
            self._report(order, ExecType.CANCELED, text=f"{time_in_force}: nothing more to trade")
            return
        book.place(order)
        self._wake_markets(book, opposite(order.side))

    def _take(self, book: Book, order: PaperOrder) -> None:
        """Trade with the quote at its price, and with resting orders at theirs, best first."""
        while order.leaves_qty and (maker := book.best(order)) is not None:
            if isinstance(maker, Display):
                qty = maker.offers(order.leaves_qty)
                maker.take(qty)
                self._trade(order, qty, maker.px)
            elif maker.price is not None:
                qty, px = min(order.leaves_qty, maker.leaves_qty), maker.price
                ours, theirs = self._exec_id(1), self._exec_id(2)
                self._trade(order, qty, px, contra_exec_id=theirs)
                self._trade(maker, qty, px, contra_exec_id=ours)

    def _meet(self, book: Book) -> None:
        """Fill resting orders that a new quote has reached, at their own prices, best first."""
        for side in Side:
            display = book.displays[opposite(side)]
            while display is not None and (first := book.limits[side].first()) is not None:
                _, order = first
                qty = display.offers(order.leaves_qty)
                if order.price is None or not qty or side.sign * (order.price - display.px) < 0:
                    break
                display.take(qty)
                self._trade(order, qty, order.price)

    def _wake_markets(self, book: Book, *sides: Side) -> None:
        for side in sides:
            for order in book.markets[side]:
                self._take(book, order)

    def _trade(
        self, order: PaperOrder, qty: Qty, px: Px, contra_exec_id: ExecID | None = None
    ) -> None:
        self._report(
            order,
            ExecType.TRADE,
            exec_id=self._exec_id(),
            contra_exec_id=contra_exec_id,
            last_qty=qty,
            last_px=px,
        )

    # --- trade cancels and corrections ---

    def _sides(self, exec_id: ExecID) -> list[Execution]:
        mine = self._ledger.executions.get(exec_id)
        if mine is None:
            raise LookupError(f"no trade {exec_id} stands")
        contra = self._ledger.executions.get(mine.contra_exec_id or ExecID(""))
        return [mine, contra] if contra else [mine]

    def _check_correction(self, execution: Execution, last_qty: Qty) -> None:
        order = self._ledger.orders[execution.wire_id]
        instrument = self._catalogue.get(order.symbol)
        if last_qty <= ZERO or (instrument and not is_multiple(last_qty, instrument.lot)):
            raise ValueError(f"{last_qty} is not a positive multiple of the lot")
        if order.cum_qty - execution.last_qty + last_qty > order.order_qty:
            raise ValueError(f"{last_qty} is more than the order {order.order_id} has")

    def _revise(
        self,
        exec_type: ExecType,
        execution: Execution,
        qty: Qty,
        px: Px,
        contra_exec_id: ExecID | None = None,
    ) -> None:
        self._report(
            self._ledger.orders[execution.wire_id],
            exec_type,
            exec_id=self._exec_id(),
            exec_ref_id=execution.exec_id,
            contra_exec_id=contra_exec_id,
            last_qty=qty,
            last_px=px,
        )

    # --- books ---

    def _book(self, symbol: InstrumentID) -> Book | None:
        if (book := self._books.get(symbol)) is None:
            if (instrument := self._catalogue.get(symbol)) is None:
                return None
            book = self._books[symbol] = Book(instrument)
        return book

    def _place(self, order: PaperOrder) -> None:
        if (book := self._book(order.symbol)) is not None:
            book.place(order)

    def _watch(self, order: PaperOrder) -> None:
        if order.is_open and order.expire_time is not None:
            self._expiries.add(order, (order.expire_time, order.entered))

    def _retire(self, order: PaperOrder) -> None:
        self._expiries.discard(order)
        if (book := self._books.get(order.symbol)) is not None:
            book.lift(order)


def _end_of(request: NewOrder, instrument: Instrument, now: int) -> int | None:
    """Return when an order ends by itself; nothing outlives its instrument."""
    ends = [instrument.expiry, request.expire_time]
    if request.time_in_force is TimeInForce.DAY:
        ends.append(calendar(instrument.calendar).session_end(now))
    return min((end for end in ends if end is not None), default=None)
