"""What all positions of an account come to, kept level with the books of one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trading.account import Position
from trading.ids import InstrumentID
from trading.quantity import ZERO, Money
from trading.valuation import NOTHING, Burden

_COLUMNS = range(len(NOTHING))


class Portfolio:
    """Sums of burdens at the marks of one instant: a change costs the same whatever is held.

    Sums are exact, so that one from which a burden was taken out again is that of the others.
    """

    def __init__(
        self, at: int, positions: Iterable[Position], weigh: Callable[[Position], Burden]
    ) -> None:
        """Weigh all positions of an account; `at` is the instant whose marks are meant."""
        self.at = at
        self.weigh = weigh
        """Say what one position comes to by the same marks."""
        self._burdens: dict[InstrumentID, Burden] = {}
        self._sums: list[Money] = [ZERO] * len(_COLUMNS)
        self._unknown = [0] * len(_COLUMNS)
        for position in positions:
            self.put(position)

    def put(self, position: Position) -> None:
        """Take a position as it is now in the place of what it was."""
        burden = self.weigh(position)
        before = self._burdens.get(position.symbol, NOTHING)
        if before is burden:
            return
        self._burdens[position.symbol] = burden
        for column in _COLUMNS:
            gone, come = before[column], burden[column]
            if gone is None:
                self._unknown[column] -= 1
            elif gone:
                self._sums[column] -= gone
            if come is None:
                self._unknown[column] += 1
            elif come:
                self._sums[column] += come

    def without(self, symbol: InstrumentID) -> Burden:
        """Return what all positions but one come to; what is not known of one is not of all."""
        mine = self._burdens.get(symbol, NOTHING)
        return Burden(*(self._without(column, mine[column]) for column in _COLUMNS))

    def _without(self, column: int, mine: Money | None) -> Money | None:
        if self._unknown[column] > (mine is None):
            return None
        return self._sums[column] - (mine or ZERO)
