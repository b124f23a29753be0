"""Tables of limits: versions, what each one set, and what was asked for."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, INSTANT, TEXT, Asked, Exact, OneOf, OrAny
from persistence.tables.base import column, key, metadata, optional
from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import SecurityType
from trading.limitrequest import LimitRequestState
from trading.limits import LimitName

limit_versions = sa.Table(
    "limit_versions",
    metadata,
    key("version", COUNT),
    column("id", ID, unique=True),
    column("requested_by", ID),
    optional("approved_by", ID),
    column("changed_at", INSTANT),
    sa.CheckConstraint("version > 0", name="version"),
    sa.CheckConstraint("approved_by <> requested_by", name="four_eyes"),
)

limit_values = sa.Table(
    "limit_values",
    metadata,
    key("version", COUNT, sa.ForeignKey("limit_versions.version")),
    key("broker", OrAny(str)),
    key("tenant_id", OrAny(TenantID)),
    key("strategy_id", OrAny(str)),
    key("account_id", OrAny(AccountID)),
    key("security_type", OrAny(SecurityType)),
    key("symbol", OrAny(InstrumentID)),
    key("name", OneOf(LimitName)),
    optional("value", Exact()),
    column("owner", TEXT),
    column("reason", TEXT),
    optional("effective_at", INSTANT),
    optional("expires_at", INSTANT),
    # No number is compared in SQL, where SQLite has it as text: a negative one is seen by its sign.
    sa.CheckConstraint("CAST(value AS TEXT) NOT LIKE '-%'", name="value"),
    sa.CheckConstraint("expires_at > effective_at", name="expires_at"),
    sa.CheckConstraint("reason <> '' AND owner <> ''", name="rationale"),
)

limit_requests = sa.Table(
    "limit_requests",
    metadata,
    key("id", ID),
    column("tenant_id", ID, sa.ForeignKey("tenants.id")),
    column("version", COUNT),
    column("limits", Asked()),
    column("state", OneOf(LimitRequestState)),
    column("requested_by", ID),
    column("requested_at", INSTANT),
    column("expires_at", INSTANT),
    optional("decided_by", ID),
    optional("decided_at", INSTANT),
    optional("decision_reason", TEXT),
    sa.Index("ix_limit_requests_tenant", "tenant_id", "requested_at"),
    sa.CheckConstraint("(state = 'PENDING') = (decided_by IS NULL)", name="decided_by"),
    sa.CheckConstraint(
        "state NOT IN ('APPROVED', 'DENIED') OR decided_by <> requested_by", name="four_eyes"
    ),
)

# Processes of the release before read it; what they judge by does not change any more.
former_limits = sa.Table(
    "limits",
    metadata,
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    key("version", COUNT),
    key("symbol", ID),
    key("name", OneOf(LimitName)),
    column("value", Exact()),
    sa.CheckConstraint("version > 0", name="version"),
)
