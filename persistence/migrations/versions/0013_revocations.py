"""The instant before which a user's tokens are revoked.

Processes of the release before go on beside it: they do not look at it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add it; nobody's are."""
    op.add_column(
        "users", sa.Column("revoked_before", sa.BigInteger(), nullable=False, server_default="0")
    )
