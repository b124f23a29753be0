"""Trading states by scope, the users behind orders, and the owners' confirmations.

Processes of the release before may go on beside it. They heed what holds for all of an account's
orders, which stands in its row as before; states of users, strategies and instruments are heeded
once the last of them has ended.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables and columns, and take over the states that accounts have."""
    _scope_states()
    op.create_table(
        "confirmations",
        sa.Column("broker", _ID, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("scope_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("broker", name="pk_confirmations"),
    )
    op.add_column(
        "accounts", sa.Column("scoped_states", sa.Text(), nullable=False, server_default="")
    )
    op.add_column("orders", sa.Column("user_id", _ID, nullable=True))
    op.add_column("commands", sa.Column("user_id", _ID, nullable=True))
    for table in ("trading_state_changes", "approval_requests"):
        op.add_column(table, sa.Column("scope_kind", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("scope_id", _ID, nullable=True))
    op.add_column("approval_requests", sa.Column("scope_tenant_id", _ID, nullable=True))
    op.add_column(
        "approval_requests",
        sa.Column("action", sa.Text(), nullable=False, server_default="NONE"),
    )
    op.execute(
        "INSERT INTO scope_states"
        " (epoch, scope_kind, scope_id, state, action, reason, changed_by, changed_at)"
        " SELECT row_number() OVER (ORDER BY id), 'ACCOUNT', id, trading_state, 'NONE',"
        " 'set before states had scopes', 'migration', 0"
        " FROM accounts WHERE trading_state <> 'ACTIVE'"
    )


def _scope_states() -> None:
    op.create_table(
        "scope_states",
        sa.Column("epoch", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scope_kind", sa.Text(), nullable=False),
        sa.Column("scope_id", _ID, nullable=False),
        sa.Column("scope_tenant_id", _ID, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_by", _ID, nullable=False),
        sa.Column("approved_by", _ID, nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_epoch", sa.BigInteger(), nullable=True),
        sa.Column("clean_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name="pk_scope_states"),
        sa.ForeignKeyConstraint(
            ["scope_tenant_id"], ["tenants.id"], name="fk_scope_states_scope_tenant_id"
        ),
        sa.CheckConstraint("approved_by <> changed_by", name=op.f("ck_scope_states_two_people")),
        sa.CheckConstraint("ended_epoch > epoch", name=op.f("ck_scope_states_ended_epoch")),
    )
    op.create_index(
        "ix_scope_states_in_force",
        "scope_states",
        ["epoch"],
        sqlite_where=sa.text("ended_epoch IS NULL"),
        postgresql_where=sa.text("ended_epoch IS NULL"),
    )
