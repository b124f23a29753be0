"""Log-ins and their access tokens: how long they last, and how many there may be at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.instants import SECOND_NS
from brokers.tradovate.simulator.account import USER_ID
from brokers.tradovate.simulator.terms import Document
from brokers.tradovate.simulator.wire import at_text
from trading.ports import Clock

LIFE_S = 90 * 60
"""How long Tradovate's access tokens last."""

SESSIONS_MAX = 2
QUOTA = "ConnectionQuotaReached"
_WRONG = (
    "Incorrect username or password. Please try again, noting that passwords are case-sensitive."
)


@dataclass(frozen=True, slots=True)
class Login:
    """What the one user logs in with: a name and a password, and the key of an application."""

    name: str
    password: str = field(repr=False)
    cid: str
    sec: str = field(repr=False)

    def is_of(self, given: Mapping[str, Any]) -> bool:
        """Tell whether the body of a request for a token is right."""
        told = tuple(str(given.get(name, "")) for name in ("name", "password", "cid", "sec"))
        return told == (self.name, self.password, self.cid, self.sec)


@dataclass(slots=True, eq=False)
class Session:
    """One log-in. It ends by the clock, or for a reason that its sockets are told of."""

    expires_at: int
    ended: str | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, reason: str) -> None:
        """End it before its time."""
        self.ended = reason
        self.moved.set()


class Sessions:
    """All log-ins of the user. A third ends the oldest of two."""

    def __init__(self, clock: Clock, login: Login, fresh: Callable[[], str], life_s: float) -> None:
        """Start with none. `fresh` makes tokens that nobody guesses, and they last so long."""
        self._clock = clock
        self._login = login
        self._fresh = fresh
        self._life_ns = round(life_s * SECOND_NS)
        self._tokens: dict[str, tuple[Session, int]] = {}
        self._open: list[Session] = []

    def log_in(self, given: Mapping[str, Any]) -> Document:
        """Begin a session, or say what is wrong."""
        if not self._login.is_of(given):
            return {"errorText": _WRONG}
        self._open = [each for each in self._open if self.is_alive(each)]
        while len(self._open) >= SESSIONS_MAX:
            self._open.pop(0).end(QUOTA)
        session = Session(self._clock.now() + self._life_ns)
        self._open.append(session)
        return self._token(session)

    def renew(self, session: Session) -> Document:
        """Let a session last longer, under a further token; its sockets go on."""
        session.expires_at = self._clock.now() + self._life_ns
        return self._token(session)

    def of(self, token: str) -> Session | None:
        """Return the session of a token, or None where it is no token now."""
        session, expires_at = self._tokens.get(token, (None, 0))
        if session is None or self._clock.now() >= expires_at or not self.is_alive(session):
            return None
        return session

    def is_alive(self, session: Session) -> bool:
        """Tell whether a session has neither been ended nor expired."""
        return session.ended is None and self._clock.now() < session.expires_at

    def expire(self) -> None:
        """Have every token expire now."""
        for session in self._open:
            session.expires_at = 0

    def end(self, reason: str) -> None:
        """End every session."""
        while self._open:
            self._open.pop().end(reason)

    def _token(self, session: Session) -> Document:
        access, data = self._fresh(), self._fresh()
        self._tokens[access] = self._tokens[data] = session, session.expires_at
        return {
            "accessToken": access,
            "mdAccessToken": data,
            "expirationTime": at_text(session.expires_at),
            "passwordExpirationTime": "2099-01-01T00:00:00.000Z",
            "userStatus": "Active",
            "userId": USER_ID,
            "name": self._login.name,
            "hasLive": False,
        }
