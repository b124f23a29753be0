"""Keys in a hardware security module, through PKCS#11.

The key never leaves the token: it is an AES key of 256 bits with CKA_SENSITIVE that can encrypt and
decrypt by CKM_AES_GCM. A session belongs to one thread, and so all that is asked goes through one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from security.envelope import (
    KEY_BITS,
    NONCE_BYTES,
    KeyUnavailable,
    Place,
    Random,
    SecretRefused,
    WrappedKey,
    told,
)
from security.watched import KeysRefused


class Pkcs11Keys:
    """Implements `security.envelope.KeyProvider`; keys are known by their labels.

    To rotate, make a key with another label on the token, and name that one.
    """

    name = "pkcs11"

    def __init__(self, module: Path, token: str, key: str, pin_file: Path, random: Random) -> None:
        """Take the module, the token's label, that of the key, and the file of the PIN."""
        self._module, self._token, self._key, self._pin_file = module, token, key, pin_file
        self._random = random
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pkcs11")
        self._session: Any = None

    async def key_id(self) -> str:
        """Return the label of the key that wraps."""
        return self._key

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Make a key here, and have the token wrap it."""
        key = self._random(KEY_BITS // 8)
        return key, await self._wrapped(key, place)

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Have the token unwrap a key. Raises SecretRefused."""
        return await self._ask(place, lambda: self._decrypt(wrapped, place))

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Unwrap, and have the token wrap under the key that is named now."""
        return await self._wrapped(await self.unwrap(wrapped, place), place)

    async def _wrapped(self, key: bytes, place: Place) -> WrappedKey:
        blob = await self._ask(place, lambda: self._encrypt(key, place))
        return WrappedKey(self.name, self._key, blob)

    async def _ask(self, place: Place, work: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._guarded(place, work)
        )

    def _guarded(self, place: Place, work: Callable[[], bytes]) -> bytes:
        pkcs11 = _library()
        try:
            return work()
        except pkcs11.NoSuchKey:
            raise SecretRefused(f"the token has not the key of {told(place)}") from None
        except (
            pkcs11.exceptions.GeneralError,
            pkcs11.exceptions.EncryptedDataInvalid,
            pkcs11.exceptions.EncryptedDataLenRange,
        ):
            # Also what SoftHSM says where the authenticated data differs.
            raise SecretRefused(f"the token refuses the key of {told(place)}") from None
        except pkcs11.PKCS11Error as error:
            # A session ends with the token's connection: the next one who asks opens another.
            self._session = None
            raise KeyUnavailable(f"the token does not answer: {type(error).__name__}") from None

    def _encrypt(self, key: bytes, place: Place) -> bytes:
        nonce = self._random(NONCE_BYTES)
        sealed: bytes = self._under(self._key).encrypt(key, **_gcm(nonce, place))
        return nonce + sealed

    def _decrypt(self, wrapped: WrappedKey, place: Place) -> bytes:
        nonce, sealed = wrapped.blob[:NONCE_BYTES], wrapped.blob[NONCE_BYTES:]
        opened: bytes = self._under(wrapped.key_id).decrypt(sealed, **_gcm(nonce, place))
        return opened

    def _under(self, label: str) -> Any:
        pkcs11 = _library()
        if self._session is None:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            try:
                self._session = token.open(user_pin=self._pin())
            except pkcs11.exceptions.UserAlreadyLoggedIn:
                # A process logs in once for all of its sessions.
                self._session = token.open()
        return self._session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label=label)

    def _pin(self) -> str:
        try:
            return self._pin_file.read_text(encoding="utf-8").strip()
        except OSError:
            raise KeysRefused(f"{self._pin_file} cannot be read: mount the token's PIN") from None


def _gcm(nonce: bytes, place: Place) -> dict[str, Any]:
    pkcs11 = _library()
    parameters = pkcs11.GCMParams(nonce, aad=place.authenticated, tag_bits=128)
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an extra, with a module of its own to load
    except ImportError:
        raise KeysRefused("pkcs11 takes python-pkcs11: install drawbridge[pkcs11]") from None
    return pkcs11
