"""The audit record: administrative acts, chains and seals; and tables that nobody may rewrite.

Processes of the release before may go on beside it: they never change what is append-only, and what
they record is sealed by a process of this release.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_APPEND_ONLY = ("acts", "fills", "reports", "seals", "sealed_pages", "trading_state_changes")


def upgrade() -> None:
    """Make the tables, and guard those that only grow."""
    _acts()
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_seals"),
    )
    op.create_table(
        "sealed_pages",
        sa.Column("chain", _ID, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("leaves", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("seal", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "first", name="pk_sealed_pages"),
        sa.ForeignKeyConstraint(["seal"], ["seals.number"], name="fk_sealed_pages_seal"),
    )
    op.create_index("ix_sealed_pages_seal", "sealed_pages", ["seal", "place"])
    op.create_table(
        "chain_heads",
        sa.Column("chain", _ID, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_chain_heads"),
    )
    _guard()


def _acts() -> None:
    op.create_table(
        "acts",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("tenant_id", _ID, nullable=True),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_acts"),
        sa.CheckConstraint("number > 0", name=op.f("ck_acts_number")),
    )


def _guard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in _APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {name}_refuses_{verb.lower()} BEFORE {verb} ON {name}"
                    f" BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
                )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME"
        " USING ERRCODE = '42501'; END $$"
    )
    for name in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {name}_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
