"""Migrations of the schema, forward only: each one is a file in migrations/versions."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from persistence.bare import BareConnection

_FOLDER = Path(__file__).parent / "migrations"


def head() -> str:
    """Name the revision that this program's tables have."""
    return ScriptDirectory(str(_FOLDER)).get_current_head() or ""


def known() -> frozenset[str]:
    """Name the revisions that this program can begin from."""
    script = ScriptDirectory(str(_FOLDER))
    return frozenset(each.revision for each in script.walk_revisions())


def current(connection: BareConnection) -> str | None:
    """Name the revision of a database, or None for an empty one."""
    return MigrationContext.configure(connection.bare).get_current_revision()


def upgrade(connection: BareConnection, revision: str = "head") -> None:
    """Bring the schema up to a revision, in a transaction that has begun: all of it, or nothing."""
    config = Config(attributes={"connection": connection.bare})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, revision)
