"""Keys in Vault's (or OpenBao's) transit engine, over its HTTP interface.

The key must be made with `derived=true`: then its context is the place, and another place's key
does not open. The token comes from a file, which an agent renews, and is read for each request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from security.envelope import KeyUnavailable, Place, SecretRefused, WrappedKey, told
from security.watched import KeysRefused

_ANSWER_WITHIN_S = 5.0


class Transit:
    """Implements `security.envelope.KeyProvider` by a key of the transit engine."""

    name = "vault"

    def __init__(self, address: str, mount: str, key: str, token_file: Path) -> None:
        """Take the server's address, the engine's mount, the key's name, and the token's file."""
        self._root = f"{address.rstrip('/')}/v1/{quote(mount)}"
        self._key = quote(key, safe="")
        self._token_file = token_file

    async def key_id(self) -> str:
        """Return the name and the newest version of the key."""
        found = await self._ask("GET", f"keys/{self._key}", None)
        return self._id(int(found["latest_version"]))

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Have a data key made."""
        asked = {"context": _context(place), "bits": 256}
        made = await self._ask("POST", f"datakey/plaintext/{self._key}", place, asked)
        return base64.b64decode(made["plaintext"]), self._wrapped(made)

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Have a data key decrypted."""
        asked = {"context": _context(place), "ciphertext": wrapped.blob.decode("ascii")}
        opened = await self._ask("POST", f"decrypt/{self._key}", place, asked)
        return base64.b64decode(opened["plaintext"])

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Have a data key put under the newest version, without its leaving the engine."""
        asked = {"context": _context(place), "ciphertext": wrapped.blob.decode("ascii")}
        return self._wrapped(await self._ask("POST", f"rewrap/{self._key}", place, asked))

    def _wrapped(self, made: Mapping[str, Any]) -> WrappedKey:
        # `vault:v3:…` names the version of the key.
        text = str(made["ciphertext"])
        return WrappedKey(self.name, self._id(int(text.split(":")[1][1:])), text.encode("ascii"))

    def _id(self, version: int) -> str:
        return f"{self._key}:v{version}"

    async def _ask(
        self, method: str, path: str, place: Place | None, body: Mapping[str, object] | None = None
    ) -> Mapping[str, Any]:
        headers = {"x-vault-token": self._token()}
        try:
            async with httpx2.AsyncClient(timeout=_ANSWER_WITHIN_S, trust_env=False) as client:
                url = f"{self._root}/{path}"
                answer = await client.request(method, url, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise KeyUnavailable(f"Vault is not to be had: {type(error).__name__}") from None
        if answer.status_code in {400, 403, 404}:
            where = told(place) if place else "its key"
            raise SecretRefused(f"Vault refuses {where} with {answer.status_code}")
        if answer.status_code != 200:
            raise KeyUnavailable(f"Vault answered {answer.status_code}")
        found: Mapping[str, Any] = answer.json()["data"]
        return found

    def _token(self) -> str:
        try:
            return self._token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise KeysRefused(f"{self._token_file} cannot be read: mount Vault's token") from None


def _context(place: Place) -> str:
    """Write the place as the context that the key is derived by."""
    return base64.b64encode(hashlib.sha256(place.authenticated).digest()).decode()
