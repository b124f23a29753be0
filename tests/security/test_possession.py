"""A token that is bound opens for who has the key or the certificate, and once for each proof."""

import base64
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from security.authentication import Demands
from security.credentials import Credentials, Refused
from security.dpop import PROOF_MAX, WINDOW_ALONE_S, WINDOW_S, Proofs, hashed
from security.issuer import IssuerTokens
from security.jwks import RemoteKeys
from security.replays import LocalReplays
from tests.security.fakes import URL, FakeClock, FakeUser, FakeUsers, authentication
from tests.security.provider import AUDIENCE, ISSUER, FakeProvider
from trading.ids import UserID
from trading.outcome import Unauthenticated
from trading.permission import Permission, Principal

KEY = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")
CERTIFICATE = b"a certificate in DER"
PROXY = "10.0.0.5"


class Door:
    """Authentication of a provider's tokens, and proofs made for it."""

    def __init__(self, role: str = "partner") -> None:
        self.clock = FakeClock()
        self.provider = FakeProvider(self.clock)
        self.tokens = IssuerTokens(
            issuer=ISSUER,
            audience=AUDIENCE,
            keys=RemoteKeys(self.provider.discovery, self.provider, self.clock),
            introspection=None,
            clock=self.clock,
        )
        users = FakeUsers(FakeUser(id=UserID("u1"), role=role))
        demands = Demands(proxies=[ip_network(PROXY)])
        self.authentication = authentication(self.tokens, users, self.clock, demands)

    def bound(self, key: Any = KEY) -> str:
        return self.provider.token(cnf={"jkt": key.thumbprint()})

    def certified(self) -> str:
        digest = sha256(CERTIFICATE).digest()
        text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self.provider.token(cnf={"x5t#S256": text})

    def proof(self, token: str, key: Any = KEY, header: Any = None, **claims: Any) -> str:
        told = {
            "htm": "POST",
            "htu": URL,
            "iat": self.clock.now() // 10**9,
            "jti": "p1",
            "ath": hashed(token),
        }
        given = {name: value for name, value in (told | claims).items() if value is not None}
        alg = "Ed25519" if isinstance(key, OKPKey) else "ES256"
        full = {"alg": alg, "typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | (header or {})
        return jwt.encode(full, given, key, algorithms=[full["alg"]])

    async def enter(self, token: str, proof: str | None = None, **more: Any) -> Principal:
        scheme = "DPoP" if proof else "Bearer"
        shown = {"authorization": f"{scheme} {token}", "proof": proof} | more
        return await self.authentication.of(Credentials(**shown))

    async def refusal(self, *args: Any, **more: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.enter(*args, **more)
        return caught.value


@pytest.fixture
def door() -> Door:
    return Door()


# --- by a key ------------------------------------------------------------------------------------


async def test_who_has_the_key_is_let_in(door: Door) -> None:
    token = door.bound()

    assert (await door.enter(token, door.proof(token))).user_id == "u1"


async def test_a_key_may_be_of_either_kind(door: Door) -> None:
    key = OKPKey.generate_key("Ed25519")
    token = door.bound(key)

    assert (await door.enter(token, door.proof(token, key))).user_id == "u1"


async def test_each_request_brings_a_proof_of_its_own(door: Door) -> None:
    token = door.bound()
    for number in range(3):
        await door.enter(token, door.proof(token, jti=f"p{number}"))

    refused = await door.refusal(token, door.proof(token, jti="p1"))

    assert "used before" in str(refused)
    assert refused.challenge == 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'


async def test_a_proof_that_is_forgotten_is_too_old_by_then(door: Door) -> None:
    token = door.bound()
    proof = door.proof(token, iat=door.clock.now() // 10**9 + WINDOW_S)
    await door.enter(token, proof)

    door.clock.at += (2 * WINDOW_S - 1) * 10**9
    assert "used before" in str(await door.refusal(token, proof))
    door.clock.at += 2 * 10**9
    assert "its iat" in str(await door.refusal(token, proof))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"htm": "GET"}, "htm"),
        ({"htm": None}, "htm"),
        ({"htu": "https://gateway.example/other"}, "htu"),
        ({"htu": "https://evil.example/graphql"}, "htu"),
        ({"htu": "http://gateway.example/graphql"}, "htu"),
        ({"htu": "https://gateway.example:8443/graphql"}, "htu"),
        ({"htu": "https://gateway.example:x/graphql"}, "htu"),
        ({"htu": None}, "htu"),
        ({"htu": 5}, "htu"),
        ({"ath": hashed("another")}, "ath"),
        ({"ath": None}, "ath"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": "p" * 257}, "jti"),
        ({"jti": 5}, "jti"),
        ({"iat": None}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": FakeClock().now() // 10**9 - WINDOW_S - 1}, "iat"),
        ({"iat": FakeClock().now() // 10**9 + WINDOW_S + 1}, "iat"),
    ],
)
async def test_a_proof_for_something_else_is_refused(
    door: Door, claims: dict[str, Any], words: str
) -> None:
    token = door.bound()

    refused = await door.refusal(token, door.proof(token, **claims))

    assert words in str(refused)
    assert refused.challenge.startswith('DPoP error="invalid_dpop_proof"')


@pytest.mark.parametrize("url", [f"{URL}?a=b", f"{URL}#a", URL.replace(".example", ".EXAMPLE:443")])
async def test_only_what_counts_of_the_url_is_compared(door: Door, url: str) -> None:
    token = door.bound()

    await door.enter(token, door.proof(token, htu=url))


async def test_another_key_proves_nothing(door: Door) -> None:
    token = door.bound()

    refused = await door.refusal(token, door.proof(token, OTHER))

    assert "another key" in str(refused)
    assert refused.challenge.startswith('DPoP error="invalid_token"')


def swapped(door: Door, token: str) -> str:
    """Make a proof by one key that shows another."""
    return door.proof(token, OTHER, {"jwk": KEY.as_dict(private=False)})


def symmetric(door: Door, token: str) -> str:
    secret = OctKey.generate_key(256)
    header = {"alg": "HS256", "jwk": secret.as_dict(private=True)}
    return door.proof(token, secret, header)


def private(door: Door, token: str) -> str:
    return door.proof(token, KEY, {"jwk": KEY.as_dict(private=True)})


def unsigned(door: Door, token: str) -> str:
    head, body, _ = door.proof(token, KEY, {"alg": "ES256"}).split(".")
    header = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(head + "==").replace(b'"ES256"', b'"none"')
    )
    return f"{header.rstrip(b'=').decode()}.{body}."


def untyped(door: Door, token: str) -> str:
    return door.proof(token, KEY, {"typ": "JWT"})


def keyless(door: Door, token: str) -> str:
    return door.proof(token, KEY, {"jwk": {}})


def listed(_door: Door, _token: str) -> str:
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": dict(KEY.as_dict(private=False))}
    return jws.serialize_compact(header, b"[]", KEY, algorithms=["ES256"])


def two(door: Door, token: str) -> str:
    return f"{door.proof(token)}, {door.proof(token)}"


def huge(_door: Door, _token: str) -> str:
    return "a" * 5_000


@pytest.mark.parametrize(
    "make", [swapped, symmetric, private, unsigned, untyped, keyless, listed, two, huge]
)
async def test_what_is_no_proof_is_refused(door: Door, make: Any) -> None:
    token = door.bound()

    assert "refused" in str(await door.refusal(token, make(door, token)))


async def test_a_key_that_is_too_long_for_a_header_is_refused(door: Door) -> None:
    key = RSAKey.generate_key(2048)
    token = door.bound(key)
    header = {"alg": "RS256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    body = {"htm": "POST", "htu": URL}
    registry = jws.JWSRegistry(algorithms=["RS256"])
    registry.max_header_length = 4_096
    proof = jwt.encode(header, body, key, registry=registry)

    assert "refused" in str(await door.refusal(token, proof))


async def test_a_bound_token_is_no_bearer_token(door: Door) -> None:
    refused = await door.refusal(door.bound())

    assert "bound to a key: send it as `authorization: DPoP" in str(refused)


async def test_a_bearer_token_is_not_bound_by_saying_so(door: Door) -> None:
    token = door.provider.token()

    assert "not bound to a key" in str(await door.refusal(token, door.proof(token)))


async def test_the_scheme_alone_proves_nothing(door: Door) -> None:
    refused = await door.refusal(door.bound(), authorization=f"DPoP {door.bound()}")

    assert "send one, in the header DPoP" in str(refused)


async def test_two_proofs_are_none_and_one_without_end_is_not_read(door: Door) -> None:
    token = door.bound()
    one, long = door.proof(token), door.proof(token, padding="x" * PROOF_MAX)

    for proof in (f"{one}, {one}", long):
        assert "send one, in the header DPoP" in str(await door.refusal(token, proof))


async def test_a_socket_that_has_proven_it_is_looked_at_again_without(door: Door) -> None:
    token = door.bound()

    principal = await door.enter(token, authorization=f"DPoP {token}", is_proven=True)

    assert principal.user_id == "u1"


class Alone:
    """A memory that others do not share at present."""

    async def first(self, _name: str, _seconds: int) -> tuple[bool, bool]:
        return True, True


async def test_while_others_cannot_be_asked_proofs_must_be_fresher(door: Door) -> None:
    proofs = Proofs(url=URL, replays=Alone(), clock=door.clock)
    token, made_at = door.bound(), door.clock.now() // 10**9

    for age, is_good in ((WINDOW_ALONE_S, True), (WINDOW_ALONE_S + 1, False)):
        shown = Credentials(proof=door.proof(token, iat=made_at - age))
        if is_good:
            await proofs.check(shown, token, KEY.thumbprint())
        else:
            with pytest.raises(Refused, match="more than 5 seconds"):
                await proofs.check(shown, token, KEY.thumbprint())


async def test_a_full_memory_forgets_nothing_that_counts(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("security.replays.SEEN_MAX", 2)
    replays = LocalReplays(door.clock)

    assert [await replays.first(name, 10) for name in "abca"] == [
        (True, False),
        (True, False),
        (False, False),
        (False, False),
    ]
    door.clock.at += 10 * 10**9
    assert await replays.first("a", 10) == (True, False)


# --- by a certificate ----------------------------------------------------------------------------


def header(certificate: bytes) -> str:
    return f":{base64.b64encode(certificate).decode()}:"


async def test_who_has_the_certificate_is_let_in(door: Door) -> None:
    principal = await door.enter(door.certified(), certificate=header(CERTIFICATE), peer=PROXY)

    assert principal.user_id == "u1"


@pytest.mark.parametrize(
    ("certificate", "peer"),
    [
        (header(CERTIFICATE), "10.0.0.6"),
        (header(CERTIFICATE), ""),
        (header(b"another"), PROXY),
        (None, PROXY),
        ("", PROXY),
        ("::", PROXY),
        (":!:", PROXY),
        (f"x{base64.b64encode(CERTIFICATE).decode()}x", PROXY),
        (base64.b64encode(CERTIFICATE).decode(), PROXY),
        (f"{header(CERTIFICATE)}, {header(b'another')}", PROXY),
    ],
)
async def test_without_the_certificate_or_the_proxys_word_it_stays_shut(
    door: Door, certificate: str | None, peer: str
) -> None:
    refused = await door.refusal(door.certified(), certificate=certificate, peer=peer)

    assert "bound to a certificate" in str(refused)


# --- who must ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "is_bound", "may_write"),
    [("partner", True, True), ("partner", False, False), ("trader", False, True)],
)
async def test_partners_write_orders_by_bound_tokens_alone(
    role: str, *, is_bound: bool, may_write: bool
) -> None:
    door = Door(role)
    token = door.certified() if is_bound else door.provider.token()

    principal = await door.enter(token, certificate=header(CERTIFICATE), peer=PROXY)

    assert (Permission.ORDERS_WRITE in principal.permissions) is may_write
    assert Permission.ORDERS_READ in principal.permissions


# --- what is told --------------------------------------------------------------------------------


async def test_a_refusal_is_logged_without_the_token(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    token = door.provider.token(aud="drawbridge:live")

    shown = Credentials(authorization=f"Bearer {token}", address="192.0.2.7")
    with pytest.raises(Unauthenticated, match="another audience"):
        await door.authentication.of(shown)

    [record] = caplog.records
    assert "192.0.2.7" in record.getMessage()
    assert "another audience" in record.getMessage()
    assert not any(part in caplog.text for part in token.split("."))
