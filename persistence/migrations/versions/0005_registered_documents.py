"""Documents that clients have registered, and the clients that may send no others.

Processes of the release before do not know these tables, and go on without them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "documents",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("sha256", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("client_id", "sha256", name="pk_documents"),
    )
    op.create_table(
        "document_clients",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("is_bound", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_document_clients"),
    )
