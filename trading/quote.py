"""Quotes, and the reference price that risk may rely on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from trading.ids import InstrumentID
from trading.quantity import Px, Qty
from trading.record import record


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The best bid and offer of an instrument; a size of None means that none is shown.

    `time` is the market's instant and `received_at` ours, both in UTC nanoseconds.
    """

    symbol: InstrumentID
    bid: Px | None
    bid_size: Qty | None
    ask: Px | None
    ask_size: Qty | None
    last: Px | None = None
    last_size: Qty | None = None
    time: int
    received_at: int
    source: str
    delayed: bool = False

    @property
    def mid(self) -> Px | None:
        """Halfway between bid and ask, or the one side that is there, or the last trade."""
        if self.bid is not None and self.ask is not None:
            return (self.bid + self.ask) / 2
        if self.bid is not None:
            return self.bid
        return self.ask if self.ask is not None else self.last


LOOKBACK_NS = 60_000_000_000
"""How far back the earlier reference lies, against which a price is judged too: a minute."""

_KEPT_MAX = 128


class Earlier(NamedTuple):
    """A reference of some time ago: its price, and when it was received in UTC nanoseconds."""

    px: Px
    received_at: int


class Lookback:
    """Remembers references of the last minute, so that each can be compared with an earlier one."""

    def __init__(self) -> None:
        """Begin without a past."""
        self._past: dict[InstrumentID, deque[Earlier]] = {}

    def take(self, quote: Quote) -> Earlier | None:
        """Take a quote in; return the reference a minute before it, or the first there is."""
        past = self._past.setdefault(quote.symbol, deque(maxlen=_KEPT_MAX))
        if quote.mid is not None:
            past.append(Earlier(quote.mid, quote.received_at))
        while len(past) > 1 and past[1].received_at <= quote.received_at - LOOKBACK_NS:
            past.popleft()
        return past[0] if past else None
