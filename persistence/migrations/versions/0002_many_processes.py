"""What many processes over one database need: leases, wanted symbols, an outbox in parts.

Processes of the release before may go on beside it: what they write is still taken. It holds no
lock that they wait for but one on the outbox, which is short and comes last in a transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_FULL = {"fillfactor": 70}
_HOT = ("accounts", "positions", "reference_prices", "stream_cursors")


def upgrade() -> None:
    """Make the tables, leave room beside rows that change all the time, and part the outbox."""
    op.create_table(
        "leases",
        sa.Column("name", _ID, nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
        postgresql_with=_FULL,
    )
    op.create_table(
        "wanted_symbols",
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name="pk_wanted_symbols"),
        postgresql_with=_FULL,
    )
    if op.get_context().dialect.name == "postgresql":
        for table in _HOT:
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
    op.add_column("outbox", sa.Column("shard", sa.BigInteger(), nullable=True))
    op.create_index("ix_outbox_shard", "outbox", ["shard", "id"])
