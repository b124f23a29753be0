"""What the role may do in PostgreSQL that gateways log in as, which does not own the tables.

The owner migrates. Gateways read and add everywhere, and change what is not append-only: who has
their password cannot take the guards of the audit record away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlalchemy as sa

from persistence import tables
from persistence.administration import Administration
from persistence.connection import Connection
from persistence.errors import StoreRefused
from persistence.opening import postgresql_address
from persistence.postgresql import TENANT_ROLE

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


async def grant(url: str, role: str) -> None:
    """Give a role what gateways need of the store, and nothing that it had beyond.

    Raises StoreRefused where there is no such role, and what `Administration.write` raises.
    """
    if not _NAME.fullmatch(role):
        raise StoreRefused(f"{role} is no name of a role: say small letters, digits and _")
    try:
        await Administration(postgresql_address(url)).write(_grant, role)
    except sa.exc.DBAPIError as error:
        raise StoreRefused(f"nothing can be granted to {role} ({error.orig})") from error


def _grant(connection: Connection, role: str) -> None:
    for statement in _statements(role):
        connection.text(statement)


def _statements(role: str) -> Iterator[str]:
    guarded = {table.name for table in tables.APPEND_ONLY}
    yield f"GRANT USAGE ON SCHEMA public TO {role}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    yield f"GRANT SELECT ON alembic_version TO {role}"
    yield f"GRANT {TENANT_ROLE} TO {role}"
    for name in sorted(tables.metadata.tables):
        verbs = "SELECT, INSERT" if name in guarded else "SELECT, INSERT, UPDATE, DELETE"
        yield f"GRANT {verbs} ON {name} TO {role}"
        # Where rows are kept apart by tenant, it still works for all of them.
        yield f"DROP POLICY IF EXISTS gateways ON {name}"
        yield f"CREATE POLICY gateways ON {name} TO {role} USING (true) WITH CHECK (true)"
