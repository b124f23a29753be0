"""Opaque tokens are what their issuer says, and no more than a signed one could say."""

from typing import Any

import pytest

from security.fetch import IssuerUnavailable
from security.introspection import KEPT_S, Introspection
from security.issuer import IssuerTokens
from security.jwks import RemoteKeys
from tests.security.fakes import NOW, FakeClock
from tests.security.provider import AUDIENCE, ISSUER, FakeProvider
from trading.outcome import Unauthenticated

SECONDS = NOW // 10**9


class Asked:
    """Tokens of a provider, signed and opaque."""

    def __init__(self, *, opaque: bool = True) -> None:
        self.clock = FakeClock()
        self.provider = FakeProvider(self.clock)
        self.secret = "first"
        introspection = Introspection(
            discovery=self.provider.discovery,
            fetch=self.provider,
            client=lambda: ("gateway", self.secret),
            audience=AUDIENCE,
            clock=self.clock,
        )
        self.tokens = IssuerTokens(
            issuer=ISSUER,
            audience=AUDIENCE,
            keys=RemoteKeys(self.provider.discovery, self.provider, self.clock),
            introspection=introspection if opaque else None,
            clock=self.clock,
        )

    def issue(self, token: str, **claims: Any) -> None:
        self.provider.opaque[token] = {"active": True} | self.provider.claims(**claims)

    async def refusal(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.tokens.verify(token)
        return str(caught.value)


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_an_active_token_opens(asked: Asked) -> None:
    asked.issue("opaque", cnf={"jkt": "t1"})

    claims = await asked.tokens.verify("opaque")

    assert (claims.user_id, claims.client_id, claims.token_id) == ("u1", "c1", "j1")
    assert claims.scopes == {"orders:read", "orders:write"}
    assert claims.thumbprint == "t1"
    assert asked.provider.clients == [("gateway", "first")]


async def test_a_token_without_a_number_is_named_by_its_hash(asked: Asked) -> None:
    asked.issue("opaque", jti=None)

    assert "opaque" not in (await asked.tokens.verify("opaque")).token_id


async def test_a_program_that_asks_for_itself_is_its_own_subject(asked: Asked) -> None:
    asked.issue("opaque", sub=None)

    assert (await asked.tokens.verify("opaque")).user_id == "c1"


async def test_a_signed_token_is_not_asked_about(asked: Asked) -> None:
    assert (await asked.tokens.verify(asked.provider.token())).user_id == "u1"
    assert asked.provider.clients == []


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"active": False}, "not active"),
        ({"active": "true"}, "not active"),
        ({"exp": SECONDS - 30}, "expired"),
        ({"nbf": SECONDS + 31}, "not valid yet"),
        ({"iat": SECONDS + 31}, "not valid yet"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"aud": "drawbridge:live"}, "another audience"),
        ({"aud": ["drawbridge:live"]}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"sub": 5}, "claim sub"),
        ({"client_id": None}, "lacks the claim client_id"),
        ({"exp": None}, "lacks the claim exp"),
        ({"iat": "now"}, "lacks the claim iat"),
        ({"cnf": {"other": "x"}}, "claim cnf"),
    ],
)
async def test_what_its_issuer_says_is_checked(
    asked: Asked, claims: dict[str, Any], words: str
) -> None:
    asked.issue("opaque", **claims)

    assert words in await asked.refusal("opaque")


async def test_nobody_knows_a_made_up_token(asked: Asked) -> None:
    assert "not active" in await asked.refusal("made-up")


async def test_an_answer_is_kept_for_half_a_minute(asked: Asked) -> None:
    asked.issue("opaque")
    await asked.tokens.verify("opaque")
    asked.provider.opaque.clear()

    asked.clock.at += (KEPT_S - 1) * 10**9
    await asked.tokens.verify("opaque")
    assert len(asked.provider.clients) == 1
    asked.clock.at += 10**9
    assert "not active" in await asked.refusal("opaque")


async def test_no_more_than_so_many_answers_are_kept(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("security.introspection.KEPT_MAX", 2)
    for token in ("one", "two", "three", "one"):
        asked.issue(token)
        await asked.tokens.verify(token)

    assert len(asked.provider.clients) == 4


async def test_the_clients_secret_may_change(asked: Asked) -> None:
    for secret in ("first", "second"):
        asked.secret = secret
        asked.issue(secret)
        await asked.tokens.verify(secret)

    assert asked.provider.clients == [("gateway", "first"), ("gateway", "second")]


async def test_an_issuer_that_is_down_is_no_refusal(asked: Asked) -> None:
    asked.provider.is_down = True

    with pytest.raises(IssuerUnavailable):
        await asked.tokens.verify("opaque")


async def test_without_introspection_an_opaque_token_is_refused() -> None:
    assert "no JWT" in await Asked(opaque=False).refusal("opaque")


@pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.", "\ud800.a.b", "bnVsbA.e30.AA"])
async def test_what_looks_signed_and_is_not_is_malformed(asked: Asked, token: str) -> None:
    assert "refused" in await asked.refusal(token)
