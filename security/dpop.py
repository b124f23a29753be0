"""Proofs that a caller has the key of its token, made anew for each request (RFC 9449)."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, import_key

from security.credentials import Credentials, Refused, Scheme
from security.replays import Replays
from trading.ports import Clock

ALGORITHMS = ("ES256", "Ed25519")
"""Those whose keys are short enough for a header."""

WINDOW_S = 60
"""How far from now, either way, a proof may have been made."""

WINDOW_ALONE_S = 5
"""The same while it cannot be known what other processes have seen."""

PROOF_MAX = 4_096
_JTI_MAX = 256
_TYPE = "dpop+jwt"
_SECOND_NS = 1_000_000_000
_PORTS = {"https": 443, "http": 80}


class Proofs:
    """Checks proofs for one endpoint."""

    def __init__(self, *, url: str, replays: Replays, clock: Clock) -> None:
        """Take the endpoint's URL, as clients know it, and where proofs are remembered."""
        self._url = _normal(url)
        self._replays, self._clock = replays, clock

    async def check(self, credentials: Credentials, token: str, thumbprint: str) -> None:
        """Check a proof for a token that is bound to the key of a thumbprint. Raises Refused."""
        proof = credentials.proof
        if not proof or len(proof) > PROOF_MAX or "," in proof:
            raise _refused("send one, in the header DPoP")
        key, claims = _verified(proof)
        if not hmac.compare_digest(key.thumbprint(), thumbprint):
            raise _refused("it is by another key than the token's", "invalid_token")
        if claims.get("htm") != credentials.method:
            raise _refused(f"its htm is not {credentials.method}")
        if _normal(claims.get("htu")) != self._url:
            raise _refused("its htu is not the URL of this endpoint")
        if claims.get("ath") != hashed(token):
            raise _refused("its ath is not the hash of the token")
        await self._check_once(claims, thumbprint)

    async def _check_once(self, claims: dict[str, Any], thumbprint: str) -> None:
        made_at, jti = claims.get("iat"), claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= _JTI_MAX:
            raise _refused("it lacks the claim jti")
        if not isinstance(made_at, int | float) or not self._is_within(made_at, WINDOW_S):
            raise _refused(f"its iat is more than {WINDOW_S} seconds from now")
        seen = sha256(f"{thumbprint} {jti}".encode()).hexdigest()
        is_first, is_alone = await self._replays.first(seen, 2 * WINDOW_S)
        if not is_first:
            raise _refused("it was used before")
        if is_alone and not self._is_within(made_at, WINDOW_ALONE_S):
            raise _refused(f"its iat is more than {WINDOW_ALONE_S} seconds from now")

    def _is_within(self, made_at: float, seconds: int) -> bool:
        return abs(self._clock.now() / _SECOND_NS - made_at) <= seconds


def hashed(token: str) -> str:
    """Return the `ath` of a token: its SHA-256 in base64url."""
    return base64.urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()


def certificate_thumbprint(header: str | None) -> str | None:
    """Return the `x5t#S256` of the certificate in a header of RFC 9440; None without one."""
    text = (header or "").strip()
    if len(text) < 3 or not (text[0] == text[-1] == ":"):
        return None
    try:
        encoded = base64.b64decode(text[1:-1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return base64.urlsafe_b64encode(sha256(encoded).digest()).rstrip(b"=").decode()


def _verified(proof: str) -> tuple[ECKey | OKPKey, dict[str, Any]]:
    """Verify a proof by the key that it brings, which its token vouches for. Raises Refused."""
    try:
        header = jws.extract_compact(proof.encode()).headers()
        if header.get("typ") != _TYPE:
            raise _refused(f"its typ is not {_TYPE}")
        key = import_key(header["jwk"])
        if not isinstance(key, ECKey | OKPKey) or key.is_private:
            raise _refused("its jwk is not the public key of a signature")
        signed = jws.deserialize_compact(proof, key, algorithms=ALGORITHMS)
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise _refused("it is malformed, or not signed by its own key") from None
    if not isinstance(claims, dict):
        raise _refused("it is malformed")
    return key, claims


def _normal(url: object) -> tuple[str, str | None, int | None, str] | None:
    """Take a URL apart as far as it counts: without query and fragment, any port in full."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port, parts.path or "/"


def _refused(why: str, error: str = "invalid_dpop_proof") -> Refused:
    challenge = f'{Scheme.DPOP} error="{error}", algs="{" ".join(ALGORITHMS)}"'
    return Refused(f"the proof of possession is refused: {why}", challenge)
