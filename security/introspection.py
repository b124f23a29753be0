"""Opaque tokens, about which their issuer is asked (RFC 7662)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from security.discovery import Discovery
from security.fetch import Fetch
from security.verifier import LEEWAY_S, Claims, claims_of
from trading.outcome import Unauthenticated
from trading.ports import Clock

KEPT_S = 30
"""How long an answer is kept, and so how late a revocation at the issuer can be felt."""

KEPT_MAX = 4_096
_SECOND_NS = 1_000_000_000
_TEXTS = ("client_id",)
_SECONDS = ("exp", "iat")


@dataclass(frozen=True, slots=True)
class _Answer:
    found: Mapping[str, Any]
    since: int


class Introspection:
    """Asks one issuer, as a client with a secret; answers are kept by the hash of the token."""

    def __init__(
        self,
        *,
        discovery: Discovery,
        fetch: Fetch,
        client: Callable[[], tuple[str, str]],
        audience: str,
        clock: Clock,
    ) -> None:
        """Take whom to ask, as which client, and the audience that tokens must be for."""
        self._discovery, self._fetch, self._client = discovery, fetch, client
        self._audience, self._clock = audience, clock
        self._kept: OrderedDict[bytes, _Answer] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """Return what its issuer says of a token. Raises Unauthenticated and IssuerUnavailable."""
        found = await self._answer(token)
        if found.get("active") is not True:
            raise Unauthenticated("the token is refused: it is not active; get a new one")
        self._check(found)
        # Some issuers number no opaque tokens; its hash is as good a name. A program that asks for
        # itself has no other subject (RFC 9068, 2.2).
        named = {"jti": sha256(token.encode()).hexdigest(), "sub": found["client_id"]}
        return claims_of(named | dict(found))

    async def _answer(self, token: str) -> Mapping[str, Any]:
        key = sha256(token.encode(errors="replace")).digest()
        kept, now = self._kept.get(key), self._clock.monotonic()
        if kept is not None and now < kept.since + KEPT_S * _SECOND_NS:
            return kept.found
        form = {"token": token, "token_type_hint": "access_token"}
        found = await self._fetch.post(
            await self._discovery.introspection_endpoint(), form, self._client()
        )
        self._kept[key] = _Answer(found, now)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return found

    def _check(self, found: Mapping[str, Any]) -> None:
        """Demand of an answer what is demanded of a signed token."""
        for names, kind in ((_TEXTS, str), (_SECONDS, int)):
            for name in names:
                if not isinstance(found.get(name), kind):
                    raise Unauthenticated(f"the token is refused: it lacks the claim {name}")
        if not isinstance(found.get("sub", ""), str):
            raise Unauthenticated("the token is refused: its claim sub is not valid")
        now = self._clock.now() // _SECOND_NS
        if found["exp"] <= now - LEEWAY_S:
            raise Unauthenticated("the token is refused: it has expired; get a new one")
        if max(found["iat"], found.get("nbf") or 0) > now + LEEWAY_S:
            raise Unauthenticated("the token is refused: it is not valid yet")
        if found.get("iss", self._discovery.issuer) != self._discovery.issuer:
            raise Unauthenticated("the token is refused: it is of another issuer")
        given = found.get("aud")
        if self._audience not in (given if isinstance(given, list) else [given]):
            raise Unauthenticated("the token is refused: it is for another audience")
