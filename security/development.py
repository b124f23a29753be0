"""An issuer of tokens for a developer's machine: `sim` on loopback, and refused elsewhere."""

import contextlib
import ipaddress
import json
import os
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from security.verifier import Claims, Verifier, audience
from trading.ids import UserID, base62
from trading.permission import Permission
from trading.ports import Clock, Environment, IdSource

ISSUER = "drawbridge:development"
CLIENT_ID = "development"
KEY_FILE = "development-key.json"
LIFETIME_S = 12 * 3_600
_ALGORITHM: Final = "Ed25519"
_SECOND_NS = 1_000_000_000


class IssuerRefused(Exception):
    """The development issuer may not be used here, or its key not be trusted."""


class DevelopmentIssuer:
    """Signs tokens with a key that lies in the data directory."""

    def __init__(self, *, key: OKPKey, clock: Clock, ids: IdSource) -> None:
        """Take the key; `open_issuer` finds it."""
        self._key = key
        self._clock = clock
        self._ids = ids
        self._verifier = self.verifier()

    async def verify(self, token: str) -> Claims:
        """Return what a token of this issuer says. Raises Unauthenticated."""
        return self._verifier.verify(token)

    def mint(
        self, user_id: UserID, scopes: Collection[Permission], *, lifetime_s: int = LIFETIME_S
    ) -> str:
        """Sign an access token of RFC 9068 for a user, of `sim` alone."""
        now = self._clock.now() // _SECOND_NS
        claims = {
            "iss": ISSUER,
            "aud": audience(Environment.SIM),
            "sub": user_id,
            "client_id": CLIENT_ID,
            "iat": now,
            "exp": now + lifetime_s,
            "jti": base62(self._ids.next()),
            "scope": " ".join(sorted(scopes)),
        }
        header = {"alg": _ALGORITHM, "typ": "at+jwt", "kid": self._key.thumbprint()}
        return jwt.encode(header, claims, self._key, algorithms=[_ALGORITHM])

    def verifier(self) -> Verifier:
        """Return what verifies this issuer's tokens."""
        public = self._key.as_dict(private=False, kid=self._key.thumbprint())
        return Verifier(
            keys=KeySet([OKPKey.import_key(public)]),
            issuer=ISSUER,
            audience=audience(Environment.SIM),
            clock=self._clock,
        )


def open_issuer(
    directory: Path, *, environment: Environment, host: str, clock: Clock, ids: IdSource
) -> DevelopmentIssuer:
    """Open the issuer of a data directory; its key is made once.

    Raises IssuerRefused outside `sim`, off loopback, and for a key that others may read.
    """
    if environment is not Environment.SIM:
        raise IssuerRefused(
            f"the development issuer serves sim alone, not {environment}: configure an issuer"
        )
    if not _is_loopback(host):
        raise IssuerRefused(
            f"the development issuer serves loopback alone, not {host}: listen on 127.0.0.1,"
            " or configure an issuer"
        )
    return DevelopmentIssuer(key=_key(directory / KEY_FILE), clock=clock, ids=ids)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(path: Path) -> OKPKey:
    if path.exists():
        return _read(path)
    # Written whole under another name first: processes that start together must not read a part
    # of it, and the first to link its own is the one that all of them then read.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(OKPKey.generate_key(_ALGORITHM).as_dict(private=True), file)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink()
    return _read(path)


def _read(path: Path) -> OKPKey:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise IssuerRefused(f"others may read {path}: delete it, and a new key is made")
    try:
        key = OKPKey.import_key(json.loads(path.read_text(encoding="utf-8")))
    except (JoseError, ValueError):
        key = None
    if key is None or not key.is_private:
        raise IssuerRefused(f"{path} is not a private key: delete it, and a new one is made")
    return key
