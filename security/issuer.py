"""Tokens of the issuer that is configured: signed ones by its keys, opaque ones by asking it."""

from __future__ import annotations

from joserfc import jws
from joserfc.errors import JoseError

from security.introspection import Introspection
from security.jwks import RemoteKeys
from security.verifier import Claims, Verifier
from trading.outcome import Unauthenticated
from trading.ports import Clock

_DOTS = 2


class IssuerTokens:
    """Verifies the tokens of one issuer, whichever form they have."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: RemoteKeys,
        introspection: Introspection | None,
        clock: Clock,
    ) -> None:
        """Without introspection opaque tokens are refused."""
        self._issuer, self._audience, self._clock = issuer, audience, clock
        self._keys, self._introspection = keys, introspection

    async def verify(self, token: str) -> Claims:
        """Return what a token says. Raises Unauthenticated and IssuerUnavailable."""
        if token.count(".") == _DOTS:
            keys = await self._keys.of(_kid(token))
            return Verifier(
                keys=keys, issuer=self._issuer, audience=self._audience, clock=self._clock
            ).verify(token)
        if self._introspection is None:
            raise Unauthenticated("the token is refused: it is no JWT")
        return await self._introspection.verify(token)


def _kid(token: str) -> str | None:
    """Read which key a token says it was signed with, before anything of it is believed."""
    try:
        kid = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, TypeError, ValueError, AttributeError):
        raise Unauthenticated("the token is refused: it is malformed") from None
    return kid if isinstance(kid, str) else None
