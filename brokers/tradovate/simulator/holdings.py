"""What an account holds of each instrument, and what it has gained: fills matched first to first.

A fill that is busted or corrected changes what came after it, so each holding is made anew from
all fills that stand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading.order import Side
from trading.quantity import ZERO, Money, Px, Qty, average


@dataclass(frozen=True, slots=True)
class Traded:
    """A fill that stands."""

    side: Side
    qty: Qty
    px: Px


@dataclass(slots=True)
class Holding:
    """A position: signed `net` at `cost`, and what closing earlier ones gained, in points."""

    net: Qty = ZERO
    cost: Money = ZERO
    bought: Qty = ZERO
    bought_value: Money = ZERO
    sold: Qty = ZERO
    sold_value: Money = ZERO
    gained: Money = ZERO

    @property
    def px(self) -> Px | None:
        """The average price of what is held, or None where nothing is."""
        return average(abs(self.cost), abs(self.net))


def holding(fills: Iterable[Traded]) -> Holding:
    """Match fills in their order, the oldest lot first."""
    held, lots = Holding(), deque[tuple[Decimal, Px]]()
    for fill in fills:
        _count(held, fill)
        left = fill.side.sign * fill.qty
        while left and lots and (lots[0][0] > ZERO) != (left > ZERO):
            lot, px = lots.popleft()
            closed = min(abs(lot), abs(left)) * (1 if lot > ZERO else -1)
            held.gained += closed * (fill.px - px)
            left += closed
            if lot != closed:
                lots.appendleft((lot - closed, px))
        if left:
            lots.append((left, fill.px))
    held.net = sum((lot for lot, _ in lots), ZERO)
    held.cost = sum((lot * px for lot, px in lots), ZERO)
    return held


def _count(held: Holding, fill: Traded) -> None:
    if fill.side is Side.BUY:
        held.bought += fill.qty
        held.bought_value += fill.qty * fill.px
    else:
        held.sold += fill.qty
        held.sold_value += fill.qty * fill.px
