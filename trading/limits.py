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
    """Buying power that must remain, in money of the account's currency. The most is strictest."""

    INSTRUMENT_PERMITTED = "INSTRUMENT_PERMITTED"
    """Whether an instrument may be traded: 1, or 0 where it is not. The least is strictest."""

    SHORT_SALE_PERMITTED = "SHORT_SALE_PERMITTED"
    """Whether more may be sold than is held: 1, or 0. The least is strictest."""

    SELF_MATCH_PERMITTED = "SELF_MATCH_PERMITTED"
    """Whether orders of one owner may trade with one another: 1, or 0. The least is strictest."""

    PRICE_COLLAR_TICKS = "PRICE_COLLAR_TICKS"
    """Largest distance of a price from the reference, in ticks. The least is strictest."""

    PRICE_COLLAR_OVER_TIME = "PRICE_COLLAR_OVER_TIME"
    """Largest distance of a price from the reference 60 seconds ago, as a fraction of that."""

    MAX_DUPLICATE_ORDERS = "MAX_DUPLICATE_ORDERS"
    """Largest number of orders alike in all terms within a second. The least is strictest."""

    MAX_STRATEGY_ORDERS = "MAX_STRATEGY_ORDERS"
    """Largest number of orders of a strategy without a person's. The least is strictest."""

    MAX_MESSAGE_RATE = "MAX_MESSAGE_RATE"
    """Largest number of messages to the broker in a second, a quarter of them for cancels."""

    MIN_EXCESS_EQUITY = "MIN_EXCESS_EQUITY"
    """Equity that must remain beyond initial margin, in money. The most is strictest."""

    MIN_INTRADAY_EXCESS = "MIN_INTRADAY_EXCESS"
    """Equity that must remain beyond maintenance margin, in money. The most is strictest."""

    MAX_OPEN_NOTIONAL = "MAX_OPEN_NOTIONAL"
    """Largest value of all open orders, in money. The least is strictest."""

    MAX_GROSS_NOTIONAL = "MAX_GROSS_NOTIONAL"
    """Largest value of all positions without netting, in money. The least is strictest."""

    MAX_LEVERAGE = "MAX_LEVERAGE"
    """Largest value of all positions, as a multiple of equity. The least is strictest."""

    MAX_CONCENTRATION = "MAX_CONCENTRATION"
    """Largest value of a position in one instrument, as a multiple of equity."""

    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    """Largest loss since the session began, in money; beyond it the account only reduces."""

    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    """Largest loss since the session's highest equity, in money; beyond it the account reduces."""

    MAX_IN_DOUBT_ORDERS = "MAX_IN_DOUBT_ORDERS"
    """Largest number of orders of which nobody knows whether the broker has them."""


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
