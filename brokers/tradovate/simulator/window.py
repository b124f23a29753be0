"""The simulator's rate limits: a lock-out of an hour for all, and penalty tickets by endpoint."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from brokers.instants import SECOND_NS
from brokers.tradovate.simulator.terms import Document
from trading.ports import Clock

REQUESTS_MAX = 5000
"""How many requests Tradovate takes from a user in an hour."""

_HOUR_NS = 3600 * SECOND_NS


class _Rule(NamedTuple):
    """So many in an hour; then each waits. Some count only what failed, and some want a human."""

    most: int
    wait_s: int
    counts_all: bool = True
    captcha: bool = False


_RULES: Mapping[str, _Rule] = {
    "auth/accesstokenrequest": _Rule(5, 15, counts_all=False, captcha=True),
    "auth/renewaccesstoken": _Rule(15, 15),
    "auth/me": _Rule(10, 30, counts_all=False),
    "user/syncrequest": _Rule(300, 3),
}


@dataclass(slots=True)
class _Penalty:
    """A wait that a ticket ends; where a human is wanted, no ticket does, but an hour."""

    until: int
    captcha: bool
    ticket: str

    def document(self, now: int) -> Document:
        left_s = max(math.ceil((self.until - now) / SECOND_NS), 1)
        told: Document = {"p-ticket": self.ticket, "p-time": left_s}
        return told | ({"p-captcha": True} if self.captcha else {})


class Window:
    """Counts requests of the last hour. A request while locked out begins the hour again."""

    def __init__(self, clock: Clock, fresh: Callable[[], str], limit: int) -> None:
        """Allow so many in an hour; `fresh` makes tickets that nobody guesses."""
        self._clock = clock
        self._fresh = fresh
        self._limit = limit
        self._taken = deque[int]()
        self._locked_until = 0
        self._counted: dict[str, deque[int]] = defaultdict(deque)
        self._penalties: dict[str, _Penalty] = {}

    def allows(self) -> bool:
        """Count a request; tell whether it is within the limit of all."""
        now = self._clock.now()
        _forget(self._taken, now)
        self._taken.append(now)
        if len(self._taken) > self._limit or now < self._locked_until:
            self._locked_until = now + _HOUR_NS
            return False
        return True

    def penalty(self, endpoint: str, ticket: object) -> Document | None:
        """Return the penalty that a request meets, or None; `ticket` is what came with it."""
        now = self._clock.now()
        if (penalty := self._penalties.get(endpoint)) is not None:
            if now < penalty.until or (ticket != penalty.ticket and not penalty.captcha):
                return penalty.document(now)
            del self._penalties[endpoint]
            return None
        if (rule := _RULES.get(endpoint)) is None:
            return None
        _forget(self._counted[endpoint], now)
        if len(self._counted[endpoint]) < rule.most:
            return None
        return self.impose(endpoint, 3600 if rule.captcha else rule.wait_s, captcha=rule.captcha)

    def count(self, endpoint: str, *, failed: bool) -> None:
        """Count what came of a request."""
        if (rule := _RULES.get(endpoint)) is not None and (failed or rule.counts_all):
            self._counted[endpoint].append(self._clock.now())

    def impose(self, endpoint: str, wait_s: float, *, captcha: bool = False) -> Document:
        """Have requests to an endpoint wait so long; return what they are told."""
        now = self._clock.now()
        penalty = _Penalty(now + round(wait_s * SECOND_NS), captcha, self._fresh())
        self._penalties[endpoint] = penalty
        return penalty.document(now)


def _forget(instants: deque[int], now: int) -> None:
    while instants and instants[0] <= now - _HOUR_NS:
        instants.popleft()
