"""Tables of what happened: reports and fills, what brokers were heard to say, and the outbox."""

import sqlalchemy as sa

from persistence.columns import COUNT, FLAG, ID, INSTANT, TEXT, Exact, OneOf
from persistence.tables.base import ROOM_TO_CHANGE, among, column, key, metadata, optional, serial
from trading.execution import FILLS, BreakKind, ExecType, Origin
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy

EXECUTION_REPORT, ORDER_CANCEL_REJECT = "8", "9"
"""MsgType(35): which of the two kinds of report a row is."""

reports = sa.Table(
    "reports",
    metadata,
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    key("seq", COUNT),
    column("msg_type", TEXT),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    optional("order_id", ID, sa.ForeignKey("orders.id")),
    optional("cl_ord_id", ID),
    optional("orig_cl_ord_id", ID),
    optional("secondary_order_id", ID),
    optional("exec_id", ID),
    optional("exec_type", OneOf(ExecType)),
    optional("exec_ref_id", ID),
    optional("origin", OneOf(Origin)),
    column("ord_status", OneOf(OrdStatus)),
    optional("symbol", ID),
    optional("side", OneOf(Side)),
    optional("ord_type", OneOf(OrdType)),
    optional("time_in_force", OneOf(TimeInForce)),
    optional("order_qty", Exact()),
    optional("price", Exact()),
    optional("stop_px", Exact()),
    optional("last_qty", Exact()),
    optional("last_px", Exact()),
    optional("cum_qty", Exact()),
    optional("leaves_qty", Exact()),
    optional("avg_px", Exact()),
    optional("in_doubt", FLAG),
    optional("cxl_rej_response_to", OneOf(CxlRejResponseTo)),
    optional("cxl_rej_reason", OneOf(CxlRejReason)),
    optional("rejected_by", OneOf(RejectedBy)),
    optional("ord_rej_reason", OneOf(OrdRejReason)),
    optional("text", TEXT),
    column("transact_time", INSTANT),
    sa.CheckConstraint(
        f"msg_type = '{EXECUTION_REPORT}' AND order_id IS NOT NULL AND exec_id IS NOT NULL"
        " AND exec_type IS NOT NULL AND symbol IS NOT NULL AND last_qty IS NOT NULL"
        " AND leaves_qty IS NOT NULL"
        f" OR msg_type = '{ORDER_CANCEL_REJECT}' AND cl_ord_id IS NOT NULL"
        " AND cxl_rej_response_to IS NOT NULL AND cxl_rej_reason IS NOT NULL",
        name="msg_type",
    ),
    sa.CheckConstraint("seq > 0", name="seq"),
)

FILL_REPORT = among(reports.c.exec_type, FILLS)
"""The report is of a trade or of the undoing of one, as `ExecType.is_fill` says."""

sa.Index(
    "ix_reports_fills",
    reports.c.order_id,
    reports.c.seq,
    sqlite_where=FILL_REPORT,
    postgresql_where=FILL_REPORT,
)

REJECT_REPORT = reports.c.msg_type == sa.literal_column(f"'{ORDER_CANCEL_REJECT}'")
"""The report is an OrderCancelReject."""

sa.Index(
    "ix_reports_rejects",
    reports.c.account_id,
    reports.c.cl_ord_id,
    reports.c.seq,
    sqlite_where=REJECT_REPORT,
    postgresql_where=REJECT_REPORT,
)

fills = sa.Table(
    "fills",
    metadata,
    key("account_id", ID),
    key("exec_id", ID),
    column("exec_type", OneOf(ExecType)),
    optional("exec_ref_id", ID),
    column("origin", OneOf(Origin)),
    column("order_id", ID, sa.ForeignKey("orders.id")),
    column("symbol", ID),
    column("side", OneOf(Side)),
    column("last_qty", Exact()),
    column("last_px", Exact()),
    column("seq", COUNT),
    column("transact_time", INSTANT),
    sa.ForeignKeyConstraint(["account_id", "seq"], ["reports.account_id", "reports.seq"]),
    sa.Index("ix_fills_order", "order_id"),
    sa.Index("ix_fills_account", "account_id", "seq"),
)

broker_events = sa.Table("broker_events", metadata, key("key", ID))

stream_cursors = sa.Table(
    "stream_cursors",
    metadata,
    key("broker", ID),
    column("position", TEXT),
    postgresql_with=ROOM_TO_CHANGE,
)

outbox = sa.Table(
    "outbox",
    metadata,
    serial(),
    column("account_id", ID, sa.ForeignKey("accounts.id")),
    column("first_seq", COUNT),
    column("last_seq", COUNT),
    # Empty in rows of a release that did not know of shards and may still be running.
    optional("shard", COUNT),
    # Those of the commands that the reports are of, with a blank between them.
    optional("traceparents", TEXT),
    sa.Index("ix_outbox_shard", "shard", "id"),
    sa.CheckConstraint("0 < first_seq AND first_seq <= last_seq", name="range"),
    # Rows are deleted by id, so that no id may come twice.
    sqlite_autoincrement=True,
)

breaks = sa.Table(
    "breaks",
    metadata,
    serial(),
    column("kind", OneOf(BreakKind)),
    optional("account_id", ID, sa.ForeignKey("accounts.id")),
    optional("order_id", ID),
    column("detail", TEXT),
    column("raised_at", INSTANT),
    sa.Index("ix_breaks_account", "account_id", "id"),
)
