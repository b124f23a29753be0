"""Tokens that open, and those that must not."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey

from security.verifier import LEEWAY_S, Claims, Verifier, audience
from tests.security.fakes import NOW, FakeClock
from trading.outcome import Unauthenticated
from trading.ports import Environment

KEY = OKPKey.generate_key("Ed25519", {"kid": "k1"})
OTHER = OKPKey.generate_key("Ed25519", {"kid": "k1"})
ELLIPTIC = ECKey.generate_key("P-256", {"kid": "k2"})
ISSUER = "issuer"
AUDIENCE = audience(Environment.SIM)
SECONDS = NOW // 10**9
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "u1",
    "client_id": "c1",
    "iat": SECONDS,
    "exp": SECONDS + 60,
    "jti": "j1",
    "scope": "orders:read orders:write",
}
CLOCK = FakeClock()
VERIFIER = Verifier(
    keys=KeySet(
        [
            OKPKey.import_key(KEY.as_dict(private=False)),
            ECKey.import_key(ELLIPTIC.as_dict(private=False)),
        ]
    ),
    issuer=ISSUER,
    audience=AUDIENCE,
    clock=CLOCK,
)


def token(header: dict[str, Any] | None = None, key: Any = KEY, **claims: Any) -> str:
    merged = {name: v for name, v in (CLAIMS | claims).items() if v is not None}
    full = {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"} | (header or {})
    return jwt.encode(full, merged, key, algorithms=[full["alg"]])


def refusal(text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        VERIFIER.verify(text)
    return str(caught.value)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_valid_token_opens() -> None:
    assert VERIFIER.verify(token()) == Claims(
        user_id="u1",  # type: ignore[arg-type]
        client_id="c1",
        token_id="j1",
        scopes=frozenset({"orders:read", "orders:write"}),
        issued_at=SECONDS * 10**9,
        expires_at=(SECONDS + 60) * 10**9,
    )


@pytest.mark.parametrize(
    "good",
    [
        token({"typ": "application/at+jwt"}),
        token({"typ": "AT+JWT"}),
        token(aud=["another", AUDIENCE]),
        token({"alg": "ES256", "kid": "k2"}, ELLIPTIC),
        token(exp=SECONDS - LEEWAY_S + 1),
        token(nbf=SECONDS + LEEWAY_S),
        token(iat=SECONDS + LEEWAY_S),
    ],
)
def test_what_the_standards_allow_opens(good: str) -> None:
    assert VERIFIER.verify(good).user_id == "u1"


@pytest.mark.parametrize("scope", [None, "", 5, ["orders:read"]])
def test_no_readable_scope_is_none_at_all(scope: object) -> None:
    assert VERIFIER.verify(token(scope=scope)).scopes == frozenset()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (token(exp=SECONDS - LEEWAY_S), "it has expired"),
        (token(nbf=SECONDS + LEEWAY_S + 1), "not valid yet"),
        (token(iat=SECONDS + LEEWAY_S + 1), "issued in the future"),
        (token(iss="another"), "another issuer"),
        (token(aud="drawbridge:live"), "another audience"),
        (token(aud=["drawbridge:live"]), "another audience"),
        (token(key=OTHER), "not signed by a key that is trusted"),
        (token({"kid": "k9"}), "not signed by a key that is trusted"),
        (token({"typ": "JWT"}), "not an access token"),
        (token({"typ": ""}), "not an access token"),
        (token(sub=5), "sub"),
        (token(jti=5), "jti"),
        (token(exp="soon"), "exp"),
        (token(cnf="k1"), "claim cnf"),
        (token(cnf={"jwk": {}}), "claim cnf"),
        (token(cnf={"jkt": 5}), "claim cnf"),
        (token(cnf={"jkt": "a", "x5t#S256": None}), "claim cnf"),
    ]
    + [
        (token(**{claim: None}), f"lacks the claim {claim}") for claim in CLAIMS if claim != "scope"
    ],
)
def test_a_token_is_refused_with_what_is_wrong(bad: str, words: str) -> None:
    assert words in refusal(bad)


def test_what_a_token_is_bound_to_is_told() -> None:
    by_key = VERIFIER.verify(token(cnf={"jkt": "t1"}))
    by_certificate = VERIFIER.verify(token(cnf={"x5t#S256": "t2"}))

    assert (by_key.thumbprint, by_key.certificate, by_key.is_bound) == ("t1", None, True)
    assert (by_certificate.thumbprint, by_certificate.certificate) == (None, "t2")
    assert not VERIFIER.verify(token()).is_bound


def test_a_token_without_a_type_is_refused() -> None:
    header = {"alg": "Ed25519", "kid": "k1"}
    bare = jwt.encode(header, CLAIMS, KEY, algorithms=["Ed25519"], default_type=None)

    assert "not an access token" in refusal(bare)


def test_an_unsigned_token_is_refused() -> None:
    for kid in ({}, {"kid": "k1"}):
        header = {"alg": "none", "typ": "at+jwt"} | kid
        assert "refused" in refusal(f"{part(header)}.{part(CLAIMS)}.")


def test_a_public_key_is_no_shared_secret() -> None:
    """The classic confusion: HMAC with the public key, which everybody has."""
    secret = OctKey.import_key(json.dumps(KEY.as_dict(private=False)).encode())

    assert "algorithm" in refusal(token({"alg": "HS256"}, secret))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u"])
def test_a_key_that_the_token_brings_is_not_followed(name: str) -> None:
    value = OTHER.as_dict(private=False) if name == "jwk" else "https://example.org/keys"

    assert "refused" in refusal(token({name: value}, OTHER))


def test_a_changed_payload_is_refused() -> None:
    head, _, signature = token().split(".")

    assert "trusted" in refusal(f"{head}.{part(CLAIMS | {'sub': 'u2'})}.{signature}")


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_nothing_but_a_token_opens(text: str) -> None:
    assert "refused" in refusal(text)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_no_changed_character_opens(at: int, byte: int) -> None:
    good = token()
    at %= len(good)
    changed = f"{good[:at]}{chr(byte)}{good[at + 1 :]}"

    try:
        claims = VERIFIER.verify(changed)
    except Unauthenticated:
        return
    # The last character of a part carries unused bits: another one can stand for the same bytes.
    assert claims == VERIFIER.verify(good)


@pytest.mark.parametrize(
    "header",
    [
        [],
        5,
        {"alg": 5},
        {"alg": ["Ed25519"]},
        {"alg": "Ed25519", "kid": {}},
        {"alg": "Ed25519", "crit": 5},
        {"alg": "Ed25519", "typ": []},
    ],
)
def test_a_header_of_the_wrong_shape_is_refused(header: object) -> None:
    assert "refused" in refusal(f"{part(header)}.{part(CLAIMS)}.AA")


def test_text_that_is_no_text_is_refused() -> None:
    assert "malformed" in refusal("\ud800.a.b")


def test_a_huge_token_is_refused() -> None:
    assert "refused" in refusal("a" * 200_000)
    assert "refused" in refusal(token(extra="a" * 200_000))


def test_a_refusal_reveals_no_key() -> None:
    words = refusal(token(key=OTHER))

    assert KEY.thumbprint() not in words
    assert "k1" not in words


@pytest.mark.parametrize("environment", Environment)
def test_audiences_differ_by_environment(environment: Environment) -> None:
    assert audience(environment) == f"drawbridge:{environment.value}"
