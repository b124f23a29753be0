"""Keys in AWS KMS, through boto3 in a thread.

Region, endpoint and credentials are those of boto3's own chain: a role of the machine or pod, never
a setting of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from security.envelope import KeyUnavailable, Place, SecretRefused, WrappedKey, told
from security.watched import KeysRefused

# What says no for ever; anything else, such as throttling, may be asked again.
_REFUSALS = {
    "AccessDeniedException",
    "DisabledException",
    "IncorrectKeyException",
    "InvalidCiphertextException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
}


class AwsKms:
    """Implements `security.envelope.KeyProvider`: the place is the encryption context."""

    name = "aws-kms"

    def __init__(self, key: str, client: Any) -> None:
        """Take the id, ARN or alias of a symmetric key, and a client of the service."""
        self._key = key
        self._client = client

    @classmethod
    def of(cls, key: str) -> AwsKms:
        """Connect as boto3 is configured. Raises KeysRefused where it is not installed."""
        try:
            import boto3  # noqa: PLC0415 - heavy, and an extra: nobody else needs it
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise KeysRefused("aws-kms takes boto3: install drawbridge[aws]") from None
        config = Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 3})
        return cls(key, boto3.client("kms", config=config))

    async def key_id(self) -> str:
        """Return the ARN that the alias means now."""
        found = await self._ask(self._client.describe_key, None, KeyId=self._key)
        return str(found["KeyMetadata"]["Arn"])

    async def generate(self, place: Place) -> tuple[bytes, WrappedKey]:
        """Have a data key made."""
        made = await self._ask(
            self._client.generate_data_key,
            place,
            KeyId=self._key,
            KeySpec="AES_256",
            EncryptionContext=dict(place.context),
        )
        return made["Plaintext"], WrappedKey(self.name, made["KeyId"], made["CiphertextBlob"])

    async def unwrap(self, wrapped: WrappedKey, place: Place) -> bytes:
        """Have a data key decrypted; KMS refuses another context."""
        opened = await self._ask(
            self._client.decrypt,
            place,
            CiphertextBlob=wrapped.blob,
            KeyId=wrapped.key_id,
            EncryptionContext=dict(place.context),
        )
        return bytes(opened["Plaintext"])

    async def rewrap(self, wrapped: WrappedKey, place: Place) -> WrappedKey:
        """Have a data key encrypted anew, without its leaving KMS."""
        context = dict(place.context)
        made = await self._ask(
            self._client.re_encrypt,
            place,
            CiphertextBlob=wrapped.blob,
            SourceKeyId=wrapped.key_id,
            SourceEncryptionContext=context,
            DestinationKeyId=self._key,
            DestinationEncryptionContext=context,
        )
        return WrappedKey(self.name, made["KeyId"], made["CiphertextBlob"])

    async def _ask(self, call: Callable[..., Any], place: Place | None, **arguments: object) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return await asyncio.to_thread(call, **arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            where = told(place) if place else "its key"
            if code in _REFUSALS:
                raise SecretRefused(f"AWS KMS refuses {where} with {code}") from None
            raise KeyUnavailable(f"AWS KMS answered {code}") from None
        except BotoCoreError as error:
            raise KeyUnavailable(f"AWS KMS is not to be had: {type(error).__name__}") from None
