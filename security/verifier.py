"""Verification of access tokens, by RFC 9068: who issued it, for whom, until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingClaimError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import KeySet

from trading.ids import UserID
from trading.outcome import Unauthenticated
from trading.ports import Clock, Environment

# Named one by one: a library's default could let a symmetric algorithm, or a weaker one, back in.
ALGORITHMS = ("Ed25519", "ES256", "PS256", "RS256")
LEEWAY_S = 30
_SECOND_NS = 1_000_000_000
_TYPES = {"at+jwt", "application/at+jwt"}
_CLAIMS = {
    "iss": "it is of another issuer",
    "aud": "it is for another audience, such as another environment",
    "nbf": "it is not valid yet",
    "iat": "it was issued in the future",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says; `issued_at` and `expires_at` are in UTC nanoseconds.

    `thumbprint` and `certificate` are those of the key and of the certificate that it is bound to
    (`cnf` with `jkt`, RFC 9449, or `x5t#S256`, RFC 8705); None where it is not.
    """

    user_id: UserID
    client_id: str
    token_id: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    thumbprint: str | None = None
    certificate: str | None = None

    @property
    def is_bound(self) -> bool:
        """Whether it is of no use to who has merely found it."""
        return self.thumbprint is not None or self.certificate is not None


def audience(environment: Environment) -> str:
    """Return the audience of an environment's tokens, so that they open no other."""
    return f"drawbridge:{environment}"


class Verifier:
    """Verifies the tokens of one issuer for one audience."""

    def __init__(self, *, keys: KeySet, issuer: str, audience: str, clock: Clock) -> None:
        """Take the issuer's public keys; keys that a token itself names are never followed."""
        self._keys = keys
        self._registry = jwt.JWTClaimsRegistry(
            now=lambda: clock.now() // _SECOND_NS,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            client_id={"essential": True},
            jti={"essential": True},
        )

    def verify(self, token: str) -> Claims:
        """Return what a token says. Raises Unauthenticated, which says what is wrong with it."""
        try:
            decoded = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            if str(decoded.header.get("typ", "")).lower() not in _TYPES:
                raise Unauthenticated("the token is not an access token")
            self._registry.validate(decoded.claims)
        except JoseError as error:
            raise Unauthenticated(f"the token is refused: {_why(error)}") from None
        except (TypeError, ValueError):
            # A lone surrogate, or a `crit` that is no list: joserfc lets these through as they are.
            raise Unauthenticated("the token is refused: it is malformed") from None
        return claims_of(decoded.claims)


def _why(error: JoseError) -> str:
    """Say what is wrong with a token, in words that reveal nothing of our keys."""
    match error:
        case ExpiredTokenError():
            return "it has expired; get a new one"
        case MissingClaimError():
            return f"it lacks the claim {error.claim}"
        case InvalidClaimError():
            return _CLAIMS.get(error.claim, f"its claim {error.claim} is not valid")
        case BadSignatureError() | InvalidKeyIdError():
            return "it was not signed by a key that is trusted here"
        case UnsupportedAlgorithmError():
            return "its algorithm is not accepted here"
        case _:
            return "it is malformed"


def claims_of(claims: Mapping[str, Any]) -> Claims:
    """Read claims that are present and of their types. Raises Unauthenticated for another `cnf`."""
    scope, bound = claims.get("scope"), claims.get("cnf", {})
    if not isinstance(bound, dict) or (bound and not _names_a_key(bound)):
        # Bound to something that is not checked here: it must not pass for a plain one.
        raise Unauthenticated("the token is refused: its claim cnf is not one that is known here")
    return Claims(
        user_id=UserID(claims["sub"]),
        client_id=str(claims["client_id"]),
        token_id=claims["jti"],
        scopes=frozenset(scope.split() if isinstance(scope, str) else ()),
        issued_at=int(claims["iat"]) * _SECOND_NS,
        expires_at=int(claims["exp"]) * _SECOND_NS,
        thumbprint=bound.get("jkt"),
        certificate=bound.get("x5t#S256"),
    )


def _names_a_key(bound: Mapping[str, object]) -> bool:
    named = [bound[name] for name in ("jkt", "x5t#S256") if name in bound]
    return bool(named) and all(isinstance(each, str) and each for each in named)
