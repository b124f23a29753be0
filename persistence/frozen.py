"""Connections to PostgreSQL that a process has left in the middle, with the locks that they hold.

A driver asks in several messages. Where a process stops between two of them, its transaction counts
neither as idle nor as a statement that runs, so that no timeout of the server ever ends it.
"""

import sqlalchemy as sa

from persistence.connection import Connection

# Longer than an order's statement may take and a transaction be idle together.
_SILENT_FOR = "8 seconds"

_ACTIVITY = sa.table(
    "pg_stat_activity",
    *map(
        sa.column,
        (
            "pid",
            "datname",
            "usename",
            "application_name",
            "state",
            "wait_event",
            "xact_start",
            "state_change",
        ),
    ),
)
# A server says so of connections of the same user alone, and ends no others.
_END = sa.select(sa.func.pg_terminate_backend(_ACTIVITY.c.pid)).where(
    _ACTIVITY.c.datname == sa.func.current_database(),
    _ACTIVITY.c.usename == sa.func.current_user(),
    _ACTIVITY.c.application_name == sa.func.current_setting("application_name"),
    _ACTIVITY.c.state == "active",
    _ACTIVITY.c.wait_event == "ClientRead",
    _ACTIVITY.c.xact_start.is_not(None),
    _ACTIVITY.c.state_change < sa.func.clock_timestamp() - sa.text(f"interval '{_SILENT_FOR}'"),
)


def end_frozen(connection: Connection) -> None:
    """End the connections of this application that wait for their process in a transaction."""
    connection.rows(_END)
