"""What monitors read by, and how far accounts have followed the states of their scopes.

Processes of the release before may go on beside it; while the index is made, their fills wait.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the column and the index."""
    scope_epoch = sa.Column("scope_epoch", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("accounts", scope_epoch)
    op.create_index("ix_fills_account", "fills", ["account_id", "seq"])
