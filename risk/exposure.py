"""The controls of exposure and credit: what the account may owe, hold and lose.

What reduces its own position passes them wherever the limit is set: else a mark that is missing
somewhere would keep a position open. "Before" and "after" are without and with the order, all
other open orders counted.
"""

from __future__ import annotations

from decimal import Decimal

from risk.control import LIMIT_NOT_SET, PASSED, REFERENCE_MISSING, Finding, control
from trading.limits import LimitName
from trading.losses import DRAWDOWN_LIMIT, LOSS_LIMIT
from trading.reject import OrdRejReason as Reason


@control(Reason.INSUFFICIENT_CREDIT_LIMIT, LimitName.MIN_EXCESS_EQUITY)
def initial_margin(
    equity: Decimal | None,
    initial_before: Decimal | None,
    initial_after: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`equity - initial_after >= limit`, or the order requires no more than before. Money.

    Futures require their initial margin per contract on the worse side, the multiplier already
    inside the rate, and no credit for spreads; stocks half of their value. Scope: account. Source:
    Regulation T, 12 CFR 220.12; CME performance bonds; CFTC rule 1.73.
    """
    return _excess(
        (equity, initial_before, initial_after), reduces, limit, "INITIAL_MARGIN_EXCEEDED"
    )


@control(Reason.INSUFFICIENT_CREDIT_LIMIT, LimitName.MIN_INTRADAY_EXCESS)
def intraday_margin(
    equity: Decimal | None,
    maintenance_before: Decimal | None,
    maintenance_after: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`equity - maintenance_after >= limit`, or the order requires no more than before. Money.

    No order may create or increase an intraday margin deficit, at maintenance margin: stocks a
    quarter of a long and three tenths of a short position, futures their rate per contract. Scope:
    account. Source: FINRA rule 4210 as of 4 June 2026 (SR-FINRA-2025-017).
    """
    before_and_after = (equity, maintenance_before, maintenance_after)
    return _excess(before_and_after, reduces, limit, "INTRADAY_MARGIN_DEFICIT")


@control(Reason.NOTIONAL_VALUE_EXCEEDS_THRESHOLD, LimitName.MAX_OPEN_NOTIONAL)
def open_notional(open_notional: Decimal | None, limit: Decimal | None) -> Finding:
    """`open_notional <= limit`: all open orders of the account and this one, at reserved prices.

    Money. Scope: account. Source: SEC rule 15c3-5(c)(1)(i); every order sent counts at once, as in
    RTS 6 article 15(2).
    """
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if open_notional is None:
        return Finding(REFERENCE_MISSING, limit)
    return Finding("OPEN_NOTIONAL_LIMIT" if open_notional > limit else None, limit, open_notional)


@control(Reason.NOTIONAL_VALUE_EXCEEDS_THRESHOLD, LimitName.MAX_GROSS_NOTIONAL)
def gross_notional(
    gross_after: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`gross_after <= limit`: the value of all positions at their worse sides, without netting.

    Money, at the marks, the multiplier counted. Scope: account. Source: SEC rule 15c3-5(c)(1)(i).
    """
    return _bounded(gross_after, limit, reduces, "GROSS_LIMIT", limit)


@control(Reason.INSUFFICIENT_CREDIT_LIMIT, LimitName.MAX_LEVERAGE)
def leverage(
    gross_after: Decimal | None,
    equity: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`gross_after <= limit * equity`, money; the limit is a multiple. Scope: account.

    Source: SEC rule 15c3-5(c)(1)(i); brokers restrict accounts to closing beyond such a multiple.
    """
    return _bounded(gross_after, limit, reduces, "LEVERAGE_LIMIT", _of(equity, limit))


@control(Reason.EXCEEDED_MAX_NET_POSITION, LimitName.MAX_CONCENTRATION)
def concentration(
    position_value: Decimal | None,
    equity: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`position_value <= limit * equity`, money; the limit is a multiple of equity.

    The worse side of the position in this instrument with the order, at its mark. Scope: account
    and instrument. Source: SEC rule 15c3-5(c)(1)(i); Alpaca restricts at 600 percent.
    """
    return _bounded(position_value, limit, reduces, "CONCENTRATION_LIMIT", _of(equity, limit))


@control(Reason.OTHER, LimitName.MAX_DAILY_LOSS)
def daily_loss(
    equity: Decimal | None,
    session_equity: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`session_equity - equity <= limit`, money, realized and unrealized since the session began.

    Beyond it the account is REDUCING from the same commit on, until two people release it. Scope:
    account. Source: FIA best practices 2024; RTS 6 article 15(4).
    """
    return _lost(session_equity, equity, reduces, limit, LOSS_LIMIT)


@control(Reason.OTHER, LimitName.MAX_DRAWDOWN)
def drawdown(
    equity: Decimal | None,
    peak_equity: Decimal | None,
    reduces: bool,  # noqa: FBT001 - inputs go by position, because that is faster
    limit: Decimal | None,
) -> Finding:
    """`peak_equity - equity <= limit`, money, from the highest equity seen in the session.

    Beyond it the account is REDUCING from the same commit on, until two people release it. Scope:
    account. Source: FIA best practices 2024; RTS 6 article 15(4).
    """
    return _lost(peak_equity, equity, reduces, limit, DRAWDOWN_LIMIT)


LATCHED = frozenset({LOSS_LIMIT, DRAWDOWN_LIMIT})
"""Codes that make an account REDUCING in the commit that records the refusal."""


def _of(equity: Decimal | None, limit: Decimal | None) -> Decimal | None:
    return None if equity is None or limit is None else equity * limit


def _bounded(
    used: Decimal | None,
    limit: Decimal | None,
    reduces: bool,  # noqa: FBT001
    code: str,
    ceiling: Decimal | None,
) -> Finding:
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if used is None or ceiling is None:
        return PASSED if reduces else Finding(REFERENCE_MISSING)
    return Finding(code if used > ceiling and not reduces else None, ceiling, used)


def _excess(
    sums: tuple[Decimal | None, Decimal | None, Decimal | None],
    reduces: bool,  # noqa: FBT001
    limit: Decimal | None,
    code: str,
) -> Finding:
    equity, before, after = sums
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if equity is None or before is None or after is None:
        return PASSED if reduces else Finding(REFERENCE_MISSING)
    ceiling = equity - limit
    return Finding(code if after > ceiling and after > before else None, ceiling, after)


def _lost(
    begun: Decimal | None,
    equity: Decimal | None,
    reduces: bool,  # noqa: FBT001
    limit: Decimal | None,
    code: str,
) -> Finding:
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if begun is None or equity is None:
        return PASSED if reduces else Finding(REFERENCE_MISSING)
    lost = begun - equity
    return Finding(code if lost > limit and not reduces else None, limit, lost)
