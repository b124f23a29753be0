"""Tradovate's access tokens: asked for once, renewed in time, and shared within a process.

A user has two sessions at a time, and a third ends the oldest; a renewal goes on with the one there
is. So all that a process has to do with one user goes by one log-in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from brokers.instants import format_instant
from brokers.link.http import Answer, Http
from brokers.link.keys import Key
from brokers.link.wirelog import WireLog
from brokers.tradovate.fence import Credentials
from brokers.tradovate.maintenance import Maintenance
from brokers.tradovate.messages import document, instant, text
from brokers.tradovate.penalty import Penalties
from trading.ports import Clock, Unauthorized, Unavailable

logger = logging.getLogger(__name__)

_LOG_IN = "/v1/auth/accesstokenrequest"
_RENEW = "/v1/auth/renewaccesstoken"
_AHEAD_NS = 900_000_000_000
"""Renewed a quarter of an hour before it expires, as Tradovate says; a short one sooner."""

_NS_PER_S = 1_000_000_000
_HOUR_NS = 3600 * _NS_PER_S
_FAILURES_MAX = 4
"""Log-ins that may fail in an hour: Tradovate shuts an address out after the fifth."""

_NEVER_SHUT = Maintenance()


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; instants are in UTC nanoseconds."""

    value: str = field(repr=False)
    data_value: str = field(repr=False)
    renew_at: int
    expires_at: int


class Login:
    """The one session of a user in this process."""

    def __init__(
        self, credentials: Key[Credentials], clock: Clock, maintenance: Maintenance = _NEVER_SHUT
    ) -> None:
        """Ask for nothing yet, and for nothing while the calendar has Tradovate shut.

        Credentials are taken as they are when one logs in: a session outlasts those that began it.
        """
        self._credentials = credentials
        self._tried: Credentials | None = None
        self._clock = clock
        self._maintenance = maintenance
        self._penalties = Penalties(clock)
        self._token: Token | None = None
        self._is_spoilt = False
        self._lock = asyncio.Lock()
        self._failures: deque[int] = deque(maxlen=_FAILURES_MAX)

    def headers(self) -> Mapping[str, str]:
        """Return what goes with every request."""
        return {"authorization": f"Bearer {self._token.value}"} if self._token else {}

    async def token(self, http: Http, log: WireLog) -> Token:
        """Return a token that is good now. Raises Unauthorized, RateLimited, Unavailable."""
        async with self._lock:
            token = self._token
            if token is None or self._clock.now() >= token.expires_at:
                return await self._log_in(http, log)
            return await self._renew(http, log) if self._is_spoilt else token

    async def renewed(self, http: Http, log: WireLog) -> Token:
        """Return the token, renewed if it is time. Raises what `token` does."""
        async with self._lock:
            if self._token is None:
                return await self._log_in(http, log)
            if self._clock.now() >= self._token.renew_at:
                return await self._renew(http, log)
            return self._token

    def renew_in_s(self) -> float:
        """Say how many seconds there are until the token is to be renewed."""
        left = self._token.renew_at - self._clock.now() if self._token else 0
        return max(left / _NS_PER_S, 0.0)

    def spoil(self, value: str) -> None:
        """Take in that a token was not accepted: before it is used again, it is renewed."""
        if self._token is not None and self._token.value == value:
            self._is_spoilt = True

    async def _renew(self, http: Http, log: WireLog) -> Token:
        self._check_open()
        self._penalties.check(_RENEW)
        try:
            answer = await http.ask(self._penalties.path_with_ticket(_RENEW, {}), is_secret=True)
            self._penalties.examine(_RENEW, {}, _read(answer))
            return self._take(answer, log)
        except Unauthorized as error:
            logger.warning("Tradovate has ended our session, and we log in anew: %s", error)
            return await self._log_in(http, log)

    async def _log_in(self, http: Http, log: WireLog) -> Token:
        self._token = None
        self._check_open()
        self._penalties.check(_LOG_IN)
        body = self._mended(log).request()
        self._check_failures()
        given = self._penalties.with_ticket(_LOG_IN, body)
        try:
            answer = await http.ask(_LOG_IN, given, is_secret=True)
            self._penalties.examine(_LOG_IN, body, _read(answer))
            return self._take(answer, log)
        except Unauthorized:
            self._failures.append(self._clock.now())
            raise

    def _mended(self, log: WireLog) -> Credentials:
        """Return the credentials of now, which are in no log; failures of others do not count."""
        now = self._credentials.now()
        if now != self._tried:
            self._tried = now
            self._failures.clear()
            for secret in now.secrets():
                log.hide(secret)
        return now

    def _check_open(self) -> None:
        """Raise Unavailable in maintenance: a log-in that fails then may count like any other."""
        if (until := self._maintenance.until(self._clock.now())) is not None:
            raise Unavailable(
                f"Tradovate is in maintenance until {format_instant(until)}: it lets nobody in"
            )

    def _check_failures(self) -> None:
        full = len(self._failures) == _FAILURES_MAX
        if full and self._clock.now() - self._failures[0] < _HOUR_NS:
            raise Unauthorized(
                f"{_FAILURES_MAX} log-ins have failed within an hour, and one more would shut us"
                " out of Tradovate: mend the credentials"
            )

    def _take(self, answer: Answer, log: WireLog) -> Token:
        given, now = _read(answer), self._clock.now()
        if answer.status == 401 or given.get("errorText") or "accessToken" not in given:
            said = given.get("errorText") or f"{answer.status}"
            raise Unauthorized(f"Tradovate did not let the user in: {said}")
        try:
            expires_at = instant(given, "expirationTime")
            value = text(given, "accessToken")
        except ValueError as error:
            raise Unavailable(f"Tradovate's token cannot be read: {error}") from None
        ahead = min(_AHEAD_NS, (expires_at - now) // 3)
        data_value = str(given.get("mdAccessToken") or value)
        log.hide(value)
        log.hide(data_value)
        self._token = Token(value, data_value, expires_at - ahead, expires_at)
        self._is_spoilt = False
        return self._token


def login_of(
    url: str, credentials: Key[Credentials], clock: Clock, maintenance: Maintenance
) -> Login:
    """Return this process's log-in of a user at a host, or begin one."""
    key = (url, credentials.now().name)
    if (known := _LOGINS.get(key)) is None:
        known = _LOGINS[key] = Login(credentials, clock, maintenance)
    return known


_LOGINS: WeakValueDictionary[tuple[str, str], Login] = WeakValueDictionary()


def _read(answer: Answer) -> Mapping[str, Any]:
    try:
        return document(answer.json())
    except ValueError as error:
        if answer.status == 401:
            return {}
        raise Unavailable(f"Tradovate answered {answer.status}: {answer.text()}") from error
