"""The keys that seal the audit record: a JWK Set in a file, whose first private key signs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from security.watched import KeysRefused, WatchedKeys, check_private, write_once

KEYS_FILE = "audit-keys.json"
_ALGORITHM: Final = "Ed25519"


class SealKeys:
    """Signs seals, and verifies those that any of its keys has signed.

    A key is rotated by putting a new one before it; the old one stays, at least its public half, as
    long as seals are to be verified that it has signed. The file is read again when it changes.
    """

    def __init__(self, file: Path) -> None:
        """Take the file. Raises KeysRefused."""
        self._keys = WatchedKeys(file, _read)

    def sign(self, statement: bytes) -> str:
        """Return a JWS (RFC 7515) of the statement. Raises KeysRefused without a private key."""
        for key in self._keys.now():
            if key.is_private:
                header = {"alg": _ALGORITHM, "kid": key.thumbprint()}
                return jws.serialize_compact(header, statement, key, algorithms=[_ALGORITHM])
        raise KeysRefused(f"{self._keys.file} has no private key to sign with")

    def verify(self, signature: str) -> bytes:
        """Return the statement that was signed. Raises ValueError, which says what is wrong."""
        known = KeySet([OKPKey.import_key(_public(key)) for key in self._keys.now()])
        try:
            return jws.deserialize_compact(signature, known, algorithms=[_ALGORITHM]).payload
        except (JoseError, ValueError):
            raise ValueError(f"its signature is by no key in {self._keys.file}") from None

    def public(self) -> str:
        """Write the public keys, for who verifies elsewhere."""
        return json.dumps({"keys": [_public(key) for key in self._keys.now()]}, indent=2)

    def check(self) -> None:
        """See that something can be signed, before there is anything. Raises KeysRefused."""
        self.sign(b"")


def open_keys(file: Path | None, directory: Path) -> SealKeys:
    """Open a file of keys, or that of a data directory, which is made once. Raises KeysRefused."""
    if file is None:
        file = directory / KEYS_FILE
        if not file.exists():
            _make(file)
    return SealKeys(file)


def _make(file: Path) -> None:
    key = OKPKey.generate_key(_ALGORITHM)
    write_once(file, json.dumps({"keys": [key.as_dict(private=True)]}))


def _read(file: Path) -> list[OKPKey]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        keys = [OKPKey.import_key(each) for each in found["keys"]]
    except (JoseError, ValueError, KeyError, TypeError, OSError):
        raise KeysRefused(f'{file} is not a JWK Set: write {{"keys": [...]}}') from None
    if any(key.is_private for key in keys):
        check_private(file)
    if not keys:
        raise KeysRefused(f"{file} has no keys")
    return keys


def _public(key: OKPKey) -> dict[str, str | list[str]]:
    return key.as_dict(private=False, kid=key.thumbprint())
