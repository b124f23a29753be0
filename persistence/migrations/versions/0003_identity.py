"""An identity of the database, by which what it tells on a bus is known from another's.

Processes of the release before may go on beside it: they neither read nor write it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Leave room for it; who opens the store draws it where there is none."""
    op.add_column("gateway", sa.Column("identity", sa.Text(), nullable=True))
