"""Limits in SQL: versions that are added and never changed, and what of them is in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from itertools import batched
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.audit import SqlAudit, record_acts
from persistence.columns import ANY, TEXT
from persistence.connection import Connection
from persistence.database import Database, OpenTransaction
from persistence.mapping import LIMIT_REQUESTS
from persistence.rows import Values
from persistence.within import within
from trading.audit import Act
from trading.ids import AccountID, TenantID
from trading.limitrequest import LimitRequest, LimitVersion
from trading.limits import Limit, LimitName, LimitScope, LimitSet, Whose
from trading.store import LimitsSeen, LimitState

_VERSION = tables.limit_versions.c
_VALUE = tables.limit_values.c
_WHERE = [_VALUE[each.name] for each in fields(LimitScope)]
_KEY = [*_WHERE, _VALUE.name]

# A name that only a later release knows is read as text, and left out.
_LIMITS = sa.select(
    *_WHERE,
    sa.type_coerce(_VALUE.name, TEXT).label("name"),
    *(_VALUE[name] for name in ("value", "owner", "reason")),
    *(_VALUE[name] for name in ("effective_at", "expires_at", "version")),
)

# That of the version already known is among them, so that a store set back is noticed.
_HEADS = (
    sa.select(_VERSION.version, _VERSION.id)
    .where(_VERSION.version >= sa.bindparam("known"))
    .order_by(_VERSION.version)
)
_HEAD = (
    sa.select(_VERSION.version, _VERSION.id)
    .where(_VERSION.version <= sa.bindparam("until"))
    .order_by(_VERSION.version.desc())
    .limit(1)
)
_SINCE = _LIMITS.where(
    _VALUE.version > sa.bindparam("known"), _VALUE.version <= sa.bindparam("until")
).order_by(_VALUE.version)

# What stands leaves nothing of what was set before it.
_STANDING = (
    sa.select(*_KEY, sa.func.max(_VALUE.version).label("since"))
    .where(
        _VALUE.version <= sa.bindparam("until"),
        _VALUE.effective_at.is_(None),
        _VALUE.expires_at.is_(None),
    )
    .group_by(*_KEY)
    .subquery()
)
_ALL = (
    _LIMITS.select_from(
        tables.limit_values.outerjoin(
            _STANDING, sa.and_(*(each == _STANDING.c[each.name] for each in _KEY))
        )
    )
    .where(
        _VALUE.version <= sa.bindparam("until"),
        _VALUE.version >= sa.func.coalesce(_STANDING.c.since, 0),
    )
    .order_by(_VALUE.version)
)
_NEWEST = 1 << 62

# Whoever changes limits waits here for the one before: versions are committed in their order.
_TURN = sa.select(tables.gateway.c.id).with_for_update(key_share=True)
_WHOSE = sa.select(tables.accounts.c.id, tables.accounts.c.tenant_id, tables.accounts.c.broker)
_REQUEST = LIMIT_REQUESTS.select().where(tables.limit_requests.c.id == sa.bindparam("id"))
_REQUESTS = (
    LIMIT_REQUESTS.select()
    .where(tables.limit_requests.c.tenant_id == sa.bindparam("tenant_id"))
    .order_by(tables.limit_requests.c.requested_at.desc(), tables.limit_requests.c.id)
    .limit(sa.bindparam("first"))
)
_SEEN = within(_VALUE.tenant_id, "tenants") & within(_VALUE.account_id, "accounts")
_VERSIONS = (
    sa.select(tables.limit_versions)
    .where(
        _VERSION.version < sa.bindparam("before"),
        sa.exists().where(_VALUE.version == _VERSION.version, _SEEN),
    )
    .order_by(_VERSION.version.desc())
    .limit(sa.bindparam("first"))
)
_OF_VERSIONS = _LIMITS.where(within(_VALUE.version, "versions"), _SEEN).order_by(*_KEY)
_LOCK = (
    sa.select(tables.accounts.c.id)
    .where(within(tables.accounts.c.id, "accounts"))
    .order_by(tables.accounts.c.id)
    .with_for_update(key_share=True)
)
_LOCKED_AT_ONCE = 100


class KnownLimits:
    """The newest limits that this process has read: one look at the versions says if it still is.

    Versions are committed in their order and are never changed, so that the set of a version, once
    read, is that version's in every process and for ever.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._newest = LimitSet()

    def read(self, connection: Connection) -> LimitSet:
        """Return the newest committed limits, in one statement while nothing has changed."""
        known = self._newest
        heads = connection.rows(_HEADS, {"known": known.version}) if known.version else []
        match heads:
            case [only] if only.id == known.id:
                return known
            case [first, *_, last] if first.id == known.id:
                since = {"known": known.version, "until": last.version}
                limits = _read(connection, _SINCE, since)
                self._newest = known.then(last.version, last.id, limits)
            case _:
                self._newest = built(connection, _NEWEST)
        return self._newest


def built(connection: Connection, until: int) -> LimitSet:
    """Build the limits of a version, or of the newest one before it, from the record."""
    heads = connection.rows(_HEAD, {"until": until})
    if not heads:
        return LimitSet()
    [head] = heads
    limits = _read(connection, _ALL, {"until": head.version})
    return LimitSet().then(head.version, head.id, limits)


