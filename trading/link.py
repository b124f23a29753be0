"""Links to brokers: that one lets this gateway act for an account, until when, by whose word.

A link is made by OAuth 2.0 (RFC 6749): its holder consents at the broker's, and what the broker
gives for that is kept sealed. Nothing of it is ever shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from trading.audit import Act
from trading.ids import AccountID, TenantID, UserID


@unique
class LinkState(StrEnum):
    """How far a link is."""

    AUTHORIZING = "AUTHORIZING"
    AWAITS_APPROVAL = "AWAITS_APPROVAL"
    ACTIVE = "ACTIVE"
    REAUTHORIZE = "REAUTHORIZE"
    UNLINKED = "UNLINKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link of one account to one broker; instants are UTC nanoseconds.

    `revision` counts its changes. `state_digest` is the hash of OAuth's `state`, which one answer
    of the broker's may bear until `state_expires_at`. Who has requested it does not approve it.
    """

    id: str
    tenant_id: TenantID
    account_id: AccountID
    broker: str
    state: LinkState
    requested_by: UserID
    requested_at: int
    state_digest: str
    state_expires_at: int
    approved_by: UserID | None = None
    token_expires_at: int | None = None
    refreshed_at: int | None = None
    revision: int = 1

    def is_due(self, at: int) -> bool:
        """Tell whether two thirds of its token's life are over, so that it is to be refreshed."""
        if self.token_expires_at is None or self.refreshed_at is None:
            return False
        return at >= self.refreshed_at + (self.token_expires_at - self.refreshed_at) * 2 // 3


@unique
class SecretField(StrEnum):
    """What of a link is kept sealed."""

    VERIFIER = "verifier"
    TOKEN = "token"  # noqa: S105 - the name of the field


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret of a link as it is stored: under a key of its own, which a keeper has wrapped."""

    tenant_id: TenantID
    link_id: str
    field: SecretField
    revision: int
    provider: str
    key_id: str
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTokens:
    """What a broker gives for consent; `expires_at` is in UTC nanoseconds, None for no end."""

    access_token: str
    refresh_token: str | None
    expires_at: int | None


class LinkRefused(Exception):
    """The broker says no, or what came back is not its answer; the words may be shown."""


class LinkUnavailable(Exception):
    """The broker, or the keeper of the keys, does not answer: it may be asked again later."""


class LinkClient(Protocol):
    """This gateway as an OAuth client of one broker. Raises LinkRefused, LinkUnavailable."""

    def begin(self) -> tuple[str, str, str]:
        """Return the address to consent at, its `state`, and the verifier that the answer takes."""

    async def complete(self, redirected_to: str, state: str, verifier: str) -> BrokerTokens:
        """Exchange the answer of the broker, which came back as this address."""

    async def refresh(self, tokens: BrokerTokens) -> BrokerTokens:
        """Return new tokens in place of those."""


class Vault(Protocol):
    """What seals and opens. Raises LinkUnavailable, LinkRefused."""

    async def seal(self, link: Link, field: SecretField, secret: bytes) -> SealedSecret:
        """Seal a secret for a link as it is now."""

    async def open(self, sealed: SealedSecret) -> bytes:
        """Open a secret."""


class LinkStore(Protocol):
    """Where links are kept."""

    async def link(self, link_id: str) -> Link | None:
        """Return a link, or None."""

    async def link_awaiting(self, state_digest: str) -> Link | None:
        """Return the link that an answer with this `state` is about, or None."""

    async def links(self, tenant_id: TenantID | None) -> Sequence[Link]:
        """Return a tenant's links, or everybody's, that are not UNLINKED."""

    async def secret(self, link_id: str, field: SecretField) -> SealedSecret | None:
        """Return a secret of a link, or None."""

    async def put(
        self, link: Link, secrets: Mapping[SecretField, SealedSecret | None], act: Act | None
    ) -> bool:
        """Write a link that follows the revision before it, its secrets, and who did that.

        False where another change was first: then nothing is written. None drops a secret.
        """
