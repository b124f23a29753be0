"""What controls may ask about an order: a control's parameter takes the fact of the same name.

Quantities are in units of the instrument, prices in price points, money in the account's currency,
instants in UTC nanoseconds. None is what is not known, or is not there.
"""

from __future__ import annotations

import typing
from decimal import Decimal
from typing import TypedDict

from trading.account import TradingState
from trading.order import OrdType, Side, TimeInForce


class OrderFacts(TypedDict):
    """Of the order, at the terms to be judged."""

    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    expire_time: int | None
    order_qty: Decimal
    leaves_qty: Decimal
    price: Decimal | None
    stop_px: Decimal | None
    reserve_px: Decimal | None
    reduce_only: bool
    strategy_id: str | None


class InstrumentFacts(TypedDict):
    """Of the instrument and its market, and of what the broker takes."""

    lot: Decimal
    tick: Decimal
    multiplier: Decimal
    expiry: int | None
    instrument_currency: str
    is_margined: bool
    must_borrow: bool
    shortable: bool
    market_time: int
    opens_at: int | None
    closes_at: int | None
    ord_types: str
    times_in_force: str


class ReferenceFacts(TypedDict):
    """Of the reference price: `earlier_px` is that of a minute ago."""

    reference_px: Decimal | None
    earlier_px: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    delayed: bool | None
    age_ms: int | None


class PositionFacts(TypedDict):
    """Of the position without the order; what other orders have open on its side, adds or closes.

    `reduces` says that the order can do nothing but close.
    """

    net_qty: Decimal
    open_qty: Decimal
    closing_qty: Decimal
    sells_short: bool
    reduces: bool


class AccountFacts(TypedDict):
    """Of the account: what it is worth, and what it owes and holds before the order and after."""

    account_currency: str
    state: TradingState
    open_orders: int
    funds: Decimal | None
    equity: Decimal | None
    session_equity: Decimal | None
    peak_equity: Decimal | None
    tied_up_before: Decimal | None
    tied_up_after: Decimal | None
    initial_before: Decimal | None
    initial_after: Decimal | None
    maintenance_before: Decimal | None
    maintenance_after: Decimal | None
    gross_after: Decimal | None
    open_notional: Decimal | None
    position_value: Decimal | None


class ConductFacts(TypedDict):
    """Of what the account did lately, this order included, and of its other open orders."""

    opposite_px: Decimal | None
    opposite_unpriced: bool
    opposite_order_id: str | None
    duplicates: int
    strategy_orders: int
    messages: Decimal
    in_doubt: int
    in_doubt_side: int


_GROUPS = (OrderFacts, InstrumentFacts, ReferenceFacts, PositionFacts, AccountFacts, ConductFacts)

FACTS = {name: kind for group in _GROUPS for name, kind in typing.get_type_hints(group).items()}
"""All facts with their types."""
