"""Traces: which trace a command came in, and of which traces the reports are that await the relay.

Processes of the release before go on beside it; what they write is of no trace.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make the columns, empty."""
    op.add_column("commands", sa.Column("traceparent", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("traceparents", sa.Text(), nullable=True))
