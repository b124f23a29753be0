"""Losses: what accounts are worth at fresh marks, and how far that lies below what it has been."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trading.account import Account, Position
from trading.books import Books
from trading.conduct import Conduct
from trading.ids import AccountID, InstrumentID
from trading.limits import LimitName, Limits
from trading.quantity import Money, Px, plain
from trading.quote import Quote
from trading.valuation import burden, total

LOSS_LIMIT, DRAWDOWN_LIMIT = "LOSS_LIMIT", "DRAWDOWN_LIMIT"
"""What the gate and the monitor say of an account that is beyond a limit of loss."""

_NS_PER_MS = 1_000_000


def fresh_mark(quote: Quote | None, limits: Limits, symbol: InstrumentID, at: int) -> Px | None:
    """Return a mark that is fresh enough; a stale one is as good as none."""
    longest = limits.get(LimitName.REFERENCE_MAX_AGE_MS, symbol, at=at)
    if quote is None or longest is None or at - quote.received_at > longest * _NS_PER_MS:
        return None
    return quote.mid


def equities(books: Books, at: int) -> Mapping[AccountID, Money | None]:
    """Return what each account is worth, in money of its currency; None where a mark is missing."""
    held: dict[AccountID, list[Position]] = {each: [] for each in books.accounts}
    for position in books.positions.values():
        if position.account_id in held:
            held[position.account_id].append(position)
    return {each: _equity(books, books.accounts[each], held[each], at) for each in held}


def _equity(books: Books, account: Account, positions: Iterable[Position], at: int) -> Money | None:
    limits = books.limits_of(account.id)

    def mark(symbol: InstrumentID) -> Px | None:
        return fresh_mark(books.references.get(symbol), limits, symbol, at)

    burdens = (burden(p, books.catalogue.get(p.symbol), mark(p.symbol)) for p in positions)
    worth = total(burdens).worth
    return None if worth is None else account.cash + worth


def beyond(conduct: Conduct, worth: Money | None, limits: Limits, at: int) -> Iterator[str]:
    """Say which limits of loss an account is beyond, with the inputs.

    What is not known is not beyond: neither without a mark, nor without a limit.
    """
    losses = (
        (LimitName.MAX_DAILY_LOSS, LOSS_LIMIT, "session_equity", conduct.session_equity),
        (LimitName.MAX_DRAWDOWN, DRAWDOWN_LIMIT, "peak_equity", conduct.peak_equity),
    )
    for name, code, measure, begun in losses:
        limit = limits.get(name, at=at)
        if worth is None or begun is None or limit is None or begun - worth <= limit:
            continue
        yield f"{code}: {measure}={plain(begun)} equity={plain(worth)} limit={plain(limit)}"
