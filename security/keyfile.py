"""Keys in a local file: for a developer's machine and for tests, and refused in `live`."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from security.envelope import KEY_BITS, Place, Random, SecretRefused, WrappedKey, Wrapping, told
from security.sealing import KeysRefused

logger = logging.getLogger(__name__)

KEYS_FILE = "wrapping-keys.json"
_BYTES = KEY_BITS // 8


class LocalKeys:
    """Implements `security.envelope.KeyProvider` by a JWK Set of octet keys: the first one wraps.

    The file is read again when it changes; to rotate, put a new key before the others.
    """

    name = "local"

    def __init__(self, file: Path, random: Random) -> None:
        """Take the file. Raises KeysRefused."""
        self._file = file
        self._random = random
        self._wrapping = Wrapping(random)
        self._seen: tuple[int, ...] = ()
        self._keys: Mapping[str, bytes] = {}
        self._refresh()

    async def key_id(self) -> str:
        """Return the id of the first key."""
        self._refresh()
        return next(iter(self._keys))

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Make a key, and wrap it under the first."""
        key = self._random(_BYTES)
        return key, await self._wrapped(key, place)

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Unwrap under the key that is named. Raises SecretRefused."""
        self._refresh()
        under = self._keys.get(wrapped.key_id)
        if under is None:
            raise SecretRefused(
                f"{told(place)} is under the key {wrapped.key_id}, which {self._file} has not"
            )
        return self._wrapping.unwrap(wrapped.blob, under, place)

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Unwrap, and wrap under the first key."""
        return await self._wrapped(await self.unwrap(wrapped, place), place)

    async def _wrapped(self, key: bytes, place: Place) -> WrappedKey:
        key_id = await self.key_id()
        return WrappedKey(self.name, key_id, self._wrapping.wrap(key, self._keys[key_id], place))

    def _refresh(self) -> None:
        """Read the file where it has changed; one that is no good leaves the keys as they were."""
        try:
            self._look()
        except KeysRefused as refused:
            if not self._keys:
                raise
            logger.warning("the keys of before are used: %s", refused)

    def _look(self) -> None:
        try:
            state = self._file.stat()
        except OSError as error:
            raise KeysRefused(f"{self._file} cannot be read ({error.strerror})") from None
        seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        if seen != self._seen:
            self._keys = _read(self._file, state.st_mode)
            self._seen = seen


def make_keys(file: Path, random: Random) -> None:
    """Write a file with one new key, if there is none."""
    key = base64.urlsafe_b64encode(random(_BYTES)).rstrip(b"=").decode()
    text = json.dumps({"keys": [{"kty": "oct", "kid": random(8).hex(), "k": key}]})
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # Processes start together: the first to link its own decides.
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()


def _read(file: Path, mode: int) -> Mapping[str, bytes]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        keys = {str(each["kid"]): _octets(each["k"]) for each in found["keys"]}
    except (ValueError, KeyError, TypeError):
        keys = {}
    if not keys or any(len(key) != _BYTES for key in keys.values()):
        raise KeysRefused(f"{file} is no JWK Set of octet keys with ids and {KEY_BITS} bits each")
    if stat.S_IMODE(mode) & stat.S_IROTH:
        raise KeysRefused(f"everybody may read {file}: take that right away")
    return keys


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
