"""The keys that seal the audit record: a JWK Set in a file, whose first private key signs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

logger = logging.getLogger(__name__)

KEYS_FILE = "audit-keys.json"
_ALGORITHM: Final = "Ed25519"


class KeysRefused(Exception):
    """The keys cannot be used; the words name the file and the remedy."""


class SealKeys:
    """Signs seals, and verifies those that any of its keys has signed.

    A key is rotated by putting a new one before it; the old one stays, at least its public half, as
    long as seals are to be verified that it has signed. The file is read again when it changes.
    """

    def __init__(self, file: Path) -> None:
        """Take the file. Raises KeysRefused."""
        self._file = file
        self._seen: tuple[int, ...] = ()
        self._keys: list[OKPKey] = []
        self._refresh()

    def sign(self, statement: bytes) -> str:
        """Return a JWS (RFC 7515) of the statement. Raises KeysRefused without a private key."""
        self._refresh()
        for key in self._keys:
            if key.is_private:
                header = {"alg": _ALGORITHM, "kid": key.thumbprint()}
                return jws.serialize_compact(header, statement, key, algorithms=[_ALGORITHM])
        raise KeysRefused(f"{self._file} has no private key to sign with")

    def verify(self, signature: str) -> bytes:
        """Return the statement that was signed. Raises ValueError, which says what is wrong."""
        known = KeySet([OKPKey.import_key(_public(key)) for key in self._keys])
        try:
            return jws.deserialize_compact(signature, known, algorithms=[_ALGORITHM]).payload
        except (JoseError, ValueError):
            raise ValueError(f"its signature is by no key in {self._file}") from None

    def public(self) -> str:
        """Write the public keys, for who verifies elsewhere."""
        return json.dumps({"keys": [_public(key) for key in self._keys]}, indent=2)

    def check(self) -> None:
        """See that something can be signed, before there is anything. Raises KeysRefused."""
        self.sign(b"")

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
            self._keys = _read(self._file, state)
            self._seen = seen


def open_keys(file: Path | None, directory: Path) -> SealKeys:
    """Open a file of keys, or that of a data directory, which is made once. Raises KeysRefused."""
    if file is None:
        file = directory / KEYS_FILE
        if not file.exists():
            _make(file)
    return SealKeys(file)


def _make(file: Path) -> None:
    """Write a new key whole under another name first, since processes start together."""
    key = OKPKey.generate_key(_ALGORITHM)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"keys": [key.as_dict(private=True)]}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()


def _read(file: Path, state: os.stat_result) -> list[OKPKey]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        keys = [OKPKey.import_key(each) for each in found["keys"]]
    except (JoseError, ValueError, KeyError, TypeError, OSError):
        raise KeysRefused(f'{file} is not a JWK Set: write {{"keys": [...]}}') from None
    if stat.S_IMODE(state.st_mode) & stat.S_IROTH and any(key.is_private for key in keys):
        raise KeysRefused(f"everybody may read {file}: take that right away")
    if not keys:
        raise KeysRefused(f"{file} has no keys")
    return keys


def _public(key: OKPKey) -> dict[str, str | list[str]]:
    return key.as_dict(private=False, kid=key.thumbprint())
