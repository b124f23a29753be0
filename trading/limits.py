"""Limits as versioned data: what risk measures orders against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique

from trading.ids import AccountID, InstrumentID

ANY_SYMBOL = InstrumentID("*")
"""The scope of a limit that holds for every instrument without one of its own."""


@unique
class LimitName(StrEnum):
    """What can be limited. A limit that is not set refuses."""

    MAX_ORDER_QTY = "MAX_ORDER_QTY"
    """Largest quantity of one order, in units of the instrument."""

    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    """Largest value of one order, in money of the account's currency."""

    MAX_POSITION_QTY = "MAX_POSITION_QTY"
    """Largest position on either side, open orders included, in units of the instrument."""

    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    """Largest number of open orders of the account."""

    PRICE_COLLAR = "PRICE_COLLAR"
    """Largest distance of a price from the reference, as a fraction of the reference."""

    REFERENCE_MAX_AGE_MS = "REFERENCE_MAX_AGE_MS"
    """Longest time since the reference quote was received, in milliseconds."""

    MIN_BUYING_POWER = "MIN_BUYING_POWER"
    """Buying power that must remain, in money of the account's currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One version of an account's limits, by instrument (or `*`) and name."""

    account_id: AccountID
    version: int
    values: Mapping[tuple[InstrumentID, LimitName], Decimal]

    def get(self, name: LimitName, symbol: InstrumentID = ANY_SYMBOL) -> Decimal | None:
        """Return the limit of an instrument, else the one for every instrument, else None."""
        own = self.values.get((symbol, name))
        return own if own is not None else self.values.get((ANY_SYMBOL, name))
