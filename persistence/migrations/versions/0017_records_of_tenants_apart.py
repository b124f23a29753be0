"""The wall between tenants also stands around acts, links, and what limits were and are asked for.

Processes of the release before go on beside it: they read these as the owner.
"""

from alembic import op

revision = "0017"
down_revision = "0015"

_ROLE = "drawbridge_tenant"
_TENANT = "(SELECT current_setting('drawbridge.tenant', true))"

# What is said of all tenants, by `*`, concerns each of them.
_ABOUT_IT = f"""
    tenant_id IN ('*', {_TENANT}) AND (
        account_id = '*'
        OR EXISTS (SELECT FROM accounts WHERE accounts.id = limit_values.account_id)
    )
"""
_SETS_WHAT_IS_SEEN = (
    "EXISTS (SELECT FROM limit_values WHERE limit_values.version = limit_versions.version)"
)


def upgrade() -> None:
    """Say what the role sees of them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("acts", "limit_requests", "links"):
        _see(table, f"tenant_id = {_TENANT}")
    _see("limit_values", _ABOUT_IT)
    _see("limit_versions", _SETS_WHAT_IS_SEEN)


def _see(table: str, which: str) -> None:
    op.execute(f"GRANT SELECT ON {table} TO {_ROLE}")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} FOR SELECT TO {_ROLE} USING ({which})")
