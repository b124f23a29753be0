"""Tables of who may do what: tenants, accounts, users, positions and trading states."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, INSTANT, TEXT, Exact, OneOf, ScopedStates
from persistence.conduct import ConductText
from persistence.tables.base import (
    ROOM_TO_CHANGE,
    column,
    key,
    metadata,
    optional,
    serial,
)
from trading.account import TradingState
from trading.control import MassAction
from trading.permission import Entitlement
from trading.ports import Environment
from trading.scope import ScopeKind

gateway = sa.Table(
    "gateway",
    metadata,
    key("id", COUNT),
    column("environment", OneOf(Environment)),
    column("created_at", INSTANT),
    column("version", TEXT),
    optional("identity", TEXT),
    sa.CheckConstraint("id = 1", name="one_row"),
)

tenants = sa.Table("tenants", metadata, key("id", ID), column("name", TEXT))

accounts = sa.Table(
    "accounts",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("name", TEXT),
    column("currency", TEXT),
    column("broker", TEXT),
    column("cash", Exact()),
    column("trading_state", OneOf(TradingState)),
    column("last_seq", COUNT),
    column("fence", COUNT),
    column("open_orders", COUNT),
    column("scoped_states", ScopedStates(), server_default=""),
    column("scope_epoch", COUNT, server_default="0"),
    optional("owner", ID),
    # Rows of a release that did not know of it begin without a past.
    column("conduct", ConductText(), server_default=""),
    sa.Index("ix_accounts_owner", "owner"),
    sa.Index("ix_accounts_tenant", "tenant_id", "id"),
    sa.Index("ix_accounts_broker", "broker", "id"),
    sa.CheckConstraint("last_seq >= 0", name="last_seq"),
    sa.CheckConstraint("open_orders >= 0", name="open_orders"),
    postgresql_with=ROOM_TO_CHANGE,
)

users = sa.Table(
    "users",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("name", TEXT),
    column("role", TEXT),
    column("revoked_before", INSTANT, server_default="0"),
)

entitlements = sa.Table(
    "entitlements",
    metadata,
    key("user_id", ID, sa.ForeignKey("users.id")),
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    column("entitlement", OneOf(Entitlement)),
)

positions = sa.Table(
    "positions",
    metadata,
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    key("symbol", ID),
    column("net_qty", Exact()),
    column("cost", Exact()),
    column("realized_pnl", Exact()),
    column("open_buy_qty", Exact()),
    column("open_buy_notional", Exact()),
    column("open_sell_qty", Exact()),
    column("open_sell_notional", Exact()),
    column("as_of_seq", COUNT),
    postgresql_with=ROOM_TO_CHANGE,
)

trading_state_changes = sa.Table(
    "trading_state_changes",
    metadata,
    serial(),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("account_id", ID, sa.ForeignKey("accounts.id")),
    column("before", OneOf(TradingState)),
    column("state", OneOf(TradingState)),
    column("reason", TEXT),
    column("changed_by", ID),
    optional("approved_by", ID),
    column("changed_at", INSTANT),
    optional("scope_kind", OneOf(ScopeKind)),
    optional("scope_id", ID),
)

approval_requests = sa.Table(
    "approval_requests",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    optional("account_id", ID, sa.ForeignKey("accounts.id")),
    column("state", OneOf(TradingState)),
    column("reason", TEXT),
    column("requested_by", ID),
    column("requested_at", INSTANT),
    column("expires_at", INSTANT),
    optional("approved_by", ID),
    optional("scope_kind", OneOf(ScopeKind)),
    optional("scope_id", ID),
    optional("scope_tenant_id", ID),
    column("action", OneOf(MassAction), server_default=MassAction.NONE),
)
