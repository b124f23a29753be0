"""A second wall between tenants: what is read for a client sees the rows of its tenant alone.

It is PostgreSQL's own row-level security, for a role that reads and does nothing else. The owner of
the tables, as which processes write and work across tenants, is not subject to it. SQLite, which
serves one process, has no such thing.

Processes of the release before go on beside it: they do not use the role.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

_ROLE = "drawbridge_tenant"
_OWN = ("accounts", "orders", "reports", "trading_state_changes")
_BY_ACCOUNT = ("breaks", "cl_ord_ids", "commands", "decisions", "positions")

# Roles belong to the whole server: another database's migration may make it at the same moment.
_MAKE_ROLE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{_ROLE}') THEN
        BEGIN
            CREATE ROLE {_ROLE} NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role {_ROLE} is missing: have it made by CREATE ROLE {_ROLE}'
                    ' NOLOGIN; GRANT {_ROLE} TO %', current_user;
        END;
    END IF;
    IF NOT pg_has_role(current_user, '{_ROLE}', 'MEMBER') THEN
        EXECUTE format('GRANT {_ROLE} TO %I', current_user);
    END IF;
END $$
"""

# Looked up once for a statement, and not for each row. Who says no tenant has none.
_TENANT = "(SELECT current_setting('drawbridge.tenant', true))"


def upgrade() -> None:
    """Make the role, and what it sees."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(_MAKE_ROLE)
    for table in _OWN:
        _see(table, f"tenant_id = {_TENANT}")
    for table in _BY_ACCOUNT:
        # The accounts that it sees are its tenant's.
        _see(table, f"EXISTS (SELECT FROM accounts WHERE accounts.id = {table}.account_id)")


def _see(table: str, which: str) -> None:
    op.execute(f"GRANT SELECT ON {table} TO {_ROLE}")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} FOR SELECT TO {_ROLE} USING ({which})")
