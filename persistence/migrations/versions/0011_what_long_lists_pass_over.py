"""Indexes for what was found only by reading an account's whole history.

They are of few rows, or of rows that change no more. While one is built, which takes seconds for
millions of rows, nobody writes to its table; those of the release before wait, and then go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_ENDED = "status IN ('CANCELED', 'EXPIRED', 'FILLED', 'REJECTED')"
_INDEXES = {
    "ix_orders_ended_status": ("orders", ["account_id", "status", "id"], _ENDED),
    "ix_orders_ended_symbol": ("orders", ["account_id", "symbol", "id"], _ENDED),
    "ix_orders_pending": (
        "orders",
        ["account_id", "id"],
        "pending_cancel IS true OR replacement_order_qty IS NOT NULL",
    ),
    "ix_commands_cancels": ("commands", ["account_id", "cl_ord_id"], "kind = 'CANCEL'"),
    "ix_reports_rejects": ("reports", ["account_id", "cl_ord_id", "seq"], "msg_type = '9'"),
}


def upgrade() -> None:
    """Build them."""
    for name, (table, columns, rows) in _INDEXES.items():
        where = sa.text(rows.replace("IS true", "IS 1") if _is_sqlite() else rows)
        op.create_index(
            name,
            table,
            columns,
            sqlite_where=where,
            postgresql_where=where,
            # Who has millions of rows builds them before, beside those who write.
            if_not_exists=True,
        )


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
