"""Links to brokers, and their sealed secrets.

Processes of the release before do not know these tables, and go on without them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "links",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", _ID, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("state_digest", _ID, nullable=False),
        sa.Column("state_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", _ID, nullable=True),
        sa.Column("token_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("refreshed_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_links_tenant_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_links_account_id"),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_links_two_people")),
    )
    op.create_index("ix_links_tenant", "links", ["tenant_id", "requested_at"])
    op.create_index("ix_links_state_digest", "links", ["state_digest"])
    op.create_table(
        "sealed_secrets",
        sa.Column("link_id", _ID, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("provider", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("wrapped_key", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "field", name="pk_sealed_secrets"),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_sealed_secrets_link_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_sealed_secrets_tenant_id"),
    )
    op.create_index("ix_sealed_secrets_key", "sealed_secrets", ["provider", "key_id"])
