"""Quotes, and the reference price that risk may rely on."""

from __future__ import annotations

from dataclasses import dataclass

from trading.ids import InstrumentID
from trading.quantity import Px, Qty


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
