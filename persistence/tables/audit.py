"""Tables of the audit record: acts, sealed pages of chains, seals; and what is append-only."""

from typing import Any

import sqlalchemy as sa

from persistence.columns import COUNT, ID, INSTANT, TEXT, OneOf
from persistence.tables.account import trading_state_changes
from persistence.tables.base import column, key, metadata, optional
from persistence.tables.execution import fills, reports
from trading.audit import ActDecision, ActKind

acts = sa.Table(
    "acts",
    metadata,
    key("number", COUNT, autoincrement=False),
    column("kind", OneOf(ActKind)),
    column("decision", OneOf(ActDecision)),
    column("subject", TEXT),
    column("detail", TEXT),
    optional("tenant_id", ID),
    column("user_id", ID),
    column("role", TEXT),
    column("client_id", TEXT),
    column("token_id", TEXT),
    column("address", TEXT),
    column("at", INSTANT),
    sa.CheckConstraint("number > 0", name="number"),
)

seals = sa.Table(
    "seals",
    metadata,
    key("number", COUNT, autoincrement=False),
    column("at", INSTANT),
    column("previous", TEXT),
    column("root", TEXT),
    column("pages", COUNT),
    column("signature", TEXT),
)

sealed_pages = sa.Table(
    "sealed_pages",
    metadata,
    key("chain", ID),
    key("first", COUNT, autoincrement=False),
    column("last", COUNT),
    # 64 hexadecimal digits for each record, one after another.
    column("leaves", TEXT),
    column("head", TEXT),
    column("seal", COUNT, sa.ForeignKey("seals.number")),
    column("place", COUNT),
    sa.Index("ix_sealed_pages_seal", "seal", "place"),
)

# Only to find quickly what is unsealed: the truth is in the pages.
chain_heads = sa.Table(
    "chain_heads",
    metadata,
    key("chain", ID),
    column("last", COUNT),
    column("head", TEXT),
)

APPEND_ONLY = (acts, fills, reports, seals, sealed_pages, trading_state_changes)
"""Tables whose rows are never changed and never deleted, by anybody."""

_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '42501'; END $$
"""


def _guard(table: sa.Table) -> None:
    name = table.name
    for verb in ("UPDATE", "DELETE"):
        trigger = (
            f"CREATE TRIGGER {name}_refuses_{verb.lower()} BEFORE {verb} ON {name}"
            f" BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
        )
        _after_create(table, trigger, "sqlite")
    changes = (
        f"CREATE TRIGGER {name}_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for statement in (_FUNCTION, changes):
        _after_create(table, statement, "postgresql")


def _after_create(table: sa.Table, statement: str, dialect: str) -> None:
    # A per cent sign is a format's, in DDL.
    ddl: Any = sa.DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
    sa.event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _table in APPEND_ONLY:
    _guard(_table)
