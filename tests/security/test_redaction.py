"""Secrets are taken out by their shapes, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import redaction
from security.redaction import RULES, redact

CANARY = "canary7f3a9c1e5b2d8046"

LEAKS = {
    "a private key in PEM": [
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\\n{CANARY}",
    ],
    "user and password in a URL": [
        f"cannot reach amqp://gw:{CANARY}@mq:5672/",
        f"redis://:{CANARY}@cache/0 refused",
        f"postgresql+asyncpg://{CANARY}@db/x",
        f"https:/user:{CANARY}@host/manifest cannot be read",
    ],
    "a JWS or JWE in compact form": [
        f"eyJhbGciOiJFZDI1NTE5In0.{CANARY}.sig",
        f"got 'eyJhbGciOiJkaXIifQ..{CANARY}.x.y'",
    ],
    "credentials of HTTP": [
        f"authorization: Bearer {CANARY}",
        f"Authorization: basic  {CANARY}=",
        f"DPoP {CANARY}",
    ],
    "a private part of a JWK": [f'{{"kty": "oct", "k": "{CANARY}"}}', f"{{'d': '{CANARY}'}}"],
    "the value of a telling name": [
        f"password={CANARY}",
        f'{{"client_secret": "{CANARY} {CANARY}"}}',
        f"APCA-API-SECRET-KEY={CANARY}",
        f"?refresh_token={CANARY}&x=1",
        f"{{'apiKey': '{CANARY}'}}",
    ],
    "a key id of AWS or of a broker": ["AKIAIOSFODNN7EXAMPLE", "PKABCDEFGHIJ23456789"],
    "a token of Vault": [f"hvs.{CANARY}"],
}
CASES = [(name, text) for name, texts in LEAKS.items() for text in texts]


def leaks(text: str) -> bool:
    bare = ("AKIAIOSFODNN7EXAMPLE", "PKABCDEFGHIJ23456789", CANARY)
    return any(each in text for each in bare)


def test_every_rule_has_a_leak_that_it_stops() -> None:
    assert LEAKS.keys() == RULES.keys()


@pytest.mark.parametrize(("rule", "text"), CASES)
def test_a_secret_is_taken_out_and_only_by_its_rule(
    rule: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leaks(text)
    assert not leaks(redact(text)), redact(text)
    without = {name: each for name, each in RULES.items() if name != rule}
    monkeypatch.setattr(redaction, "RULES", without)
    assert leaks(redact(text)), f"{text} is stopped without the rule that it is there for"


@pytest.mark.parametrize(
    "text",
    [
        "the token is refused: it has expired; get a new one",
        "no token: send `authorization: Bearer <token>`",
        "risk refused account=equity clOrdId=first-1 control=MAX_ORDER_QTY 10 > 5",
        "seal 812 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "the store in postgresql://db:5432/drawbridge is at revision 0010",
        "listening at http://[::1]:8000/graphql",
        "DRAWBRIDGE_VAULT_TOKEN=\nDRAWBRIDGE_LINKS=links.json",
        "say pkcs11:MODULE?token=<label>&key=<label>",
        "BUY 10 AAPL@XNAS at 1.50",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text())
def test_any_text_is_redacted_once_and_for_all(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("word", ["x", "token", "token-", "pass"])
def test_a_word_as_long_as_a_body_is_looked_at_once(word: str) -> None:
    """A caller may send one, and an error may quote it."""
    text = word * (262_144 // len(word))

    assert redact(text) == text
    assert redact(f"{text}token={CANARY}").endswith("token=[redacted]")
