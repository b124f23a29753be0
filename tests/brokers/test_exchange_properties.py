"""The book under any sequence of requests, quotes, busts, corrections and restarts.

The observer knows the rules, not the engine: it reads entries alone, and keeps its own account of
what is displayed and what works.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from brokers.paper.codec import decode, encode
from brokers.paper.exchange import Exchange
from brokers.paper.ledger import Ledger
from brokers.paper.messages import Cancel, CancelReject, Entry, NewOrder, Replace, Report, Request
from tests.brokers.world import NOON, SECOND, cancel, catalogue, new, quote, replace
from trading.execution import ExecType
from trading.ids import ExecID, WireID
from trading.order import Side, TimeInForce
from trading.quote import Quote

type Bust = tuple[str, int]
type Correct = tuple[str, int, int, int]
type Step = Request | Quote | Bust | Correct

PRICES = st.integers(97, 103)
MAYBE_PRICE = st.none() | PRICES
SIZES = st.none() | st.integers(0, 6)
ENDED = {ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED}


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    made: list[Step] = [draw_quote(draw, NOON)]
    for n in range(draw(st.integers(1, 25))):
        at = NOON + (n + 1) * SECOND
        kind = draw(st.sampled_from("nnnnqqqrcbk"))
        orig = f"o{draw(st.integers(0, max(n - 1, 0)))}"
        match kind:
            case "n":
                made.append(draw_new(draw, f"o{n}", at))
            case "q":
                made.append(draw_quote(draw, at))
            case "r":
                qty = draw(st.integers(1, 9))
                terms = qty, draw(MAYBE_PRICE), draw(MAYBE_PRICE)
                made.append(replace(f"o{n}", orig, *terms))
            case "c":
                made.append(cancel(f"o{n}", orig))
            case "b":
                made.append(("bust", draw(st.integers(0, 8))))
            case _:
                made.append(("correct", draw(st.integers(0, 8)), draw(st.integers(1, 9)), 100))
    return made


def draw_quote(draw: st.DrawFn, at: int) -> Quote:
    bid = draw(PRICES)
    ask = bid + draw(st.integers(0, 3))
    sides: list[tuple[int | None, int | None]] = [(bid, draw(SIZES)), (ask, draw(SIZES))]
    if draw(st.integers(0, 9)) == 0:
        sides[draw(st.integers(0, 1))] = (None, None)
    return quote(*sides[0], *sides[1], at=at)


def draw_new(draw: st.DrawFn, wire_id: str, at: int) -> NewOrder:
    tif = draw(st.sampled_from(TimeInForce))
    soon = at + draw(st.integers(1, 8)) * SECOND
    return new(
        wire_id,
        draw(st.sampled_from(Side)),
        draw(st.integers(1, 9)),
        draw(MAYBE_PRICE),
        stop=draw(st.none() | st.none() | PRICES),
        tif=tif,
        account=draw(st.sampled_from("ab")),
        expire_time=soon if tif is TimeInForce.GOOD_TILL_DATE else None,
    )


def run(exchange: Exchange, made: Sequence[Step], entries: list[Entry], at: int = NOON) -> None:
    """Take steps, and collect what the exchange says."""
    for n, step in enumerate(made):
        entry = turn(exchange, step, entries, at + n * SECOND)
        if entry is not None:
            entries.append(entry)


def turn(exchange: Exchange, step: Step, entries: Sequence[Entry], at: int) -> Entry | None:
    match step:
        case Quote():
            return exchange.quote(step)
        case NewOrder() | Replace() | Cancel():
            return exchange.handle(step, at)
        case (_, nth, *terms):
            exec_id = nth_trade(entries, nth)
            if exec_id is None:
                return exchange.advance(at)
            try:
                if not terms:
                    return exchange.bust(exec_id, at)
                qty, px = map(Decimal, terms)
                return exchange.correct(exec_id, qty, px, at)
            except (LookupError, ValueError):
                return exchange.advance(at)


def nth_trade(entries: Sequence[Entry], nth: int) -> ExecID | None:
    found = [
        event.exec_id
        for entry in entries
        for event in entry.events
        if isinstance(event, Report) and event.exec_type is ExecType.TRADE
    ]
    return found[nth] if nth < len(found) else None


@dataclass
class Working:
    """An order as the observer sees it."""

    request: NewOrder
    order_qty: Decimal
    price: Decimal | None
    stop_px: Decimal | None
    rank: int = 0
    cum_qty: Decimal = Decimal(0)
    is_open: bool = False
    is_resting: bool = False
    is_triggered: bool = False

    @property
    def sign(self) -> int:
        return self.request.side.sign

    @property
    def waits_for_stop(self) -> bool:
        return self.request.ord_type.has_stop_px and not self.is_triggered

    def accepts(self, px: Decimal) -> bool:
        return self.price is None or self.sign * (self.price - px) >= 0


@dataclass
class Observer:
    """Checks each entry against the rules of a price-time book."""

    orders: dict[WireID, Working] = field(default_factory=dict)
    shown: dict[Side, tuple[Decimal, Decimal | None] | None] = field(default_factory=dict)
    fills: dict[ExecID, tuple[Working, Decimal]] = field(default_factory=dict)

    def see_quote(self, seen: Quote) -> None:
        self.shown = {
            Side.BUY: None if seen.bid is None else (seen.bid, seen.bid_size),
            Side.SELL: None if seen.ask is None else (seen.ask, seen.ask_size),
        }

    def see(self, entry: Entry) -> None:
        if isinstance(entry.request, NewOrder):
            asked = entry.request
            self.orders[asked.wire_id] = Working(asked, asked.order_qty, asked.price, asked.stop_px)
        for event in entry.events:
            if not isinstance(event, CancelReject):
                self.see_report(event)
        for order in self.orders.values():
            order.is_resting = order.is_open and not order.waits_for_stop

    def see_report(self, report: Report) -> None:
        order = self.orders[report.wire_id]
        match report.exec_type:
            case ExecType.NEW:
                order.is_open, order.rank = True, report.number
            case ExecType.TRIGGERED_OR_ACTIVATED_BY_SYSTEM:
                order.is_triggered, order.rank = True, report.number
            case ExecType.REPLACED:
                self.see_replaced(order, report)
            case ExecType.TRADE | ExecType.TRADE_CANCEL | ExecType.TRADE_CORRECT:
                self.see_fill(order, report)
            case ended:
                assert ended in ENDED
                order.is_open = False

    def see_replaced(self, order: Working, report: Report) -> None:
        assert report.order_qty is not None
        same_prices = (order.price, order.stop_px) == (report.price, report.stop_px)
        if not same_prices or report.order_qty > order.order_qty:
            order.rank, order.is_resting = report.number, False
        order.order_qty = report.order_qty
        order.price, order.stop_px = report.price, report.stop_px

    def see_fill(self, order: Working, report: Report) -> None:
        assert report.exec_id is not None
        if report.exec_type is ExecType.TRADE:
            self.check_trade(order, report)
        else:
            undone = self.fills.pop(report.exec_ref_id or ExecID(""))
            assert undone[0] is order
            order.cum_qty -= undone[1]
        if report.exec_type is not ExecType.TRADE_CANCEL:
            self.fills[report.exec_id] = order, report.last_qty
            order.cum_qty += report.last_qty
        assert order.cum_qty <= order.order_qty
        order.is_open = order.is_open and order.cum_qty < order.order_qty

    def check_trade(self, order: Working, report: Report) -> None:
        assert order.is_open
        assert not order.waits_for_stop
        assert report.last_qty > 0
        assert order.accepts(report.last_px)
        rests = order.is_resting and order.price is not None
        if rests:
            assert report.last_px == order.price
            assert not self.ahead_of(order)
        if report.contra_exec_id is None:
            self.check_display(order, report, rests=rests)
        elif not rests:
            shown = self.shown[other(order.request.side)]
            better = shown is not None and shown[1] != 0
            assert not better or order.sign * (shown[0] - report.last_px) > 0  # type: ignore[index]

    def check_display(self, order: Working, report: Report, *, rests: bool) -> None:
        side = other(order.request.side)
        shown = self.shown[side]
        assert shown is not None
        px, size = shown
        if rests:
            assert order.accepts(px)
        else:
            assert report.last_px == px
            better = [m for m in self.resting(side) if order.sign * (m.price - px) < 0]  # type: ignore[operator]
            assert not better
        if size is not None:
            assert report.last_qty <= size
            self.shown[side] = px, size - report.last_qty

    def resting(self, side: Side) -> list[Working]:
        return [
            o
            for o in self.orders.values()
            if o.is_open and o.is_resting and o.request.side is side and o.price is not None
        ]

    def ahead_of(self, order: Working) -> list[Working]:
        def place(one: Working) -> tuple[Decimal, int]:
            assert one.price is not None
            return -one.sign * one.price, one.rank

        return [o for o in self.resting(order.request.side) if place(o) < place(order)]

    def check_nothing_left_to_do(self, now: int) -> None:
        """What could trade has traded, what is reached is triggered, what is due has ended."""
        for order in self.orders.values():
            if not order.is_open:
                continue
            assert order.request.expire_time is None or order.request.expire_time > now
            shown = self.shown[other(order.request.side)]
            if order.waits_for_stop:
                assert order.stop_px is not None
                assert shown is None or order.sign * (shown[0] - order.stop_px) < 0
                continue
            assert shown is None or shown[1] == 0 or not order.accepts(shown[0])
            for maker in self.resting(other(order.request.side)):
                assert maker.price is not None
                assert not order.accepts(maker.price)


def other(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


@given(steps())
def test_every_entry_keeps_the_rules_of_a_price_time_book(made: list[Step]) -> None:
    exchange, observer = Exchange(catalogue()), Observer()
    entries: list[Entry] = []
    for n, step in enumerate(made):
        at = NOON + n * SECOND
        if isinstance(step, Quote):
            observer.see_quote(step)
        entry = turn(exchange, step, entries, at)
        if entry is not None:
            entries.append(entry)
            observer.see(entry)
        observer.check_nothing_left_to_do(at)

    totals: dict[tuple[str, str], Decimal] = {}
    for order, qty in observer.fills.values():
        key = order.request.account_id, order.request.symbol
        totals[key] = totals.get(key, Decimal(0)) + order.sign * qty
    held = exchange.positions({o.request.account_id for o in observer.orders.values()})
    assert {(a, s): q for a, s, q in held} == {k: q for k, q in totals.items() if q}


@given(steps(), st.data())
def test_a_restart_at_any_point_gives_the_same_state_and_the_same_bytes_after_it(
    made: list[Step], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(made)))
    whole: list[Entry] = []
    first = Exchange(catalogue(), before := Ledger())
    run(first, made[:cut], whole)

    after = Ledger()
    for entry in whole:
        after.restore(decode(encode(entry)))
    assert state(after) == state(before)

    # The quote is not kept: after a restart the market is known with the next one.
    rest = [quote(99, 3, 101, 3, at=NOON + cut * SECOND), *made[cut:]]
    again = list(whole)
    run(first, rest, whole, NOON + cut * SECOND)
    run(Exchange(catalogue(), after), rest, again, NOON + cut * SECOND)
    assert [encode(entry) for entry in again] == [encode(entry) for entry in whole]


def state(ledger: Ledger) -> dict[str, object]:
    return {
        "number": ledger.number,
        "orders": ledger.orders,
        "requests": ledger.requests,
        "executions": ledger.executions,
        "refusals": ledger.refusals,
        "positions": ledger.positions,
        "found": {wire_id: ledger.order_of(wire_id) for wire_id in ledger.requests},
    }
