"""npm's `oidc-provider` on this machine, and a client of it that does what the standards say."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.gateway.process import free_port

HERE = Path(__file__).parent
CALLBACK = "http://127.0.0.1:9/callback"
AUDIENCE = "drawbridge:sim"
SCOPES = "gateway:read accounts:read orders:read orders:write"
START_S = 30
SECRET = "only for one run of tests, and then forgotten"


@dataclass(frozen=True, slots=True)
class Provider:
    """A server that runs; `key` is the partner's own, by which it is known there."""

    issuer: str
    key: ECKey

    def rotate(self) -> None:
        """Have it sign with the next set of keys."""
        httpx2.post(f"{self.issuer}/next").raise_for_status()

    def token(self, form: Mapping[str, str], **headers: str) -> dict[str, Any]:
        """Ask its token endpoint."""
        answer = httpx2.post(f"{self.issuer}/token", data=dict(form), headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def client_credentials(self, client: str, **headers: str) -> dict[str, Any]:
        """Get a token for a client itself, which shows a private key (RFC 7523)."""
        now = int(time.time())
        claims = {
            "iss": client,
            "sub": client,
            "aud": self.issuer,
            "jti": secrets.token_urlsafe(),
            "iat": now,
            "exp": now + 60,
        }
        form = {
            "grant_type": "client_credentials",
            "resource": AUDIENCE,
            "scope": SCOPES,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256"}, claims, self.key),
        }
        return self.token(form, **headers)

    def code(self, login: str) -> dict[str, Any]:
        """Sign a user in by code with PKCE (RFC 7636), as its browser and its app would."""
        verifier = secrets.token_urlsafe(48)
        digest = base64.urlsafe_b64encode(sha256(verifier.encode()).digest())
        asked = {
            "client_id": "web",
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": f"openid offline_access {SCOPES}",
            "prompt": "consent",
            "resource": AUDIENCE,
            "state": secrets.token_urlsafe(),
            "code_challenge": digest.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        found = self._interacted(asked, login)
        assert found["state"] == [asked["state"]]
        assert found["iss"] == [self.issuer]
        form = {"grant_type": "authorization_code", "client_id": "web", "code": found["code"][0]}
        return self.token(form | {"redirect_uri": CALLBACK, "code_verifier": verifier})

    def refreshed(self, token: str) -> dict[str, Any]:
        """Exchange a refresh token."""
        form = {"grant_type": "refresh_token", "client_id": "web", "refresh_token": token}
        return self.token(form | {"resource": AUDIENCE})

    def _interacted(self, asked: Mapping[str, str], login: str) -> dict[str, list[str]]:
        """Fill in its forms until it sends the browser back to the app."""
        with httpx2.Client(base_url=self.issuer) as browser:
            answer = browser.get("/auth", params=dict(asked))
            for _ in range(12):
                if answer.is_redirect:
                    place = urljoin(str(answer.url), answer.headers["location"])
                    if place.startswith(CALLBACK):
                        return parse_qs(urlsplit(place).query)
                    answer = browser.get(place)
                    continue
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert action is not None, answer.text
                assert prompt is not None, answer.text
                form = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = browser.post(action[1], data=form)
        raise AssertionError("it never came back")


def proof(key: ECKey, method: str, url: str, token: str | None = None, **claims: Any) -> str:
    """Make a proof of possession (RFC 9449)."""
    told = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_urlsafe()}
    if token is not None:
        digest = base64.urlsafe_b64encode(sha256(token.encode()).digest())
        told["ath"] = digest.rstrip(b"=").decode()
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, told | claims, key)


@contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """Run it with three sets of keys: one, one more that signs, and that one alone."""
    node, port = shutil.which("node"), free_port()
    assert node, "this suite needs Node.js 20 or later"
    assert (HERE / "node_modules").is_dir(), "run `npm ci` in tests/foreign"
    own = ECKey.generate_key("P-256", {"kid": "partner"})
    configuration = {"clients": _clients(own), "keys": _keys(), "opaque": "viewer"}
    with (directory / "provider.log").open("w+") as log:
        process = subprocess.Popen(
            (node, HERE / "provider.mjs", str(port), json.dumps(configuration)),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            issuer = process.stdout.readline().strip()
            assert issuer, (directory / "provider.log").read_text()
            yield Provider(issuer, own)
        finally:
            process.kill()
            process.stdout.close()
            process.wait(START_S)
            # Shown by pytest where the test fails.
            sys.stdout.write((directory / "provider.log").read_text()[-4_000:])


def _keys() -> list[list[Any]]:
    first, second = (
        ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}).as_dict(
            private=True
        )
        for kid in ("first", "second")
    )
    return [[first], [second, first], [second]]


def _clients(key: ECKey) -> list[dict[str, Any]]:
    own = {
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "token_endpoint_auth_method": "private_key_jwt",
        "id_token_signed_response_alg": "ES256",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [key.as_dict(private=False)]},
        "scope": SCOPES,
    }
    return [
        # Clients that ask for themselves are users of their own name.
        own | {"client_id": "partner"},
        own | {"client_id": "trader"},
        own | {"client_id": "viewer"},
        {
            "client_id": "web",
            "application_type": "native",
            "id_token_signed_response_alg": "ES256",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": [CALLBACK],
            "scope": f"openid offline_access {SCOPES}",
        },
        {
            "client_id": "gateway",
            "client_secret": SECRET,
            "id_token_signed_response_alg": "ES256",
            "grant_types": [],
            "redirect_uris": [],
            "response_types": [],
        },
    ]
