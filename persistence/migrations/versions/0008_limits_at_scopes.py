"""Limits at scopes, in versions that are numbered for all together.

The limits in force become the first such version, numbered after all that an account had, so that
no decision's version means two things. Where an instrument's own limit was less strict than its
account's for all others, it held instead of that one; now the strictest holds, and the account's
is given to each other instrument in its stead. Nothing is permitted that was not.

Processes of the release before go on beside it by the limits that they know, which stay in their
table and are changed no more.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EXACT = sa.Text().with_variant(sa.Numeric(), "postgresql")
_ANY = "*"
_WHOM_AND_WHAT = (
    "broker",
    "tenant_id",
    "strategy_id",
    "account_id",
    "security_type",
    "symbol",
)

type _Row = dict[str, Any]


def upgrade() -> None:
    """Make the tables, and carry over what is in force."""
    _versions()
    _values()
    _requests()
    _carry_over(op.get_bind())


def _versions() -> None:
    op.create_table(
        "limit_versions",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("requested_by", _ID, nullable=False),
        sa.Column("approved_by", _ID, nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_limit_versions"),
        sa.UniqueConstraint("id", name="uq_limit_versions_id"),
        sa.CheckConstraint("version > 0", name=op.f("ck_limit_versions_version")),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_limit_versions_four_eyes")),
    )


def _values() -> None:
    op.create_table(
        "limit_values",
        sa.Column("version", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _WHOM_AND_WHAT),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", _EXACT, nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("version", *_WHOM_AND_WHAT, "name", name="pk_limit_values"),
        sa.ForeignKeyConstraint(
            ["version"], ["limit_versions.version"], name="fk_limit_values_version"
        ),
        sa.CheckConstraint("CAST(value AS TEXT) NOT LIKE '-%'", name=op.f("ck_limit_values_value")),
        sa.CheckConstraint("expires_at > effective_at", name=op.f("ck_limit_values_expires_at")),
        sa.CheckConstraint("reason <> '' AND owner <> ''", name=op.f("ck_limit_values_rationale")),
    )


def _requests() -> None:
    op.create_table(
        "limit_requests",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", _ID, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", _ID, nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_limit_requests"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_limit_requests_tenant_id"),
        sa.CheckConstraint(
            "(state = 'PENDING') = (decided_by IS NULL)",
            name=op.f("ck_limit_requests_decided_by"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('APPROVED', 'DENIED') OR decided_by <> requested_by",
            name=op.f("ck_limit_requests_four_eyes"),
        ),
    )
    op.create_index("ix_limit_requests_tenant", "limit_requests", ["tenant_id", "requested_at"])


def _carry_over(bind: sa.Connection) -> None:
    limits = sa.table(
        "limits",
        *map(sa.column, ("account_id", "version", "symbol", "name")),
        sa.column("value", _EXACT),
    )
    rows = bind.execute(sa.select(limits)).all()
    if not rows:
        return
    newest: dict[str, int] = {}
    for row in rows:
        newest[row.account_id] = max(row.version, newest.get(row.account_id, 0))
    version = max(newest.values()) + 1
    created_at = bind.execute(sa.text("SELECT created_at FROM gateway")).scalar() or 0
    _insert(
        "limit_versions",
        [
            {"version": version, "id": "carried over", "requested_by": "drawbridge"}
            | {"changed_at": created_at}
        ],
    )
    symbols = bind.execute(sa.text("SELECT symbol || '@' || mic FROM instruments")).scalars().all()
    carried: list[_Row] = []
    for account_id in sorted(newest):
        mine = {
            (row.symbol, row.name): Decimal(row.value)
            for row in rows
            if (row.account_id, row.version) == (account_id, newest[account_id])
        }
        for symbol, name, value in _strict(mine, symbols):
            where = dict.fromkeys(_WHOM_AND_WHAT, _ANY) | {"account_id": account_id}
            why = f"as version {newest[account_id]} of the account's own limits had it"
            carried.append(
                where
                | {"version": version, "symbol": symbol, "name": name, "value": value}
                | {"owner": "drawbridge", "reason": why}
            )
    _insert("limit_values", carried)


def _strict(
    mine: dict[tuple[str, str], Decimal], symbols: Sequence[str]
) -> Iterator[tuple[str, str, Decimal]]:
    """Put what one account had so that the strictest of what applies is what held."""
    for (symbol, name), value in sorted(mine.items()):
        own = {s: v for (s, n), v in mine.items() if n == name and s != _ANY}
        looser = any(v < value if name.startswith("MIN_") else v > value for v in own.values())
        if symbol == _ANY and looser:
            yield from ((each, name, value) for each in sorted(set(symbols) - set(own)))
        else:
            yield symbol, name, value


def _insert(table: str, rows: list[_Row]) -> None:
    typed = (sa.column(name, _EXACT if name == "value" else None) for name in rows[0])
    exact = [row | {"value": _plain(row["value"])} if "value" in row else row for row in rows]
    op.bulk_insert(sa.table(table, *typed), exact)


def _plain(value: Decimal) -> Decimal | str:
    return value if op.get_context().dialect.name == "postgresql" else format(value, "f")
