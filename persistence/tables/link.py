"""Tables of links to brokers, and of their secrets, which are sealed before they come here."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, INSTANT, TEXT, Octets, OneOf
from persistence.tables.base import column, key, metadata, optional
from trading.link import LinkState, SecretField

links = sa.Table(
    "links",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("account_id", ID, sa.ForeignKey("accounts.id")),
    column("broker", TEXT),
    column("state", OneOf(LinkState)),
    column("requested_by", ID),
    column("requested_at", INSTANT),
    column("state_digest", ID),
    column("state_expires_at", INSTANT),
    optional("approved_by", ID),
    optional("token_expires_at", INSTANT),
    optional("refreshed_at", INSTANT),
    column("revision", COUNT),
    sa.Index("ix_links_tenant", "tenant_id", "requested_at"),
    sa.Index("ix_links_state_digest", "state_digest"),
    sa.CheckConstraint("approved_by <> requested_by", name="two_people"),
)

sealed_secrets = sa.Table(
    "sealed_secrets",
    metadata,
    key("link_id", ID, sa.ForeignKey("links.id")),
    key("field", OneOf(SecretField)),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("revision", COUNT),
    column("provider", ID),
    column("key_id", ID),
    column("wrapped_key", Octets()),
    column("nonce", Octets()),
    column("ciphertext", Octets()),
    sa.Index("ix_sealed_secrets_key", "provider", "key_id"),
)
