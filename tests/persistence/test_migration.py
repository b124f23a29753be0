"""The migrations make the tables that the program knows, in either database."""

import importlib.util
import io
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from persistence import migration
from persistence.database import Connection
from persistence.sqlite import SqliteDatabase
from persistence.tables import metadata
from trading.store import StoreUnavailable


def words(ddl: str) -> str:
    return " ".join(re.sub(r'["()]', " ", ddl).split())


def schema(connection: Connection) -> set[str]:
    rows = connection.bare.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    )
    return {words(row.sql) for row in rows}


async def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "migrated")
    await migration.migrate(database)
    migrated = await database.read(schema)
    await database.close()
    engine = sa.create_engine("sqlite://")
    with engine.begin() as created:
        metadata.create_all(created)
        wanted = schema(Connection(created))
    engine.dispose()

    assert migrated == wanted
    assert migrated


def test_on_postgresql_too() -> None:
    script, output = ScriptDirectory(str(migration._FOLDER)), io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": output}
    )
    with Operations.context(context):
        for revision in reversed(list(script.walk_revisions())):
            spec = importlib.util.spec_from_file_location(revision.revision, revision.path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            module.upgrade()
    migrated = {words(each) for each in output.getvalue().split(";") if each.strip()}
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    ddl: list[sa.DDLElement] = [CreateTable(table) for table in metadata.sorted_tables]
    ddl += [CreateIndex(index) for table in metadata.sorted_tables for index in table.indexes]
    wanted = {words(str(each.compile(dialect=dialect))) for each in ddl}

    assert migrated == wanted


async def test_an_empty_database_has_no_revision_and_a_migrated_one_the_newest(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(tmp_path / "new")

    assert await migration.current(database) is None
    await migration.migrate(database)
    await migration.migrate(database)
    assert await migration.current(database) == migration.head()
    assert migration.head() in migration.known()
    await database.close()


def obstruct(connection: Connection) -> None:
    connection.bare.exec_driver_sql("CREATE TABLE reports (in_the_way INTEGER)")


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "half")
    await database.write(obstruct)

    with pytest.raises(StoreUnavailable, match="reports"):
        await migration.migrate(database)
    left = await database.read(schema)
    await database.close()

    assert left == {"CREATE TABLE reports in_the_way INTEGER"}
