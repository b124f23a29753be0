"""The controls: one pure function each, of inputs that are stored with its verdict.

Formulas are in the notation of their parameters. A limit of None is one that is not set, and
refuses; so does a reference that is missing.
"""

from __future__ import annotations

from decimal import Decimal

from risk.control import (
    LIMIT_NOT_SET,
    PASSED,
    REFERENCE_MISSING,
    Finding,
    at_most,
    collared,
    control,
)
from trading.account import TradingState
from trading.limits import LimitName
from trading.order import Side
from trading.quantity import ZERO, is_multiple
from trading.reject import OrdRejReason as Reason

__all__ = ["LIMIT_NOT_SET", "REFERENCE_MISSING"]


@control(Reason.EXCHANGE_CLOSED)
def instrument_expiry(market_time: int, expiry: int | None) -> Finding:
    """`market_time < expiry`, UTC nanoseconds. Scope: instrument.

    Source: contract specifications; nothing trades after its last trading day.
    """
    if expiry is not None and market_time >= expiry:
        return Finding("INSTRUMENT_EXPIRED")
    return PASSED


@control(Reason.TOO_LATE_TO_ENTER)
def expire_time(market_time: int, expire_time: int | None) -> Finding:
    """`market_time < expire_time`, UTC nanoseconds. Scope: order.

    Source: FIX ExpireTime(126), against the market's own clock.
    """
    if expire_time is not None and market_time >= expire_time:
        return Finding("EXPIRE_TIME_IN_PAST")
    return PASSED


@control(Reason.UNSUPPORTED_ORDER_CHARACTERISTIC)
def capability(ord_type: str, ord_types: str, time_in_force: str, times_in_force: str) -> Finding:
    """The broker takes this OrdType(40) and this TimeInForce(59), of those listed. Scope: broker.

    Source: the adapter's published capabilities.
    """
    supported = ord_type in ord_types.split() and time_in_force in times_in_force.split()
    return PASSED if supported else Finding("UNSUPPORTED_BY_BROKER")


@control(Reason.INCORRECT_QUANTITY)
def lot_size(order_qty: Decimal, lot: Decimal) -> Finding:
    """`order_qty mod lot = 0`, units of the instrument. Scope: instrument.

    Source: contract specifications.
    """
    return PASSED if is_multiple(order_qty, lot) else Finding("QTY_OFF_LOT")


@control(Reason.INVALID_PRICE_INCREMENT)
def tick_size(price: Decimal | None, stop_px: Decimal | None, tick: Decimal) -> Finding:
    """`price mod tick = 0` and `stop_px mod tick = 0`, price points. Scope: instrument.

    Source: contract specifications.
    """
    for px in (price, stop_px):
        if px is not None and not is_multiple(px, tick):
            return Finding("PRICE_OFF_TICK")
    return PASSED


@control(Reason.OTHER)
def currency(instrument_currency: str, account_currency: str) -> Finding:
    """The instrument is paid for in the account's currency, ISO 4217. Scope: account.

    Source: no conversion rate is kept, and a missing rate refuses.
    """
    if instrument_currency != account_currency:
        return Finding("NO_CONVERSION_RATE")
    return PASSED


@control(Reason.OTHER)
def trading_state(
    state: TradingState, side: Side, net_qty: Decimal, closing_qty: Decimal, leaves_qty: Decimal
) -> Finding:
    """ACTIVE, or REDUCING and `leaves_qty <= |net_qty| - closing_qty` against the position.

    `closing_qty` is what other open orders already close. Units of the instrument. Scope: account.
    Source: FIA best practices 2024, 1.5; SEC rule 15c3-5(c).
    """
    match state:
        case TradingState.ACTIVE:
            return PASSED
        case TradingState.HALTED:
            return Finding("TRADING_HALTED")
        case TradingState.REDUCING:
            reduces = _reduces(side, net_qty, closing_qty, leaves_qty)
            return PASSED if reduces else Finding("TRADING_STATE_REDUCING")


@control(Reason.OTHER)
def reduce_only(
    reduce_only: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    side: Side,
    net_qty: Decimal,
    closing_qty: Decimal,
    leaves_qty: Decimal,
) -> Finding:
    """A reduce-only order has `leaves_qty <= |net_qty| - closing_qty`, opposite to the position.

    Units of the instrument. Scope: order. Source: an oversized closing order would turn the
    position round.
    """
    if reduce_only and not _reduces(side, net_qty, closing_qty, leaves_qty):
        return Finding("REDUCE_ONLY_WOULD_INCREASE")
    return PASSED


def _reduces(side: Side, net_qty: Decimal, closing_qty: Decimal, leaves_qty: Decimal) -> bool:
    return net_qty * side.sign < ZERO and leaves_qty <= abs(net_qty) - closing_qty


