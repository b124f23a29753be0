"""An issuer's public keys: fetched once for all who wait, and kept while the issuer is down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key

from security.discovery import Discovery
from security.fetch import Fetch, IssuerUnavailable
from trading.ports import Clock

logger = logging.getLogger(__name__)

FRESH_S = 600
"""How long keys are taken as they are, before they are fetched again."""

STALE_S = 24 * 3_600
"""How long they serve while the issuer is down."""

EVERY_S = 1
"""How often keys are fetched at most: who brings a key that is not known waits for its turn."""

COOL_DOWN_S = 10
"""How long an issuer that gave no answer is left alone."""

KEYS_MAX = 64
_RSA_BITS_MIN = 2_048
_SECOND_NS = 1_000_000_000


class RemoteKeys:
    """The keys of one issuer.

    A key that is known is never waited for. One that is not is looked for by one request however
    many ask, so that a new key is known with its first token, and made-up ones cost the issuer one
    request in `EVERY_S`.
    """

    def __init__(self, discovery: Discovery, fetch: Fetch, clock: Clock) -> None:
        """Take where they are; nothing is fetched yet."""
        self._discovery, self._fetch, self._clock = discovery, fetch, clock
        self._keys: KeySet | None = None
        self._fetched_at = 0
        self._next_at = 0
        self._is_failing = False
        self._fetching: asyncio.Task[None] | None = None

    async def of(self, kid: str | None) -> KeySet:
        """Return the keys, looked for again where this one is new. Raises IssuerUnavailable."""
        if self._age_s() >= FRESH_S:
            self._look()
        for _ in range(2):  # What is under way may have been asked for before the key was made.
            if not self._has(kid):
                await asyncio.shield(self._look())
        if self._keys is None or self._age_s() >= STALE_S:
            raise IssuerUnavailable("the issuer's keys cannot be had")
        return self._keys

    def _has(self, kid: str | None) -> bool:
        if self._keys is None or self._age_s() >= STALE_S:
            return False
        return kid is None or any(key.kid == kid for key in self._keys)

    async def close(self) -> None:
        """End what is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _age_s(self) -> float:
        return (self._clock.monotonic() - self._fetched_at) / _SECOND_NS

    def _look(self) -> asyncio.Task[None]:
        """Fetch, or join who does."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        try:
            if self._is_failing and self._clock.monotonic() < self._next_at:
                return
            await self._clock.sleep(max(self._next_at - self._clock.monotonic(), 0) / _SECOND_NS)
            self._is_failing = True
            self._next_at = self._clock.monotonic() + COOL_DOWN_S * _SECOND_NS
            found = await self._fetch.get(await self._discovery.jwks_uri())
            self._keys = _imported(found)
            self._fetched_at = self._clock.monotonic()
            self._is_failing, self._next_at = False, self._fetched_at + EVERY_S * _SECOND_NS
        except IssuerUnavailable as error:
            logger.warning("the issuer's keys cannot be fetched: %s", error)
        finally:
            self._fetching = None


def _imported(found: Mapping[str, Any]) -> KeySet:
    """Take the signing keys of a JWK Set. Raises IssuerUnavailable where there is none."""
    listed = found.get("keys")
    if not isinstance(listed, list):
        raise IssuerUnavailable("what it gives is no JWK Set")
    keys = [key for each in listed[:KEYS_MAX] if (key := _signing_key(each)) is not None]
    if not keys:
        raise IssuerUnavailable("its JWK Set has no key that verifies")
    return KeySet(list(keys))


def _signing_key(given: Any) -> RSAKey | ECKey | OKPKey | None:
    """Import one key; what is not understood, or verifies nothing, is passed over (RFC 7517, 5)."""
    try:
        if given.get("use", "sig") != "sig":
            return None
        key = import_key(given)
    except (JoseError, ValueError, TypeError, AttributeError, KeyError):
        return None
    match key:
        case RSAKey():
            return key if key.public_key.key_size >= _RSA_BITS_MIN else None
        case ECKey() | OKPKey():
            return key
        case _:
            return None  # A secret that is published is none.
