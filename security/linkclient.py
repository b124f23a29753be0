"""This gateway as an OAuth 2.0 client of a broker, through Authlib.

The authorisation code is bound by PKCE (RFC 7636, S256), the answer to its question by `state`, and
to the broker that was asked by `iss` (RFC 9207), which Authlib leaves to its caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from trading.link import BrokerTokens, LinkRefused, LinkUnavailable
from trading.ports import Clock

_ANSWER_WITHIN_S = 10.0
_SECOND_NS = 1_000_000_000
# What a broker says that will not change by asking again (RFC 6749, 4.1.2.1 and 5.2).
_FOR_EVER = {
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a broker has registered this gateway as, and where it is asked.

    `issuer` is None for a broker that does not name itself in its answers (RFC 9207).
    """

    client_id: str
    secret_file: Path | None
    authorization_endpoint: str
    token_endpoint: str
    redirect_uri: str
    scope: str | None
    issuer: str | None


class OAuthLink:
    """Implements `trading.link.LinkClient`."""

    def __init__(self, registration: Registration, draw: Callable[[], str], clock: Clock) -> None:
        """Take the registration, and what draws 256 bits as text that fits a URL."""
        self._at, self._draw, self._clock = registration, draw, clock

    def begin(self) -> tuple[str, str, str]:
        """Return the address to consent at, its `state`, and the verifier that the answer takes."""
        state, verifier = self._draw(), self._draw()
        client = self._client(None)
        url, _ = client.create_authorization_url(
            self._at.authorization_endpoint, state=state, code_verifier=verifier
        )
        return str(url), state, verifier

    async def complete(self, redirected_to: str, state: str, verifier: str) -> BrokerTokens:
        """Exchange the code of an answer for tokens."""
        answer = parse_qs(urlsplit(redirected_to).query)
        self._check(redirected_to, answer, state)
        async with self._client(self._secret()) as client:
            found = await _asked(
                lambda: client.fetch_token(
                    self._at.token_endpoint,
                    authorization_response=redirected_to,
                    state=state,
                    code_verifier=verifier,
                )
            )
        return self._tokens(found)

    async def refresh(self, tokens: BrokerTokens) -> BrokerTokens:
        """Return new tokens; a broker that gives no new refresh token has the old one stay."""
        if tokens.refresh_token is None:
            raise LinkRefused("the broker gave no refresh token: link the account anew")
        async with self._client(self._secret()) as client:
            found = await _asked(
                lambda: client.refresh_token(self._at.token_endpoint, tokens.refresh_token)
            )
        fresh = self._tokens(found)
        if fresh.refresh_token is None:
            return replace(fresh, refresh_token=tokens.refresh_token)
        return fresh

    def _check(self, redirected_to: str, answer: dict[str, list[str]], state: str) -> None:
        """See that it is an answer, to us, of the broker that was asked."""
        came, ours = urlsplit(redirected_to), urlsplit(self._at.redirect_uri)
        if came[:3] != ours[:3]:
            raise LinkRefused(f"the answer came to another address than {self._at.redirect_uri}")
        if any(len(values) != 1 for values in answer.values()):
            raise LinkRefused("the answer says something twice")
        if answer.get("state") != [state]:
            raise LinkRefused("the answer is to another question: its state differs")
        if self._at.issuer is not None and answer.get("iss") != [self._at.issuer]:
            raise LinkRefused(f"the answer is not of {self._at.issuer} (RFC 9207)")
        if "code" not in answer:
            [error] = answer.get("error", ["nothing"])
            raise LinkRefused(f"it says {error if error in _FOR_EVER else 'no'}")

    def _client(self, secret: str | None) -> Any:
        return AsyncOAuth2Client(
            client_id=self._at.client_id,
            client_secret=secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=self._at.scope,
            redirect_uri=self._at.redirect_uri,
            code_challenge_method="S256",
            timeout=_ANSWER_WITHIN_S,
            trust_env=False,
        )

    def _secret(self) -> str | None:
        """Read the secret as it is now: a mounted file changes when it is rotated."""
        if self._at.secret_file is None:
            return None
        try:
            return self._at.secret_file.read_text(encoding="utf-8").strip()
        except OSError:
            words = f"{self._at.secret_file} cannot be read: mount the client's secret"
            raise LinkUnavailable(words) from None

    def _tokens(self, found: Any) -> BrokerTokens:
        token = found.get("access_token")
        if not isinstance(token, str) or str(found.get("token_type", "")).lower() != "bearer":
            raise LinkRefused("the broker gave no bearer token")
        lifetime = found.get("expires_in")
        ends = None if lifetime is None else self._clock.now() + int(lifetime) * _SECOND_NS
        return BrokerTokens(
            access_token=token, refresh_token=found.get("refresh_token"), expires_at=ends
        )


async def _asked(ask: Callable[[], Any]) -> Any:
    """Await an answer of the broker, whose own words are not passed on but for their code."""
    try:
        return await ask()
    except AuthlibBaseError as error:
        if error.error in _FOR_EVER:
            raise LinkRefused(f"it says {error.error}") from None
        raise LinkUnavailable("it answered with an error that may pass") from None
    except (httpx2.HTTPError, ValueError) as error:
        raise LinkUnavailable(f"it does not answer: {type(error).__name__}") from None
