"""How many requests a broker still takes: by its own headers, with a reserve for cancels."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique

from trading.ports import Clock, RateLimited

_SECOND_NS = 1_000_000_000


@unique
class Urgency(IntEnum):
    """What may use how much of the budget: the last part is left for what takes risk away."""

    ORDER = 0
    QUESTION = 1
    CANCEL = 2


class Budget:
    """Requests in the present window: the broker's own count, less what it may not know of yet."""

    def __init__(
        self,
        clock: Clock,
        *,
        limit: int = 200,
        window_s: float = 60.0,
        reserve: int = 20,
        bar_s: float | None = None,
    ) -> None:
        """Allow `limit` requests in a window, the last `reserve` of them to cancels alone.

        Half of the reserve is open to questions too, without which no doubt is ever settled. Who is
        turned away without a word on how long waits for the window's end, or for `bar_s`.
        """
        self._clock = clock
        self._limit = limit
        self._window_ns = round(window_s * _SECOND_NS)
        self._kept = {Urgency.ORDER: reserve, Urgency.QUESTION: reserve // 2, Urgency.CANCEL: 0}
        self._bar_ns = None if bar_s is None else round(bar_s * _SECOND_NS)
        self._left = limit
        self._under_way = 0
        self._resets_at = 0
        self._barred_until = 0

    def spend(self, urgency: Urgency) -> None:
        """Take one request. Raises RateLimited, with when to come back, if none is left for it."""
        now = self._clock.now()
        if now >= self._resets_at:
            self._left, self._resets_at = self._limit, now + self._window_ns
        if now < self._barred_until:
            raise RateLimited("the broker has asked to wait", self._wait_s(self._barred_until))
        if self._left <= self._kept[urgency]:
            raise RateLimited(
                f"{self._left} of {self._limit} requests are left, and kept for cancels",
                self._wait_s(self._resets_at),
            )
        self._left -= 1
        self._under_way += 1

    def finish(self) -> None:
        """Take in that a request is no longer under way, answered or not."""
        self._under_way -= 1

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take in what the broker says of its limit; `Reset` is in seconds since 1970."""
        limit = _number(headers.get("x-ratelimit-limit"))
        left = _number(headers.get("x-ratelimit-remaining"))
        resets = _number(headers.get("x-ratelimit-reset"))
        self._limit = limit or self._limit
        if left is not None:
            # Of what is under way beside the one that is answered, the broker may not know yet.
            self._left = max(left - max(self._under_way - 1, 0), 0)
        if resets is not None:
            self._resets_at = resets * _SECOND_NS

    def refused(self, headers: Mapping[str, str]) -> RateLimited:
        """Take in that the broker has turned a request away, and return the error to raise."""
        self.hear(headers)
        after_s = _number(headers.get("retry-after"))
        now = self._clock.now()
        until = self._resets_at if self._bar_ns is None else now + self._bar_ns
        if after_s is not None:
            until = now + after_s * _SECOND_NS
        self._barred_until = max(self._barred_until, until)
        return RateLimited("the broker asks to wait", self._wait_s(self._barred_until))

    def _wait_s(self, until: int) -> float:
        return max(until - self._clock.now(), _SECOND_NS // 10) / _SECOND_NS


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
