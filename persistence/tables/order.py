"""Tables of what clients want: orders, the command ledger, ClOrdIDs and risk decisions."""

import sqlalchemy as sa

from persistence.columns import COUNT, FLAG, ID, INSTANT, TEXT, Exact, OneOf
from persistence.judged import Checks
from persistence.tables.base import among, column, key, metadata, optional, serial
from trading.command import OPEN_STATES, CommandKind, CommandState
from trading.order import TERMINAL, OrdStatus, OrdType, Side, TimeInForce
from trading.reject import OrdRejReason, RejectedBy

orders = sa.Table(
    "orders",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("account_id", ID, sa.ForeignKey("accounts.id")),
    optional("cl_ord_id", ID),
    column("wire_id", ID, unique=True),
    column("symbol", ID),
    column("side", OneOf(Side)),
    column("ord_type", OneOf(OrdType)),
    column("order_qty", Exact()),
    optional("price", Exact()),
    optional("stop_px", Exact()),
    column("time_in_force", OneOf(TimeInForce)),
    optional("expire_time", INSTANT),
    column("reduce_only", FLAG),
    optional("strategy_id", TEXT),
    optional("manual_order_indicator", FLAG),
    column("status", OneOf(OrdStatus)),
    column("created_at", INSTANT),
    column("transact_time", INSTANT),
    column("last_seq", COUNT),
    column("reserve_px", Exact()),
    column("cum_qty", Exact()),
    column("cum_value", Exact()),
    column("in_doubt", FLAG),
    column("pending_cancel", FLAG),
    optional("replacement_order_qty", Exact()),
    optional("replacement_price", Exact()),
    optional("replacement_stop_px", Exact()),
    optional("replacement_reserve_px", Exact()),
    optional("secondary_order_id", ID),
    optional("rejected_by", OneOf(RejectedBy)),
    optional("ord_rej_reason", OneOf(OrdRejReason)),
    optional("text", TEXT),
    optional("user_id", ID),
    optional("sells_short", FLAG),
)

OPEN_ORDER = sa.not_(among(orders.c.status, TERMINAL))
"""The order may still trade, as `Order.is_open` says."""

ENDED_ORDER = among(orders.c.status, TERMINAL)
"""The order trades no more: most of what there is, and entered in its indexes only then."""

PENDING_ORDER = sa.or_(
    orders.c.pending_cancel.is_(sa.true()), orders.c.replacement_order_qty.is_not(None)
)
"""The order shows a pending cancel or replace, as `Order.ord_status` says."""

# Ids rise with time, so that the keyset of a list, newest first, is the id alone.
sa.Index("ix_orders_account", orders.c.account_id, orders.c.id)
sa.Index(
    "ix_orders_open",
    orders.c.account_id,
    orders.c.id,
    sqlite_where=OPEN_ORDER,
    postgresql_where=OPEN_ORDER,
)

sa.Index(
    "ix_orders_ended_status",
    orders.c.account_id,
    orders.c.status,
    orders.c.id,
    sqlite_where=ENDED_ORDER,
    postgresql_where=ENDED_ORDER,
)
sa.Index(
    "ix_orders_ended_symbol",
    orders.c.account_id,
    orders.c.symbol,
    orders.c.id,
    sqlite_where=ENDED_ORDER,
    postgresql_where=ENDED_ORDER,
)
sa.Index(
    "ix_orders_pending",
    orders.c.account_id,
    orders.c.id,
    sqlite_where=PENDING_ORDER,
    postgresql_where=PENDING_ORDER,
)

commands = sa.Table(
    "commands",
    metadata,
    key("wire_id", ID),
    column("account_id", ID, sa.ForeignKey("accounts.id")),
    column("order_id", ID, sa.ForeignKey("orders.id")),
    optional("cl_ord_id", ID),
    optional("orig_cl_ord_id", ID),
    column("kind", OneOf(CommandKind)),
    column("state", OneOf(CommandState)),
    column("created_at", INSTANT),
    column("attempt", COUNT),
    column("epoch", COUNT),
    optional("sent_at", INSTANT),
    optional("terms_order_qty", Exact()),
    optional("terms_price", Exact()),
    optional("terms_stop_px", Exact()),
    optional("terms_reserve_px", Exact()),
    optional("evidence", TEXT),
    optional("user_id", ID),
    optional("traceparent", TEXT),
    sa.Index("ix_commands_order", "order_id"),
    sa.CheckConstraint("attempt >= 0", name="attempt"),
)

OPEN_COMMAND = among(commands.c.state, OPEN_STATES)
"""The command awaits its sending or the broker's answer, as `CommandState.is_open` says."""

sa.Index(
    "ix_commands_open",
    commands.c.account_id,
    commands.c.order_id,
    sqlite_where=OPEN_COMMAND,
    postgresql_where=OPEN_COMMAND,
)

CANCEL_COMMAND = commands.c.kind == sa.literal_column(f"'{CommandKind.CANCEL}'")
"""The command cancels an order, perhaps one of many."""

sa.Index(
    "ix_commands_cancels",
    commands.c.account_id,
    commands.c.cl_ord_id,
    sqlite_where=CANCEL_COMMAND,
    postgresql_where=CANCEL_COMMAND,
)

cl_ord_ids = sa.Table(
    "cl_ord_ids",
    metadata,
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    key("cl_ord_id", ID),
    column("kind", TEXT),
    column("body_hash", TEXT),
    optional("order_id", ID, sa.ForeignKey("orders.id")),
    optional("reject_seq", COUNT),
    column("claimed_at", INSTANT),
)

decision_forms = sa.Table("decision_forms", metadata, key("id", ID), column("form", TEXT))

decisions = sa.Table(
    "decisions",
    metadata,
    serial(),
    column("account_id", ID),
    column("cl_ord_id", ID),
    optional("order_id", ID, sa.ForeignKey("orders.id")),
    column("checks", Checks()),
    column("limits_version", COUNT),
    column("decided_at", INSTANT),
    # Empty where the checks are whole. A form is added with the first decision that has it.
    optional("form_id", ID),
    sa.ForeignKeyConstraint(
        ["account_id", "cl_ord_id"], ["cl_ord_ids.account_id", "cl_ord_ids.cl_ord_id"]
    ),
    sa.UniqueConstraint("account_id", "cl_ord_id"),
    sa.Index("ix_decisions_order", "order_id", "id"),
)
