"""The controls of what may be traded, when, and at which prices. One pure function each."""

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
    distance,
)
from trading.limits import LimitName
from trading.quantity import ONE, ZERO
from trading.reject import OrdRejReason as Reason


@control(Reason.INCORRECT_QUANTITY)
def order_terms(
    order_qty: Decimal,
    price: Decimal | None,
    stop_px: Decimal | None,
    is_margined: bool,  # noqa: FBT001 - inputs go by position, because that is faster
) -> Finding:
    """`order_qty > 0`, and prices above 0 where the instrument is paid in full.

    Units of the instrument, and price points; what is margined may trade below zero, as crude oil
    has. Scope: all. Source: RTS 6 (EU 2017/589) article 15(1); a negative quantity would slip under
    every other limit.
    """
    if order_qty <= ZERO:
        return Finding("INVALID_QUANTITY")
    if not is_margined and any(px is not None and px <= ZERO for px in (price, stop_px)):
        return Finding("INVALID_PRICE")
    return PASSED


@control(Reason.EXCHANGE_CLOSED)
def session_phase(market_time: int, opens_at: int | None, closes_at: int | None) -> Finding:
    """`opens_at <= market_time < closes_at`, UTC nanoseconds. Scope: instrument.

    The times are those of the trading period that is under way, or else comes next; a calendar that
    is not known, or ends within 30 days, has none. Source: the exchange's published hours.
    """
    if opens_at is None or closes_at is None:
        return Finding("CALENDAR_MISSING")
    return PASSED if opens_at <= market_time < closes_at else Finding("MARKET_CLOSED")


@control(Reason.OTHER, LimitName.INSTRUMENT_PERMITTED)
def instrument_permitted(limit: Decimal | None) -> Finding:
    """`limit >= 1`: the instrument is permitted, and on no restricted list. Yes is 1, no is 0.

    Scope: all, tenant, account, strategy and instrument. Source: SEC rule 15c3-5(c)(2); RTS 6
    article 15(5).
    """
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    return Finding(None if limit >= ONE else "RESTRICTED_INSTRUMENT", limit)


@control(Reason.REFERENCE_PRICE_NOT_AVAILABLE)
def reference_quality(
    bid: Decimal | None,
    ask: Decimal | None,
    delayed: bool | None,  # noqa: FBT001 - inputs go by position, because that is faster
) -> Finding:
    """The reference quote is `bid <= ask`, and not delayed by its source. Price points.

    Scope: instrument. Source: FIA best practices 2024, 1.3: a collar is as good as its reference.
    """
    if delayed is None:
        return Finding(REFERENCE_MISSING)
    if delayed:
        return Finding("REFERENCE_DELAYED")
    crossed = bid is not None and ask is not None and bid > ask
    return Finding("REFERENCE_CROSSED") if crossed else PASSED


@control(Reason.PRICE_EXCEEDS_CURRENT_PRICE_BAND, LimitName.PRICE_COLLAR_TICKS)
def price_collar_ticks(
    price: Decimal | None,
    stop_px: Decimal | None,
    reference_px: Decimal | None,
    tick: Decimal,
    limit: Decimal | None,
) -> Finding:
    """`|px - reference_px| / tick <= limit` for price and stop price, in ticks.

    Absolute, so that it holds near a reference of zero too. Scope: account and instrument. Source:
    RTS 6 article 15(1)(a); FIA best practices 2024, 1.3.
    """
    ticks = None if reference_px is None else distance(price, stop_px, reference_px) / tick
    return at_most(limit, ticks, "PRICE_OUTSIDE_COLLAR_TICKS")


@control(Reason.PRICE_EXCEEDS_CURRENT_PRICE_BAND, LimitName.PRICE_COLLAR_OVER_TIME)
def price_collar_over_time(
    price: Decimal | None,
    stop_px: Decimal | None,
    earlier_px: Decimal | None,
    limit: Decimal | None,
) -> Finding:
    """`|px - earlier_px| <= limit * |earlier_px|` for price and stop price, as a fraction.

    `earlier_px` is the reference 60 seconds ago, or the first since the feed began. Scope: account
    and instrument. Source: RTS 6 article 15(1)(a), collars over a period of time.
    """
    return collared(price, stop_px, earlier_px, limit, "PRICE_OUTSIDE_COLLAR_OVER_TIME")
