"""Penalties: Tradovate asks who calls an endpoint too often to wait, in an answer of status 200.

`p-ticket` is sent again after `p-time` seconds, with the same body; what was asked has not been
done. `p-captcha` is for people: a program waits for an hour. Source: Tradovate's page on penalty
tickets, 2026.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from brokers.link.body import encode
from trading.ports import Clock, RateLimited, Unavailable

logger = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000
_HOUR_S = 3600
_TICKETS_MAX = 1000

type _Asked = tuple[str, bytes]
"""An endpoint, and the body without a ticket."""


class Penalties:
    """Which endpoints are to be left alone until when, and the tickets for what is asked again."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._until: dict[str, int] = {}
        self._barred: set[str] = set()
        self._tickets: dict[_Asked, str] = {}

    def check(self, endpoint: str) -> None:
        """Raise RateLimited, or Unavailable for a captcha, while an endpoint is barred."""
        left = self._until.get(endpoint, 0) - self._clock.now()
        if left <= 0:
            return
        if endpoint in self._barred:
            raise Unavailable(
                f"Tradovate wants a captcha for {endpoint}, which only a person can answer: it is"
                f" asked again in {left // _NS_PER_S} s"
            )
        raise RateLimited(f"Tradovate asks to leave {endpoint} alone", left / _NS_PER_S)

    def with_ticket(self, endpoint: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a body with the ticket that it was given when it was turned away, if it was."""
        ticket = self._tickets.pop((endpoint, encode(body)), None)
        return body if ticket is None else {**body, "p-ticket": ticket}

    def path_with_ticket(self, path: str, asked: Mapping[str, Any]) -> str:
        """Return a path with the ticket of a question that was turned away, if it was."""
        ticket = self._tickets.pop((path.partition("?")[0], encode(asked)), None)
        if ticket is None:
            return path
        return f"{path}{'&' if '?' in path else '?'}{urlencode({'p-ticket': ticket})}"

    def examine(self, endpoint: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Pass an answer that is none of this; else raise what `check` does from now on."""
        ticket = answer.get("p-ticket")
        is_captcha = bool(answer.get("p-captcha"))
        if ticket is None and not is_captcha:
            return
        wait_s = Decimal(_HOUR_S) if is_captcha else _seconds(answer.get("p-time"))
        self._until[endpoint] = self._clock.now() + int(wait_s * _NS_PER_S)
        if is_captcha:
            self._barred.add(endpoint)
            logger.critical(
                "Tradovate wants a captcha for %s: it is not asked for an hour", endpoint
            )
        else:
            self._barred.discard(endpoint)
            self._keep((endpoint, encode(body)), str(ticket))
            logger.warning("Tradovate has us wait %s s for %s", wait_s, endpoint)
        self.check(endpoint)
        raise RateLimited(f"Tradovate asks to leave {endpoint} alone", 0.0)

    def _keep(self, asked: _Asked, ticket: str) -> None:
        self._tickets[asked] = ticket
        if len(self._tickets) > _TICKETS_MAX:
            del self._tickets[next(iter(self._tickets))]


def _seconds(given: object) -> Decimal:
    if isinstance(given, int | Decimal) and not isinstance(given, bool) and given >= 0:
        return Decimal(given)
    return Decimal(_HOUR_S)