def record(connection: Connection, version: LimitVersion) -> None:
    """Add a version. Raises IntegrityError where it is not the next, or breaks a rule."""
    head = {
        "version": version.version,
        "id": version.id,
        "requested_by": version.requested_by,
        "approved_by": version.approved_by,
        "changed_at": version.changed_at,
    }
    connection.insert(tables.limit_versions, [head])
    connection.insert(tables.limit_values, [_values(limit, version) for limit in version.limits])


def next_version(connection: Connection) -> int:
    """Wait until no other change is under way, and return the number of the next version."""
    connection.rows(_TURN)
    heads = connection.rows(_HEAD, {"until": _NEWEST})
    return heads[0].version + 1 if heads else 1


class SqlLimits:
    """Implements `trading.store.LimitStore`."""

    def __init__(self, database: Database, known: KnownLimits) -> None:
        """Take the database, and what this process knows of its limits."""
        self._database = database
        self._known = known
        self.audit = SqlAudit(database)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Change]:
        """Begin a change, which waits for no order. Raises StoreUnavailable."""
        async with self._database.urgent.transaction() as steps:
            yield _Change(steps, self._known)

    async def outlast(self, accounts: Collection[AccountID]) -> None:
        """Take the lock of each account once, some at a time, and let go of it."""
        for some in batched(sorted(accounts), _LOCKED_AT_ONCE):
            await self._database.urgent.write(Connection.rows, _LOCK, {"accounts": some})

    async def versions(
        self, seen: LimitsSeen, first: int, before: int | None
    ) -> Sequence[LimitVersion]:
        """Return versions that set some of the limits seen, and those; the newest first."""
        walled = self._database.of_tenant(seen.tenant_id)
        return await walled.read(_versions, seen, first, before or _NEWEST)

    async def requests(self, tenant_id: TenantID, first: int) -> Sequence[LimitRequest]:
        """Return a tenant's newest requests, the newest first."""
        values = {"tenant_id": tenant_id, "first": first}
        walled = self._database.of_tenant(tenant_id)
        return await walled.read(Connection.items, LIMIT_REQUESTS, _REQUESTS, values)

    async def now(self) -> LimitSet:
        """Return the newest limits."""
        return await self._database.read(self._known.read)

    async def at_version(self, version: int) -> LimitSet:
        """Build the limits of a version anew, from the record."""
        return await self._database.read(built, version)


class _Change:
    """Implements `trading.store.LimitTransaction`."""

    def __init__(self, steps: OpenTransaction, known: KnownLimits) -> None:
        self._steps = steps
        self._known = known

    async def lock(self) -> LimitState:
        return await self._steps.do(_state, self._known)

    async def request(self, request_id: str) -> LimitRequest | None:
        found = await self._steps.do(Connection.items, LIMIT_REQUESTS, _REQUEST, {"id": request_id})
        return found[0] if found else None

    async def put(self, request: LimitRequest) -> None:
        row = LIMIT_REQUESTS.values(request)
        self._steps.later(Connection.put, tables.limit_requests, [row])

    async def record(self, version: LimitVersion) -> None:
        self._steps.later(record, version)

    async def act(self, act: Act) -> None:
        self._steps.later(record_acts, [act])


def _state(connection: Connection, known: KnownLimits) -> LimitState:
    connection.rows(_TURN)
    accounts = {row.id: Whose(row.tenant_id, row.broker) for row in connection.rows(_WHOSE)}
    return LimitState(known.read(connection), accounts)


def _versions(
    connection: Connection, seen: LimitsSeen, first: int, before: int
) -> list[LimitVersion]:
    mine: Values = {"tenants": [ANY, seen.tenant_id], "accounts": [ANY, *seen.accounts]}
    heads = connection.rows(_VERSIONS, {"before": before, "first": first} | mine)
    limits: dict[int, list[Limit]] = {head.version: [] for head in heads}
    for limit in _read(connection, _OF_VERSIONS, {"versions": list(limits)} | mine):
        limits[limit.version].append(limit)
    return [_version(head, limits[head.version]) for head in heads]


def _version(head: sa.Row[Any], limits: Iterable[Limit]) -> LimitVersion:
    return LimitVersion(
        version=head.version,
        id=head.id,
        requested_by=head.requested_by,
        approved_by=head.approved_by,
        changed_at=head.changed_at,
        limits=tuple(limits),
    )


def _read(connection: Connection, query: sa.Select[Any], values: Values) -> list[Limit]:
    width, names = len(_WHERE), [each.name for each in _LIMITS.selected_columns]
    scopes = [each.name for each in fields(LimitScope)]
    found = []
    for row in connection.rows(query, values):
        if row.name in LimitName.__members__:
            scope = LimitScope(**dict(zip(scopes, row[:width], strict=True)))
            rest = dict(zip(names[width:], row[width:], strict=True))
            found.append(Limit(scope=scope, **rest | {"name": LimitName(row.name)}))
    return found


def _values(limit: Limit, version: LimitVersion) -> Values:
    where = {each.name: getattr(limit.scope, each.name) for each in fields(LimitScope)}
    names = ("name", "value", "owner", "reason", "effective_at", "expires_at")
    what = {name: getattr(limit, name) for name in names}
    return {"version": version.version} | where | what
