"""The controls of conduct: what an account does to the market, to itself and to its broker."""

from __future__ import annotations

from decimal import Decimal

from risk.control import LIMIT_NOT_SET, PASSED, Finding, at_most, control
from trading.limits import LimitName
from trading.order import Side
from trading.quantity import ONE, ZERO
from trading.reject import OrdRejReason as Reason

STRATEGY_DISABLED = "STRATEGY_DISABLED"
CANCEL_RESERVE = Decimal("0.25")
"""The part of an account's messages that new orders and replaces leave to cancels."""


@control(Reason.OTHER)
def short_sale(
    sells_short: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    shortable: bool,  # noqa: FBT001
) -> Finding:
    """A sale is long if `net_qty - open_qty - leaves_qty >= 0`, else short: only if it may be.

    Stocks and coins must be borrowed for that, futures and currencies need not; refused is what is
    known not to be lent. Whether an order sells short is kept with it. Scope: instrument. Source:
    Regulation SHO, 17 CFR 242.200(g) and 203(b).
    """
    return Finding("NOT_SHORTABLE") if sells_short and not shortable else PASSED


@control(Reason.EXCEEDED_MAX_NET_POSITION, LimitName.SHORT_SALE_PERMITTED)
def oversell(
    side: Side,
    must_borrow: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    net_qty: Decimal,
    open_qty: Decimal,
    leaves_qty: Decimal,
    limit: Decimal | None,
) -> Finding:
    """`open_qty + leaves_qty <= net_qty` for a sale, unless the limit permits short ones by 1.

    `open_qty` is that of the other open sells: two closing orders must not sell the same shares.
    Units of the instrument; of no matter where nothing must be borrowed. Scope: account and
    instrument. Source: CME in-flight mitigation; 17 CFR 242.200.
    """
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if side is not Side.SELL or not must_borrow or limit >= ONE:
        return PASSED
    return at_most(max(net_qty, ZERO), open_qty + leaves_qty, "OVERSELL")


@control(Reason.OTHER, LimitName.SELF_MATCH_PERMITTED)
def self_match(
    side: Side,
    price: Decimal | None,
    opposite_px: Decimal | None,
    opposite_unpriced: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    opposite_order_id: str | None,
    limit: Decimal | None,
) -> Finding:
    """No open order of the same owner could trade with this one, unless the limit permits it by 1.

    Market and stop orders could always; limits where the buy is not below the sell, in price
    points. The other one is the best of those on the other side, in any account of the owner.
    Scope: owner and instrument. Source: FIA best practices 2024, 3.5; CME self-match prevention.
    """
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if opposite_order_id is None or limit >= ONE:
        return PASSED
    if price is None or opposite_unpriced or opposite_px is None:
        return Finding("SELF_MATCH")
    return Finding("SELF_MATCH") if (price - opposite_px) * side.sign >= ZERO else PASSED


@control(Reason.DUPLICATE_ORDER, LimitName.MAX_DUPLICATE_ORDERS)
def duplicate_order(duplicates: int, limit: Decimal | None) -> Finding:
    """`duplicates <= limit`: orders alike in all their terms within a second of the first.

    Alike are instrument, side, type, quantity, prices and strategy; this order counts, a replace
    does not. Orders; looks back at 16 different ones at most. Scope: account. Source: SEC rule
    15c3-5(c)(1)(ii).
    """
    return at_most(limit, Decimal(duplicates), "DUPLICATE_SUSPECTED")


@control(Reason.OTHER, LimitName.MAX_STRATEGY_ORDERS)
def strategy_orders(
    strategy_id: str | None, strategy_orders: int, limit: Decimal | None
) -> Finding:
    """`strategy_orders <= limit`: orders of one strategy since a person last placed one of it.

    A manual order (ManualOrderIndicator(1028)) begins the count anew, until the limit is passed:
    from then on only a higher limit, which takes two people, enables the strategy. Orders. Scope:
    account and strategy. Source: RTS 6 (EU 2017/589) article 15(3); FIA best practices 2024, 3.2.
    """
    used = ZERO if strategy_id is None else Decimal(strategy_orders)
    return at_most(limit, used, STRATEGY_DISABLED)


@control(Reason.OTHER, LimitName.MAX_MESSAGE_RATE)
def message_rate(messages: Decimal, limit: Decimal | None) -> Finding:
    """`messages <= 3/4 * limit`: new orders, replaces and cancels in the last second.

    Messages per second, this one included; the second before counts by the part of it that is not
    over yet. The last quarter is kept for cancels, which count and are never refused. Scope:
    account. Source: RTS 6 article 15(1)(d); FIA best practices 2024, 3.4.
    """
    ceiling = None if limit is None else limit * (ONE - CANCEL_RESERVE)
    return at_most(ceiling, messages, "RATE_LIMIT_EXCEEDED")


@control(Reason.OTHER, LimitName.MAX_IN_DOUBT_ORDERS)
def in_doubt(in_doubt_side: int, in_doubt: int, limit: Decimal | None) -> Finding:
    """`in_doubt <= limit` orders of the account, and none on this side of this instrument.

    Nobody knows whether those have reached the broker, so that more of the same may double them.
    Orders. Scope: account and instrument. Source: own; a timeout is not a no.
    """
    if limit is not None and in_doubt_side > 0:
        return Finding("IN_DOUBT_PENDING", ZERO, Decimal(in_doubt_side))
    return at_most(limit, Decimal(in_doubt), "IN_DOUBT_PENDING")
