"""Forms of decisions: what the checks of a release ask, once for all decisions of it.

Decisions from before keep their whole checks. Processes of the release before go on beside it; what
they record they record as they did, but they cannot show a decision of this release's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and the column, empty."""
    op.create_table(
        "decision_forms",
        sa.Column("id", _ID, nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decision_forms"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A form is of no tenant: whoever sees a decision needs it.
        op.execute("GRANT SELECT ON decision_forms TO drawbridge_tenant")
        op.execute("ALTER TABLE decision_forms ENABLE ROW LEVEL SECURITY")
        op.execute(
            "CREATE POLICY tenant ON decision_forms FOR SELECT TO drawbridge_tenant USING (true)"
        )
    op.add_column("decisions", sa.Column("form_id", _ID, nullable=True))
