"""Checkpoints of the exposure monitor, of which there are none to begin with.

Processes of the release before do not know the table, and go on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "exposure_checkpoints",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("net_qty", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_exposure_checkpoints"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_exposure_checkpoints_account_id"
        ),
        postgresql_with={"fillfactor": 70},
    )
