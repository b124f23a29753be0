"""What an account has lately sent, and where its equity has been: what some controls remember."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading.calendar import calendar
from trading.order import Order
from trading.quantity import Money, plain
from trading.record import record, replace

SECOND_NS = 1_000_000_000
ALIKE_NS = SECOND_NS
"""How long after the first of its kind an order counts as a repetition."""

_ALIKE_MAX = 16
_STRATEGIES_MAX = 64
_OTHERS = "*"
"""Stands for all strategies beyond those that have a count of their own."""

_SESSION = calendar("24/7-2100")


@dataclass(frozen=True, slots=True)
class Alike:
    """Orders of the same terms: when the first of them came, and how many there were."""

    terms: str
    since: int
    count: int


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """The recent past of an account, kept in its row and so under its lock.

    Messages are counted by whole seconds of the UTC clock, in `second` and in the one before.
    `session_ends` is the instant at which the equity of the session's begin and its peak lapse.
    Money is in the account's currency, instants in UTC nanoseconds.
    """

    second: int = 0
    messages: int = 0
    messages_before: int = 0
    alike: tuple[Alike, ...] = ()
    strategies: Mapping[str, int] = field(default_factory=dict)
    session_ends: int = 0
    session_equity: Money | None = None
    peak_equity: Money | None = None

    def rate(self, at: int) -> Decimal:
        """Return the messages of the last second, estimated from two whole ones."""
        second, into = divmod(at, SECOND_NS)
        if second <= self.second:
            # A clock gone back finds its second busy still: it must not begin a fresh allowance.
            before, now = self.messages_before, self.messages
        else:
            before, now = (self.messages if second == self.second + 1 else 0), 0
        return now + Decimal(before * (SECOND_NS - into)) / SECOND_NS

    def sent(self, at: int) -> Conduct:
        """Count a message to the broker."""
        second = max(at // SECOND_NS, self.second)
        if second == self.second:
            return replace(self, messages=self.messages + 1)
        before = self.messages if second == self.second + 1 else 0
        return replace(self, second=second, messages=1, messages_before=before)

    def duplicates(self, order: Order, at: int) -> int:
        """Return how many orders of these terms there were within the second of the first."""
        terms = _terms(order)
        found = (each.count for each in self.alike if each.terms == terms and _lasts(each, at))
        return next(found, 0)

    def strategy_orders(self, strategy_id: str) -> int:
        """Return how many orders a strategy has placed without a person's hand."""
        if strategy_id in self.strategies or len(self.strategies) < _STRATEGIES_MAX:
            return self.strategies.get(strategy_id, 0)
        return self.strategies.get(_OTHERS, 0)

    def placed(self, order: Order, at: int) -> Conduct:
        """Take in an order that was accepted."""
        terms, count = _terms(order), self.duplicates(order, at) + 1
        mine = [each for each in self.alike if each.terms == terms and _lasts(each, at)]
        others = [each for each in self.alike if each.terms != terms and _lasts(each, at)]
        since = mine[0].since if mine else at
        alike = (*others[-(_ALIKE_MAX - 1) :], Alike(terms, since, count))
        return replace(self, alike=alike).counted(order)

    def counted(self, order: Order) -> Conduct:
        """Count an order of a strategy; a person's begins the count anew."""
        if order.strategy_id is None:
            return self
        known = order.strategy_id in self.strategies or len(self.strategies) < _STRATEGIES_MAX
        count = self.strategy_orders(order.strategy_id) + 1 if order.is_automated else 0
        name = order.strategy_id if known else _OTHERS
        return replace(self, strategies={**self.strategies, name: count})

    def observed(self, equity: Money | None, at: int) -> Conduct:
        """Take in what the account is worth now; a new session begins with the first such word."""
        if equity is None:
            return self
        if at >= self.session_ends:
            ends = _SESSION.session_end(at)
            return replace(self, session_ends=ends, session_equity=equity, peak_equity=equity)
        if self.peak_equity is None or equity > self.peak_equity:
            return replace(self, peak_equity=equity)
        return self


def _lasts(alike: Alike, at: int) -> bool:
    return at - alike.since < ALIKE_NS


def _terms(order: Order) -> str:
    """Return a digest of what makes orders alike: short, because many are kept."""
    numbers = (order.order_qty, order.price, order.stop_px)
    parts = (
        order.symbol,
        order.side,
        order.ord_type,
        *("" if each is None else plain(each) for each in numbers),
        order.strategy_id or "",
    )
    return f"{zlib.crc32('|'.join(parts).encode()):08x}"
