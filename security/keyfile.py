"""Keys in a local file: for a developer's machine and for tests, and refused in `live`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from security.envelope import KEY_BITS, Place, Random, SecretRefused, WrappedKey, Wrapping, told
from security.watched import KeysRefused, WatchedKeys, check_private, write_once

KEYS_FILE = "wrapping-keys.json"
_BYTES = KEY_BITS // 8


class LocalKeys:
    """Implements `security.envelope.KeyProvider` by a JWK Set of octet keys: the first one wraps.

    The file is read again when it changes; to rotate, put a new key before the others.
    """

    name = "local"

    def __init__(self, file: Path, random: Random) -> None:
        """Take the file. Raises KeysRefused."""
        self._keys = WatchedKeys(file, _read)
        self._random = random
        self._wrapping = Wrapping(random)

    async def key_id(self) -> str:
        """Return the id of the first key."""
        return next(iter(self._keys.now()))

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Make a key, and wrap it under the first."""
        key = self._random(_BYTES)
        return key, await self._wrapped(key, place)

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Unwrap under the key that is named. Raises SecretRefused."""
        under = self._keys.now().get(wrapped.key_id)
        if under is None:
            file = self._keys.file
            raise SecretRefused(
                f"{told(place)} is under the key {wrapped.key_id}, which {file} has not"
            )
        return self._wrapping.unwrap(wrapped.blob, under, place)

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Unwrap, and wrap under the first key."""
        return await self._wrapped(await self.unwrap(wrapped, place), place)

    async def _wrapped(self, key: bytes, place: Place) -> WrappedKey:
        key_id, under = next(iter(self._keys.now().items()))
        return WrappedKey(self.name, key_id, self._wrapping.wrap(key, under, place))


def make_keys(file: Path, random: Random) -> None:
    """Write a file with one new key, if there is none."""
    key = base64.urlsafe_b64encode(random(_BYTES)).rstrip(b"=").decode()
    text = json.dumps({"keys": [{"kty": "oct", "kid": random(8).hex(), "k": key}]})
    write_once(file, text)


def _read(file: Path) -> Mapping[str, bytes]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        keys = {str(each["kid"]): _octets(each["k"]) for each in found["keys"]}
    except (ValueError, KeyError, TypeError):
        keys = {}
    if not keys or any(len(key) != _BYTES for key in keys.values()):
        raise KeysRefused(f"{file} is no JWK Set of octet keys with ids and {KEY_BITS} bits each")
    check_private(file)
    return keys


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
