"""Tables of trading states by scope, and of the owners who have taken them in."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, INSTANT, TEXT, OneOf
from persistence.tables.base import column, key, metadata, optional
from trading.account import TradingState
from trading.control import MassAction
from trading.scope import ScopeKind

scope_states = sa.Table(
    "scope_states",
    metadata,
    key("epoch", COUNT, autoincrement=False),
    column("scope_kind", OneOf(ScopeKind)),
    column("scope_id", ID),
    optional("scope_tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("state", OneOf(TradingState)),
    column("action", OneOf(MassAction)),
    column("reason", TEXT),
    column("changed_by", ID),
    optional("approved_by", ID),
    column("changed_at", INSTANT),
    optional("ended_epoch", COUNT),
    optional("clean_at", INSTANT),
    sa.CheckConstraint("approved_by <> changed_by", name="two_people"),
    sa.CheckConstraint("ended_epoch > epoch", name="ended_epoch"),
)

IN_FORCE = scope_states.c.ended_epoch.is_(None)
"""No later state of the scope has taken its place."""

sa.Index(
    "ix_scope_states_in_force",
    scope_states.c.epoch,
    sqlite_where=IN_FORCE,
    postgresql_where=IN_FORCE,
)

confirmations = sa.Table(
    "confirmations",
    metadata,
    key("broker", ID),
    column("epoch", COUNT),
    column("scope_epoch", COUNT),
)
