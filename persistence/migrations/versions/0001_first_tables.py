"""The tables with which Drawbridge began."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EXACT = sa.Text().with_variant(sa.Numeric(), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, those first that others refer to."""
    _broker_events()
    _gateway()
    _instruments()
    _reference_prices()
    _stream_cursors()
    _tenants()
    _accounts()
    _users()
    _approval_requests()
    _breaks()
    _entitlements()
    _limits()
    _orders()
    _outbox()
    _positions()
    _trading_state_changes()
    _cl_ord_ids()
    _commands()
    _reports()
    _decisions()
    _fills()


def _broker_events() -> None:
    op.create_table(
        "broker_events",
        sa.Column("key", _ID, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_broker_events"),
    )


def _gateway() -> None:
    op.create_table(
        "gateway",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateway"),
        sa.CheckConstraint("id = 1", name=op.f("ck_gateway_one_row")),
    )


def _instruments() -> None:
    op.create_table(
        "instruments",
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("mic", _ID, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("security_type", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tick", _EXACT, nullable=False),
        sa.Column("lot", _EXACT, nullable=False),
        sa.Column("multiplier", _EXACT, nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("expiry", sa.BigInteger(), nullable=True),
        sa.Column("initial_margin", _EXACT, nullable=True),
        sa.Column("maintenance_margin", _EXACT, nullable=True),
        sa.PrimaryKeyConstraint("symbol", "mic", name="pk_instruments"),
    )


def _reference_prices() -> None:
    op.create_table(
        "reference_prices",
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("bid", _EXACT, nullable=True),
        sa.Column("bid_size", _EXACT, nullable=True),
        sa.Column("ask", _EXACT, nullable=True),
        sa.Column("ask_size", _EXACT, nullable=True),
        sa.Column("last", _EXACT, nullable=True),
        sa.Column("last_size", _EXACT, nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delayed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name="pk_reference_prices"),
    )


def _stream_cursors() -> None:
    op.create_table(
        "stream_cursors",
        sa.Column("broker", _ID, nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("broker", name="pk_stream_cursors"),
    )


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("cash", _EXACT, nullable=False),
        sa.Column("trading_state", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("open_orders", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.CheckConstraint("last_seq >= 0", name=op.f("ck_accounts_last_seq")),
        sa.CheckConstraint("open_orders >= 0", name=op.f("ck_accounts_open_orders")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_accounts_tenant_id"),
    )
    op.create_index("ix_accounts_broker", "accounts", ["broker", "id"])
    op.create_index("ix_accounts_tenant", "accounts", ["tenant_id", "id"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_users_tenant_id"),
    )


def _approval_requests() -> None:
    op.create_table(
        "approval_requests",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", _ID, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", _ID, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_approval_requests"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_approval_requests_tenant_id"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_approval_requests_account_id"
        ),
    )


def _breaks() -> None:
    op.create_table(
        "breaks",
        sa.Column("id", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("order_id", _ID, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_breaks"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_breaks_account_id"),
    )
    op.create_index("ix_breaks_account", "breaks", ["account_id", "id"])


def _entitlements() -> None:
    op.create_table(
        "entitlements",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "account_id", name="pk_entitlements"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_entitlements_user_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_entitlements_account_id"),
    )


def _limits() -> None:
    op.create_table(
        "limits",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", _EXACT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "version", "symbol", "name", name="pk_limits"),
        sa.CheckConstraint("version > 0", name=op.f("ck_limits_version")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_limits_account_id"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("cl_ord_id", _ID, nullable=True),
        sa.Column("wire_id", _ID, nullable=False),
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("ord_type", sa.Text(), nullable=False),
        sa.Column("order_qty", _EXACT, nullable=False),
        sa.Column("price", _EXACT, nullable=True),
        sa.Column("stop_px", _EXACT, nullable=True),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=True),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=True),
        sa.Column("manual_order_indicator", sa.Boolean(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("transact_time", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("reserve_px", _EXACT, nullable=False),
        sa.Column("cum_qty", _EXACT, nullable=False),
        sa.Column("cum_value", _EXACT, nullable=False),
        sa.Column("in_doubt", sa.Boolean(), nullable=False),
        sa.Column("pending_cancel", sa.Boolean(), nullable=False),
        sa.Column("replacement_order_qty", _EXACT, nullable=True),
        sa.Column("replacement_price", _EXACT, nullable=True),
        sa.Column("replacement_stop_px", _EXACT, nullable=True),
        sa.Column("replacement_reserve_px", _EXACT, nullable=True),
        sa.Column("secondary_order_id", _ID, nullable=True),
        sa.Column("rejected_by", sa.Text(), nullable=True),
        sa.Column("ord_rej_reason", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_orders_tenant_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_orders_account_id"),
        sa.UniqueConstraint("wire_id", name="uq_orders_wire_id"),
    )
    op.create_index("ix_orders_account", "orders", ["account_id", "id"])
    where = sa.text("(status NOT IN ('CANCELED', 'EXPIRED', 'FILLED', 'REJECTED'))")
    op.create_index(
        "ix_orders_open",
        "orders",
        ["account_id", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.CheckConstraint("0 < first_seq AND first_seq <= last_seq", name=op.f("ck_outbox_range")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_outbox_account_id"),
        sqlite_autoincrement=True,
    )


def _positions() -> None:
    op.create_table(
        "positions",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("net_qty", _EXACT, nullable=False),
        sa.Column("cost", _EXACT, nullable=False),
        sa.Column("realized_pnl", _EXACT, nullable=False),
        sa.Column("open_buy_qty", _EXACT, nullable=False),
        sa.Column("open_buy_notional", _EXACT, nullable=False),
        sa.Column("open_sell_qty", _EXACT, nullable=False),
        sa.Column("open_sell_notional", _EXACT, nullable=False),
        sa.Column("as_of_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "symbol", name="pk_positions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_positions_account_id"),
    )


def _trading_state_changes() -> None:
    op.create_table(
        "trading_state_changes",
        sa.Column("id", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_by", _ID, nullable=False),
        sa.Column("approved_by", _ID, nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trading_state_changes"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_trading_state_changes_tenant_id"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_trading_state_changes_account_id"
        ),
    )


def _cl_ord_ids() -> None:
    op.create_table(
        "cl_ord_ids",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("cl_ord_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("order_id", _ID, nullable=True),
        sa.Column("reject_seq", sa.BigInteger(), nullable=True),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "cl_ord_id", name="pk_cl_ord_ids"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_cl_ord_ids_account_id"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_cl_ord_ids_order_id"),
    )


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("wire_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("cl_ord_id", _ID, nullable=True),
        sa.Column("orig_cl_ord_id", _ID, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("terms_order_qty", _EXACT, nullable=True),
        sa.Column("terms_price", _EXACT, nullable=True),
        sa.Column("terms_stop_px", _EXACT, nullable=True),
        sa.Column("terms_reserve_px", _EXACT, nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("wire_id", name="pk_commands"),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_commands_attempt")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_commands_account_id"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_commands_order_id"),
    )
    where = sa.text("state IN ('IN_DOUBT', 'QUEUED', 'SENT')")
    op.create_index(
        "ix_commands_open",
        "commands",
        ["account_id", "order_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("ix_commands_order", "commands", ["order_id"])


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("msg_type", sa.Text(), nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=True),
        sa.Column("cl_ord_id", _ID, nullable=True),
        sa.Column("orig_cl_ord_id", _ID, nullable=True),
        sa.Column("secondary_order_id", _ID, nullable=True),
        sa.Column("exec_id", _ID, nullable=True),
        sa.Column("exec_type", sa.Text(), nullable=True),
        sa.Column("exec_ref_id", _ID, nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("ord_status", sa.Text(), nullable=False),
        sa.Column("symbol", _ID, nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("ord_type", sa.Text(), nullable=True),
        sa.Column("time_in_force", sa.Text(), nullable=True),
        sa.Column("order_qty", _EXACT, nullable=True),
        sa.Column("price", _EXACT, nullable=True),
        sa.Column("stop_px", _EXACT, nullable=True),
        sa.Column("last_qty", _EXACT, nullable=True),
        sa.Column("last_px", _EXACT, nullable=True),
        sa.Column("cum_qty", _EXACT, nullable=True),
        sa.Column("leaves_qty", _EXACT, nullable=True),
        sa.Column("avg_px", _EXACT, nullable=True),
        sa.Column("in_doubt", sa.Boolean(), nullable=True),
        sa.Column("cxl_rej_response_to", sa.Text(), nullable=True),
        sa.Column("cxl_rej_reason", sa.Text(), nullable=True),
        sa.Column("rejected_by", sa.Text(), nullable=True),
        sa.Column("ord_rej_reason", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("transact_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "seq", name="pk_reports"),
        sa.CheckConstraint(
            "msg_type = '8' AND order_id IS NOT NULL AND exec_id IS NOT NULL"
            " AND exec_type IS NOT NULL AND symbol IS NOT NULL AND last_qty IS NOT NULL"
            " AND leaves_qty IS NOT NULL"
            " OR msg_type = '9' AND cl_ord_id IS NOT NULL"
            " AND cxl_rej_response_to IS NOT NULL AND cxl_rej_reason IS NOT NULL",
            name=op.f("ck_reports_msg_type"),
        ),
        sa.CheckConstraint("seq > 0", name=op.f("ck_reports_seq")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_reports_account_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_reports_tenant_id"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_reports_order_id"),
    )
    where = sa.text("exec_type IN ('TRADE', 'TRADE_CANCEL', 'TRADE_CORRECT')")
    op.create_index(
        "ix_reports_fills",
        "reports",
        ["order_id", "seq"],
        sqlite_where=where,
        postgresql_where=where,
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("cl_ord_id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=True),
        sa.Column("checks", sa.Text(), nullable=False),
        sa.Column("limits_version", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.ForeignKeyConstraint(
            ["account_id", "cl_ord_id"],
            ["cl_ord_ids.account_id", "cl_ord_ids.cl_ord_id"],
            name="fk_decisions_account_id_cl_ord_id",
        ),
        sa.UniqueConstraint("account_id", "cl_ord_id", name="uq_decisions_account_id_cl_ord_id"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_decisions_order_id"),
    )
    op.create_index("ix_decisions_order", "decisions", ["order_id", "id"])


def _fills() -> None:
    op.create_table(
        "fills",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("exec_id", _ID, nullable=False),
        sa.Column("exec_type", sa.Text(), nullable=False),
        sa.Column("exec_ref_id", _ID, nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("symbol", _ID, nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("last_qty", _EXACT, nullable=False),
        sa.Column("last_px", _EXACT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("transact_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "exec_id", name="pk_fills"),
        sa.ForeignKeyConstraint(
            ["account_id", "seq"],
            ["reports.account_id", "reports.seq"],
            name="fk_fills_account_id_seq",
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_fills_order_id"),
    )
    op.create_index("ix_fills_order", "fills", ["order_id"])
