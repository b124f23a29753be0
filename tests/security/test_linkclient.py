"""The OAuth client of a broker, against a server that looks at what it is sent."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from security.linkclient import OAuthLink, Registration
from tests.security.fakes import FakeClock
from trading.link import BrokerTokens, LinkRefused, LinkUnavailable

BACK, ISSUER = "https://app.example/linked", "https://broker.example"
VERIFIER = "v" * 43


class FakeTokenEndpoint(BaseHTTPRequestHandler):
    """Answers as it is told to, and keeps what it was sent."""

    asked: list[dict[str, list[str]]]
    answer: Any
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        asked = parse_qs(body) | {"authorization": [self.headers.get("authorization", "")]}
        type(self).asked.append(asked)
        text = json.dumps(type(self).answer).encode()
        self.send_response(type(self).status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


TOKENS = {"access_token": "a1", "token_type": "Bearer", "expires_in": 60, "refresh_token": "r1"}


@contextmanager
def served() -> Iterator[tuple[str, type[FakeTokenEndpoint]]]:
    answers = {"asked": [], "answer": TOKENS, "status": 200}
    handler = type("Served", (FakeTokenEndpoint,), answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def endpoint() -> Iterator[tuple[str, type[FakeTokenEndpoint]]]:
    with served() as found:
        yield found


def client(url: str, directory: Path, **fields: Any) -> OAuthLink:
    secret = directory / "secret"
    secret.write_text("first secret\n")
    registration = Registration(
        client_id="gateway",
        secret_file=secret,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=url,
        redirect_uri=BACK,
        scope="trading",
        issuer=ISSUER,
    )
    return OAuthLink(replace(registration, **fields), lambda: VERIFIER, FakeClock())


def test_consent_is_asked_with_state_and_pkce(tmp_path: Path) -> None:
    url, state, verifier = client("http://127.0.0.1:1/token", tmp_path).begin()

    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    assert url.startswith(f"{ISSUER}/authorize?")
    assert asked == {
        "response_type": "code",
        "client_id": "gateway",
        "redirect_uri": BACK,
        "scope": "trading",
        "state": state,
        "code_challenge": digest.decode(),
        "code_challenge_method": "S256",
    }


async def test_a_code_is_exchanged_with_the_verifier_and_the_secret_as_it_is_now(
    endpoint: tuple[str, type[FakeTokenEndpoint]], tmp_path: Path
) -> None:
    url, seen = endpoint
    link = client(url, tmp_path)
    (tmp_path / "secret").write_text("second secret")

    tokens = await link.complete(f"{BACK}?code=c1&state=s1&iss={ISSUER}", "s1", VERIFIER)

    at = FakeClock().now() + 60_000_000_000
    assert tokens == BrokerTokens(access_token="a1", refresh_token="r1", expires_at=at)
    [asked] = seen.asked
    assert (asked["code"], asked["code_verifier"]) == (["c1"], [VERIFIER])
    assert (asked["grant_type"], asked["redirect_uri"]) == (["authorization_code"], [BACK])
    basic = base64.b64encode(b"gateway:second secret").decode()
    assert asked["authorization"] == [f"Basic {basic}"]


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (f"{BACK}?code=c&state=s1", "not of"),
        (f"{BACK}?code=c&state=s1&iss=https://evil.example", "not of"),
        (f"{BACK}?code=c&state=s1&iss={ISSUER}&iss={ISSUER}", "twice"),
        (f"{BACK}?code=c&state=other&iss={ISSUER}", "state differs"),
        (f"https://evil.example/linked?code=c&state=s1&iss={ISSUER}", "another address"),
        (f"{BACK}?error=access_denied&state=s1&iss={ISSUER}", "access_denied"),
    ],
)
async def test_what_is_not_the_brokers_answer_is_refused(
    endpoint: tuple[str, type[FakeTokenEndpoint]], tmp_path: Path, came: str, words: str
) -> None:
    url, seen = endpoint
    with pytest.raises(LinkRefused, match=words):
        await client(url, tmp_path).complete(came, "s1", VERIFIER)

    assert seen.asked == []


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (400, {"error": "invalid_grant", "error_description": "secret words"}, LinkRefused, "inv"),
        (401, {"error": "invalid_client"}, LinkRefused, "invalid_client"),
        (400, {"error": "slow_down"}, LinkUnavailable, "may pass"),
        (503, {}, LinkUnavailable, "does not answer"),
        (200, {"access_token": "a", "token_type": "mac"}, LinkRefused, "no bearer"),
        (200, {"token_type": "Bearer"}, LinkRefused, "no bearer"),
    ],
)
async def test_a_broker_that_gives_no_token_says_whether_to_ask_again(
    endpoint: tuple[str, type[FakeTokenEndpoint]],
    tmp_path: Path,
    status: int,
    answer: dict[str, str],
    kind: type[Exception],
    words: str,
) -> None:
    url, seen = endpoint
    seen.status, seen.answer = status, answer
    old = BrokerTokens(access_token="a", refresh_token="r", expires_at=None)

    with pytest.raises(kind, match=words) as raised:
        await client(url, tmp_path).refresh(old)
    assert "secret words" not in str(raised.value)


async def test_a_refresh_keeps_the_token_that_is_not_replaced(
    endpoint: tuple[str, type[FakeTokenEndpoint]], tmp_path: Path
) -> None:
    url, seen = endpoint
    seen.answer = {"access_token": "a2", "token_type": "bearer"}
    old = BrokerTokens(access_token="a1", refresh_token="r1", expires_at=5)

    fresh = await client(url, tmp_path).refresh(old)

    assert fresh == BrokerTokens(access_token="a2", refresh_token="r1", expires_at=None)
    assert seen.asked[0]["refresh_token"] == ["r1"]
    with pytest.raises(LinkRefused, match="no refresh token"):
        await client(url, tmp_path).refresh(replace(old, refresh_token=None))


async def test_a_broker_or_secret_that_is_not_there_may_be_asked_again(tmp_path: Path) -> None:
    old = BrokerTokens(access_token="a1", refresh_token="r1", expires_at=5)
    with pytest.raises(LinkUnavailable, match="does not answer"):
        await client("http://127.0.0.1:1/token", tmp_path).refresh(old)
    gone = client("http://127.0.0.1:1/token", tmp_path, secret_file=tmp_path / "none")
    with pytest.raises(LinkUnavailable, match="mount the client's secret"):
        await gone.refresh(old)
