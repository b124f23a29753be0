"""An identity provider in memory, that can be down and change its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from security.discovery import WELL_KNOWN, Discovery
from security.fetch import IssuerUnavailable
from security.verifier import audience
from tests.security.fakes import FakeClock
from trading.ports import Environment

ISSUER = "https://idp.example"
JWKS = f"{ISSUER}/jwks"
INTROSPECT = f"{ISSUER}/introspect"
AUDIENCE = audience(Environment.SIM)


class FakeProvider:
    """Answers what is asked, counts it, and signs tokens."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.keys = [new_key("k1")]
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "jwks_uri": JWKS,
            "introspection_endpoint": INTROSPECT,
        }
        self.later: list[OKPKey] = []
        self.listed: list[Any] | None = None
        self.opaque: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.clients: list[tuple[str, str]] = []
        self.is_down = False
        self.go = asyncio.Event()
        self.go.set()

    @property
    def discovery(self) -> Discovery:
        return Discovery(ISSUER, self)

    async def get(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        await self.go.wait()
        if self.is_down:
            raise IssuerUnavailable("down")
        if url == f"{ISSUER}/{WELL_KNOWN}":
            return self.metadata
        assert url == JWKS
        keys, self.keys = self.keys, self.later or self.keys
        if self.listed is not None:
            return {"keys": self.listed}
        return {"keys": [key.as_dict(private=False) for key in keys]}

    async def post(
        self, url: str, form: Mapping[str, str], client: tuple[str, str]
    ) -> Mapping[str, Any]:
        assert url == INTROSPECT
        self.asked.append(url)
        self.clients.append(client)
        if self.is_down:
            raise IssuerUnavailable("down")
        return self.opaque.get(form["token"], {"active": False})

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = self.clock.now() // 10**9
        told = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u1",
            "client_id": "c1",
            "iat": now,
            "exp": now + 600,
            "jti": "j1",
            "scope": "orders:read orders:write",
        }
        return {name: value for name, value in (told | claims).items() if value is not None}

    def token(self, key: OKPKey | ECKey | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        alg = "Ed25519" if isinstance(key, OKPKey) else "ES256"
        header = {"alg": alg, "typ": "at+jwt", "kid": key.kid}
        return jwt.encode(header, self.claims(**claims), key, algorithms=[alg])


def new_key(kid: str) -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": kid})
