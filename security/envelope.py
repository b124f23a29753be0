"""Envelope encryption: a secret lies under a key of its own, and that under a keeper's.

Each version of a secret has a fresh AES-256-GCM key. What it belongs to is authenticated with it,
in the payload and in the wrapping of its key: one that is put in another's place does not open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY_BITS = 256

type Random = Callable[[int], bytes]
"""Draws so many bytes that nobody can guess."""


class SecretRefused(Exception):
    """A secret cannot be opened: it is not what was sealed here, or its key is not to be had.

    The words name the place, and nothing of what is in it.
    """


class KeyUnavailable(Exception):
    """The keeper of the keys does not answer: what it keeps can be asked for again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a secret belongs to; `revision` counts its versions."""

    tenant_id: str
    link_id: str
    field: str
    revision: int

    @property
    def context(self) -> Mapping[str, str]:
        """The place as keepers of keys take it: names and texts."""
        return {name: str(value) for name, value in asdict(self).items()}

    @property
    def authenticated(self) -> bytes:
        """The place as it is authenticated: canonical JSON."""
        return json.dumps(self.context, separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The key of one secret, under a key that its provider knows by its id."""

    provider: str
    key_id: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it is stored."""

    key: WrappedKey
    nonce: bytes
    ciphertext: bytes


class KeyProvider(Protocol):
    """A keeper of keys that never lets one out.

    All raise KeyUnavailable where it does not answer, and SecretRefused where it refuses.
    """

    @property
    def name(self) -> str:
        """Its name, as it stands beside each key that it has wrapped."""

    async def key_id(self) -> str:
        """Return the id of the key that wraps new ones."""

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Make a key of 256 bits for a place; return it plain and wrapped."""

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Return a key that was wrapped for this place."""

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Wrap a key anew under the key that wraps new ones now."""


class Envelope:
    """Seals under the first of its providers, and opens what any of them has wrapped."""

    def __init__(self, providers: Mapping[str, KeyProvider], current: str, random: Random) -> None:
        """Take the providers by their names, and the name of the one that seals."""
        self._providers = providers
        self._current = providers[current]
        self._random = random

    async def seal(self, secret: bytes, place: Place) -> Sealed:
        """Seal a secret for a place. Raises KeyUnavailable, SecretRefused."""
        key, wrapped = await self._current.generate(place)
        nonce = self._random(NONCE_BYTES)
        return Sealed(wrapped, nonce, AESGCM(key).encrypt(nonce, secret, place.authenticated))

    async def open(self, sealed: Sealed, place: Place) -> bytes:
        """Open what was sealed for exactly this place. Raises SecretRefused, KeyUnavailable."""
        key = await self._provider(sealed.key).unwrap(sealed.key, place)
        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, place.authenticated)
        except (InvalidTag, ValueError):
            raise SecretRefused(f"{told(place)} is not what was sealed there") from None

    async def key_id(self) -> tuple[str, str]:
        """Return the provider and the id of the key that seals now."""
        return self._current.name, await self._current.key_id()

    async def rewrap(self, sealed: Sealed, place: Place) -> Sealed:
        """Put a secret under the key that seals now; the secret itself stays as it is."""
        if sealed.key.provider == self._current.name:
            return replace(sealed, key=await self._current.rewrap(sealed.key, place))
        # Another keeper cannot take over a key that it does not know: the secret gets a new one.
        return await self.seal(await self.open(sealed, place), place)

    def _provider(self, wrapped: WrappedKey) -> KeyProvider:
        provider = self._providers.get(wrapped.provider)
        if provider is None:
            known = ", ".join(self._providers)
            raise SecretRefused(f"a key is kept by {wrapped.provider}, and configured are {known}")
        return provider


def told(place: Place) -> str:
    """Name a place in an error."""
    return f"the secret {place.field} of the link {place.link_id}, revision {place.revision},"


class Wrapping:
    """AES-256-GCM of keys by keys that this process holds itself."""

    def __init__(self, random: Random) -> None:
        """Take randomness."""
        self._random = random

    def wrap(self, key: bytes, under: bytes, place: Place) -> bytes:
        """Wrap a key: the nonce, then the ciphertext."""
        nonce = self._random(NONCE_BYTES)
        return nonce + AESGCM(under).encrypt(nonce, key, place.authenticated)

    def unwrap(self, blob: bytes, under: bytes, place: Place) -> bytes:
        """Unwrap a key. Raises SecretRefused."""
        try:
            nonce, rest = blob[:NONCE_BYTES], blob[NONCE_BYTES:]
            return AESGCM(under).decrypt(nonce, rest, place.authenticated)
        except (InvalidTag, ValueError):
            raise SecretRefused(f"the key of {told(place)} was not wrapped for it") from None
