"""What a caller shows: its token, and its proof that the token is its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import NoReturn

from trading.outcome import Unauthenticated

TOKEN_MAX = 8_192
"""The longest token that is looked at, in characters."""


@unique
class Scheme(StrEnum):
    """How a token is presented: RFC 6750 or RFC 9449."""

    BEARER = "Bearer"
    DPOP = "DPoP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What came with a request, or with `connection_init`, as it came.

    `certificate` is the header of RFC 9440, which counts from `peer`s that are trusted alone.
    `address` is where the caller is, which is elsewhere where the peer speaks for it.
    """

    authorization: str | None = None
    proof: str | None = None
    method: str = "POST"
    certificate: str | None = None
    peer: str = ""
    address: str = ""
    is_proven: bool = False
    """Whether it was proven before, when a socket was opened that is now looked at again."""


class Refused(Unauthenticated):
    """Unauthenticated, with the challenge of `WWW-Authenticate` that says what would do."""

    def __init__(self, message: str, challenge: str) -> None:
        """Take both."""
        super().__init__(message)
        self.challenge = challenge


_SCHEMES = {each.lower(): each for each in Scheme}
INVALID_TOKEN = f'{Scheme.BEARER} error="invalid_token"'
_SEND = "send `authorization: Bearer <token>`"


def presented(authorization: str | None) -> tuple[Scheme, str]:
    """Take scheme and token out of a header. Raises Refused."""
    if not authorization:
        # RFC 6750, 3.1: who sent nothing is told no error code.
        raise Refused(f"no token: {_SEND}", Scheme.BEARER)
    name, _, token = authorization.strip().partition(" ")
    scheme = _SCHEMES.get(name.lower())
    if scheme is None or not token.strip():
        raise Refused(f"not a bearer token: {_SEND}", Scheme.BEARER)
    if len(token) > TOKEN_MAX:
        refuse(f"the token is refused: it has more than {TOKEN_MAX} characters", scheme)
    return scheme, token.strip()


def refuse(message: str, scheme: Scheme = Scheme.BEARER) -> NoReturn:
    """Raise Refused with the challenge of a scheme."""
    raise Refused(message, f'{scheme} error="invalid_token"')