@control(Reason.REFERENCE_PRICE_NOT_AVAILABLE, LimitName.REFERENCE_MAX_AGE_MS)
def reference_price(
    reference_px: Decimal | None, age_ms: int | None, limit: Decimal | None
) -> Finding:
    """`age_ms <= limit`, milliseconds since our receipt of the reference quote. Scope: instrument.

    Source: SEC rule 15c3-5(c)(1)(ii); a price that nobody knows cannot be judged.
    """
    used = None if reference_px is None or age_ms is None else Decimal(age_ms)
    return at_most(limit, used, "REFERENCE_STALE")


@control(Reason.ORDER_EXCEEDS_LIMIT, LimitName.MAX_ORDER_QTY)
def max_order_qty(order_qty: Decimal, limit: Decimal | None) -> Finding:
    """`order_qty <= limit`, units of the instrument. Scope: account and instrument.

    Source: FIA best practices 2024, 1.1; RTS 6 (EU 2017/589) article 15(1)(c).
    """
    return at_most(limit, order_qty, "QTY_EXCEEDS_MAX")


@control(Reason.NOTIONAL_VALUE_EXCEEDS_THRESHOLD, LimitName.MAX_ORDER_NOTIONAL)
def max_order_notional(
    order_qty: Decimal, reserve_px: Decimal | None, multiplier: Decimal, limit: Decimal | None
) -> Finding:
    """`order_qty * reserve_px * multiplier <= limit`, money. Scope: account and instrument.

    `reserve_px` is the price, or where there is none the reference with the collar added.
    Source: RTS 6 article 15(1)(b); SEC rule 15c3-5(c)(1)(ii).
    """
    used = None if reserve_px is None else order_qty * reserve_px * multiplier
    return at_most(limit, used, "NOTIONAL_EXCEEDS_MAX")


@control(Reason.PRICE_EXCEEDS_CURRENT_PRICE_BAND, LimitName.PRICE_COLLAR)
def price_collar(
    price: Decimal | None,
    stop_px: Decimal | None,
    reference_px: Decimal | None,
    limit: Decimal | None,
) -> Finding:
    """`|px - reference_px| <= limit * |reference_px|` for price and stop price, as a fraction.

    Scope: account and instrument. Source: RTS 6 article 15(1)(a); FIA best practices 2024, 1.3.
    """
    return collared(price, stop_px, reference_px, limit, "PRICE_OUTSIDE_COLLAR")


@control(Reason.EXCEEDED_MAX_NET_POSITION, LimitName.MAX_POSITION_QTY)
def max_position(
    side: Side,
    net_qty: Decimal,
    open_qty: Decimal,
    leaves_qty: Decimal,
    limit: Decimal | None,
) -> Finding:
    """`sign * net_qty + open_qty + leaves_qty <= limit`, units of the instrument.

    `open_qty` is that of the other open orders on this side. Scope: account and instrument.
    Source: FIA best practices 2024, 1.2.
    """
    return at_most(limit, net_qty * side.sign + open_qty + leaves_qty, "POSITION_LIMIT")


@control(Reason.ORDER_EXCEEDS_LIMIT, LimitName.MAX_OPEN_ORDERS)
def max_open_orders(open_orders: int, limit: Decimal | None) -> Finding:
    """`open_orders <= limit`, this order included, orders. Scope: account.

    Source: broker limits on working orders; RTS 6 article 15(1)(d).
    """
    return at_most(limit, Decimal(open_orders), "TOO_MANY_OPEN_ORDERS")


@control(Reason.INSUFFICIENT_CREDIT_LIMIT, LimitName.MIN_BUYING_POWER)
def buying_power(
    funds: Decimal | None,
    tied_up_before: Decimal | None,
    tied_up_after: Decimal | None,
    limit: Decimal | None,
) -> Finding:
    """`funds - tied_up_after >= limit`, or the order ties up no more than before. Money.

    `funds` are cash and the unrealized gains of margined positions; what is tied up is initial
    margin of futures (the multiplier is already inside the rate per contract), the cost of open
    buys, and 1.5 times the value of short positions. Scope: account. Source: SEC rule
    15c3-5(c)(1)(i); Regulation T; CFTC rule 1.73.
    """
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if funds is None or tied_up_before is None or tied_up_after is None:
        return Finding(REFERENCE_MISSING)
    # Headroom is what could still be tied up: the funds beyond the limit are the ceiling.
    ceiling = funds - limit
    refused = tied_up_after > ceiling and tied_up_after > tied_up_before
    code = "INSUFFICIENT_BUYING_POWER" if refused else None
    return Finding(code, limit=ceiling, used=tied_up_after)
