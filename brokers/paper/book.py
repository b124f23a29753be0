"""The book of one instrument: the displayed quote, and the orders that work or wait in it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

from brokers.paper.ledger import PaperOrder
from trading.ids import WireID
from trading.instrument import Instrument
from trading.order import Side
from trading.quantity import ZERO, Px, Qty
from trading.quote import Quote

type Key = tuple[Px | int, int]


class Queue:
    """Orders in the order of a key, which is unique and is remembered from when each was added."""

    def __init__(self) -> None:
        """Start empty."""
        self._sorted: list[tuple[Key, WireID]] = []
        self._keys: dict[WireID, Key] = {}
        self._orders: dict[WireID, PaperOrder] = {}

    def __iter__(self) -> Iterator[PaperOrder]:
        """Go through the orders as they are now, whatever happens to the queue meanwhile."""
        return iter([self._orders[wire_id] for _, wire_id in self._sorted])

    def first(self) -> tuple[Key, PaperOrder] | None:
        """Return the first order with its key."""
        if not self._sorted:
            return None
        key, wire_id = self._sorted[0]
        return key, self._orders[wire_id]

    def add(self, order: PaperOrder, key: Key) -> None:
        """Take in an order that is not there."""
        self._keys[order.wire_id] = key
        self._orders[order.wire_id] = order
        insort(self._sorted, (key, order.wire_id))

    def discard(self, order: PaperOrder) -> None:
        """Take an order out, if it is there."""
        if (key := self._keys.pop(order.wire_id, None)) is not None:
            del self._orders[order.wire_id]
            del self._sorted[bisect_left(self._sorted, (key, order.wire_id))]


@dataclass(slots=True)
class Display:
    """One side of a quote: its price, and what is left of its size; None fills any quantity."""

    px: Px
    left: Qty | None

    def offers(self, wanted: Qty) -> Qty:
        """Return how much of a quantity it can fill."""
        return wanted if self.left is None else min(wanted, self.left)

    def take(self, qty: Qty) -> None:
        """Use a quantity up."""
        if self.left is not None:
            self.left -= qty


type Maker = Display | PaperOrder


class Book:
    """Price-time order of one instrument.

    The quote stands in it as one more participant, before orders of the same price. Stops wait
    apart until triggered, and market orders that found too little wait for the next quote.
    """

    def __init__(self, instrument: Instrument) -> None:
        """Start empty."""
        self.instrument = instrument
        self.displays: dict[Side, Display | None] = {Side.BUY: None, Side.SELL: None}
        self.limits: dict[Side, Queue] = {Side.BUY: Queue(), Side.SELL: Queue()}
        self.markets: dict[Side, Queue] = {Side.BUY: Queue(), Side.SELL: Queue()}
        self.stops = Queue()

    def show(self, quote: Quote) -> None:
        """Display a quote in place of the one before, whatever of that had been used up."""
        self.displays[Side.BUY] = self._display(quote.bid, quote.bid_size)
        self.displays[Side.SELL] = self._display(quote.ask, quote.ask_size)

    def _display(self, px: Px | None, size: Qty | None) -> Display | None:
        if px is None:
            return None
        # Recorded sizes need not be whole lots, but what trades is.
        return Display(px, None if size is None else size - size % self.instrument.lot)

    def place(self, order: PaperOrder) -> None:
        """Have an order wait where it belongs, by its terms and its rank."""
        if order.awaits_stop:
            self.stops.add(order, (order.rank, order.rank))
        elif order.price is None:
            self.markets[order.side].add(order, (order.rank, order.rank))
        else:
            self.limits[order.side].add(order, (-order.side.sign * order.price, order.rank))

    def lift(self, order: PaperOrder) -> None:
        """Take an order out, wherever it waits."""
        self.stops.discard(order)
        self.markets[order.side].discard(order)
        self.limits[order.side].discard(order)

    def best(self, order: PaperOrder) -> Maker | None:
        """Return what an order would trade with next: the best price, and the quote before orders.

        None where nothing is left at a price that the order accepts.
        """
        other = opposite(order.side)
        display = self.displays[other]
        if display is not None and not display.offers(order.leaves_qty):
            display = None
        first = self.limits[other].first()
        maker = first[1] if first else None
        if display is not None and (maker is None or not _beats(maker, display.px)):
            return display if accepts(order, display.px) else None
        if maker is not None and maker.price is not None and accepts(order, maker.price):
            return maker
        return None

    def can_fill(self, order: PaperOrder) -> bool:
        """Tell whether all that is left of an order could trade at once."""
        other = opposite(order.side)
        display = self.displays[other]
        found = ZERO
        if display is not None and accepts(order, display.px):
            found = display.offers(order.leaves_qty)
        for maker in self.limits[other]:
            if maker.price is None or not accepts(order, maker.price):
                break
            found += maker.leaves_qty
        return found >= order.leaves_qty

    def has_market(self, side: Side) -> bool:
        """Tell whether an order of a side has anybody to trade with: a quote, or a limit order."""
        other = opposite(side)
        return self.displays[other] is not None or self.limits[other].first() is not None

    def triggers(self, order: PaperOrder) -> bool:
        """Tell whether the quote has reached a stop: the ask from below, or the bid from above."""
        display = self.displays[opposite(order.side)]
        if display is None or order.stop_px is None:
            return False
        return order.side.sign * (display.px - order.stop_px) >= 0


def opposite(side: Side) -> Side:
    """Return the side that a side trades with."""
    return Side.SELL if side is Side.BUY else Side.BUY


def accepts(order: PaperOrder, px: Px) -> bool:
    """Tell whether a price is within an order's limit."""
    return order.price is None or order.side.sign * (order.price - px) >= 0


def _beats(maker: PaperOrder, px: Px) -> bool:
    """Tell whether a resting order offers a better price than this one, and not the same."""
    return maker.price is not None and maker.side.sign * (maker.price - px) > 0
