"""The tables of the store, the same on SQLite and PostgreSQL.

Columns bear the names of the fields they hold. Every row belongs to a tenant, directly or by its
account; instruments, reference prices, leases, registered documents and the brokers' streams are
shared.
"""

from persistence.tables.account import (
    accounts,
    approval_requests,
    entitlements,
    gateway,
    positions,
    tenants,
    trading_state_changes,
    users,
)
from persistence.tables.audit import APPEND_ONLY, acts, chain_heads, sealed_pages, seals
from persistence.tables.base import metadata
from persistence.tables.document import document_clients, documents
from persistence.tables.execution import (
    EXECUTION_REPORT,
    FILL_REPORT,
    ORDER_CANCEL_REJECT,
    REJECT_REPORT,
    breaks,
    broker_events,
    fills,
    outbox,
    reports,
    stream_cursors,
)
from persistence.tables.exposure import exposure_checkpoints
from persistence.tables.instrument import instruments, reference_prices, wanted_symbols
from persistence.tables.lease import leases
from persistence.tables.limits import (
    former_limits,
    limit_requests,
    limit_values,
    limit_versions,
)
from persistence.tables.link import links, sealed_secrets
from persistence.tables.order import (
    CANCEL_COMMAND,
    ENDED_ORDER,
    OPEN_COMMAND,
    OPEN_ORDER,
    PENDING_ORDER,
    cl_ord_ids,
    commands,
    decision_forms,
    decisions,
    orders,
)
from persistence.tables.scope import IN_FORCE, confirmations, scope_states

__all__ = [
    "APPEND_ONLY",
    "CANCEL_COMMAND",
    "ENDED_ORDER",
    "EXECUTION_REPORT",
    "FILL_REPORT",
    "IN_FORCE",
    "OPEN_COMMAND",
    "OPEN_ORDER",
    "ORDER_CANCEL_REJECT",
    "PENDING_ORDER",
    "REJECT_REPORT",
    "accounts",
    "acts",
    "approval_requests",
    "breaks",
    "broker_events",
    "chain_heads",
    "cl_ord_ids",
    "commands",
    "confirmations",
    "decision_forms",
    "decisions",
    "document_clients",
    "documents",
    "entitlements",
    "exposure_checkpoints",
    "fills",
    "former_limits",
    "gateway",
    "instruments",
    "leases",
    "limit_requests",
    "limit_values",
    "limit_versions",
    "links",
    "metadata",
    "orders",
    "outbox",
    "positions",
    "reference_prices",
    "reports",
    "scope_states",
    "sealed_pages",
    "sealed_secrets",
    "seals",
    "stream_cursors",
    "tenants",
    "trading_state_changes",
    "users",
    "wanted_symbols",
]
