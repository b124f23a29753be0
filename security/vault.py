"""The secrets of links under the envelope, each in its place: link, field and revision."""

from __future__ import annotations

from security.envelope import (
    Envelope,
    KeyUnavailable,
    Place,
    Sealed,
    SecretRefused,
    WrappedKey,
)
from security.watched import KeysRefused
from trading.link import Link, LinkRefused, LinkUnavailable, SealedSecret, SecretField


class LinkVault:
    """Implements `trading.link.Vault`."""

    def __init__(self, envelope: Envelope) -> None:
        """Take the envelope."""
        self._envelope = envelope

    async def seal(self, link: Link, field: SecretField, secret: bytes) -> SealedSecret:
        """Seal a secret for a link as it is now."""
        place = Place(
            tenant_id=link.tenant_id, link_id=link.id, field=field, revision=link.revision
        )
        try:
            sealed = await self._envelope.seal(secret, place)
        except (KeyUnavailable, KeysRefused) as error:
            raise LinkUnavailable(str(error)) from None
        except SecretRefused as error:
            raise LinkRefused(str(error)) from None
        return _stored(place, field, sealed, link)

    async def open(self, sealed: SealedSecret) -> bytes:
        """Open a secret."""
        try:
            return await self._envelope.open(_sealed(sealed), _place(sealed))
        except (KeyUnavailable, KeysRefused) as error:
            raise LinkUnavailable(str(error)) from None
        except SecretRefused as error:
            raise LinkRefused(str(error)) from None

    async def rewrapped(self, stored: SealedSecret) -> SealedSecret:
        """Put a secret under the key that seals now. Raises KeyUnavailable, SecretRefused."""
        moved = await self._envelope.rewrap(_sealed(stored), _place(stored))
        return SealedSecret(
            tenant_id=stored.tenant_id,
            link_id=stored.link_id,
            field=stored.field,
            revision=stored.revision,
            provider=moved.key.provider,
            key_id=moved.key.key_id,
            wrapped_key=moved.key.blob,
            nonce=moved.nonce,
            ciphertext=moved.ciphertext,
        )

    async def current(self) -> tuple[str, str]:
        """Return the provider and the id of the key that seals now."""
        return await self._envelope.key_id()


def _stored(place: Place, field: SecretField, sealed: Sealed, link: Link) -> SealedSecret:
    return SealedSecret(
        tenant_id=link.tenant_id,
        link_id=link.id,
        field=field,
        revision=place.revision,
        provider=sealed.key.provider,
        key_id=sealed.key.key_id,
        wrapped_key=sealed.key.blob,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
    )


def _place(stored: SealedSecret) -> Place:
    return Place(
        tenant_id=stored.tenant_id,
        link_id=stored.link_id,
        field=stored.field,
        revision=stored.revision,
    )


def _sealed(stored: SealedSecret) -> Sealed:
    key = WrappedKey(stored.provider, stored.key_id, stored.wrapped_key)
    return Sealed(key, stored.nonce, stored.ciphertext)
