"""Migrations of the schema, forward only: each one is a file in migrations/versions."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from persistence.database import Connection, Database

_FOLDER = Path(__file__).parent / "migrations"


def head() -> str:
    """Name the revision that this program's tables have."""
    return ScriptDirectory(str(_FOLDER)).get_current_head() or ""


def known() -> frozenset[str]:
    """Name the revisions that this program can begin from."""
    script = ScriptDirectory(str(_FOLDER))
    return frozenset(each.revision for each in script.walk_revisions())


async def current(database: Database) -> str | None:
    """Name the revision of a database, or None for an empty one."""
    return await database.write(_current)


async def migrate(database: Database) -> None:
    """Bring the schema up to date in one transaction: all of it, or nothing."""
    await database.write(upgrade)


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, in a transaction that has begun."""
    config = Config(attributes={"connection": connection.bare})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection.bare).get_current_revision()
