"""Migrations of the schema, forward only: each one is a file in migrations/versions."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from persistence.database import Database

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
    async with database.administer() as connection:
        return await connection.run_sync(_current)


async def migrate(database: Database) -> None:
    """Bring the schema up to date in one transaction: all of it, or nothing."""
    async with database.administer() as connection:
        await connection.run_sync(_upgrade)


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: sa.Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")
