"""What the controls of risk remember: an account's conduct and owner, and earlier references.

Processes of the release before may go on beside it: what they write leaves the new columns empty or
as they are. It adds columns alone, which is short, and an index on the accounts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EXACT = sa.Text().with_variant(sa.Numeric(), "postgresql")


def upgrade() -> None:
    """Add the columns, empty."""
    op.add_column("accounts", sa.Column("owner", _ID, nullable=True))
    op.add_column("accounts", sa.Column("conduct", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_accounts_owner", "accounts", ["owner"])
    op.add_column("orders", sa.Column("sells_short", sa.Boolean(), nullable=True))
    op.add_column("instruments", sa.Column("shortable", sa.Boolean(), nullable=True))
    op.add_column("reference_prices", sa.Column("earlier_px", _EXACT, nullable=True))
    op.add_column("reference_prices", sa.Column("earlier_at", sa.BigInteger(), nullable=True))
