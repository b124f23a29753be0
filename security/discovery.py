"""Where an issuer has its keys and endpoints, as it publishes it itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from security.fetch import Fetch, IssuerUnavailable
from security.url import is_private

WELL_KNOWN = ".well-known/openid-configuration"


class Discovery:
    """The metadata of one issuer (OpenID Connect Discovery 1.0), read each time it is needed.

    That is as often as its keys are: an issuer may move them.
    """

    def __init__(self, issuer: str, fetch: Fetch, jwks_url: str | None = None) -> None:
        """Take the issuer's identifier; with a `jwks_url` its keys need no metadata."""
        self.issuer = issuer
        self._fetch = fetch
        self._jwks_url = jwks_url

    async def jwks_uri(self) -> str:
        """Return where its keys are. Raises IssuerUnavailable."""
        return self._jwks_url or await self._endpoint("jwks_uri")

    async def introspection_endpoint(self) -> str:
        """Return where it is asked about opaque tokens. Raises IssuerUnavailable."""
        return await self._endpoint("introspection_endpoint")

    async def _endpoint(self, name: str) -> str:
        metadata = await self._metadata()
        url = metadata.get(name)
        if not isinstance(url, str) or not is_private(url):
            raise IssuerUnavailable(f"the metadata of {self.issuer} has no {name} that is private")
        return url

    async def _metadata(self) -> Mapping[str, Any]:
        found = await self._fetch.get(f"{self.issuer.rstrip('/')}/{WELL_KNOWN}")
        if found.get("issuer") != self.issuer:
            # Else one issuer could have another's tokens verified by its own keys.
            raise IssuerUnavailable(f"what {self.issuer} publishes is another issuer's metadata")
        return found
