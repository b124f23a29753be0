"""Links to brokers in SQL, and their secrets, which nobody can read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from persistence import tables
from persistence.audit import record_acts
from persistence.connection import Connection
from persistence.database import Database
from persistence.rows import Rows
from trading.audit import Act
from trading.ids import TenantID
from trading.link import Link, LinkState, SealedSecret, SecretField

_LINKS, _SECRETS = tables.links.c, tables.sealed_secrets.c
LINKS = Rows(Link, tables.links)
SECRETS = Rows(SealedSecret, tables.sealed_secrets)

_OPEN = LINKS.select().where(_LINKS.state != LinkState.UNLINKED).order_by(_LINKS.id)
_OF_TENANT = _OPEN.where(_LINKS.tenant_id == sa.bindparam("tenant_id"))
_BY_ID = LINKS.select().where(_LINKS.id == sa.bindparam("link"))
_AWAITING = _OPEN.where(_LINKS.state_digest == sa.bindparam("digest"))
_SECRET = SECRETS.select().where(
    _SECRETS.link_id == sa.bindparam("link"), _SECRETS.field == sa.bindparam("of_field")
)
_REVISION = sa.select(_LINKS.revision).where(_LINKS.id == sa.bindparam("link")).with_for_update()
_DROP = tables.sealed_secrets.delete().where(
    _SECRETS.link_id == sa.bindparam("link"), _SECRETS.field == sa.bindparam("of_field")
)
_COUNTS = (
    sa.select(_SECRETS.provider, _SECRETS.key_id, sa.func.count().label("secrets"))
    .group_by(_SECRETS.provider, _SECRETS.key_id)
    .order_by(_SECRETS.provider, _SECRETS.key_id)
)
_OTHERS = (
    SECRETS.select()
    .where(
        sa.or_(
            _SECRETS.provider != sa.bindparam("of_provider"),
            _SECRETS.key_id != sa.bindparam("of_key"),
        ),
        _SECRETS.link_id > sa.bindparam("after"),
    )
    .order_by(_SECRETS.link_id, _SECRETS.field)
    .limit(sa.bindparam("first"))
)
_MOVE = (
    tables.sealed_secrets.update()
    .where(
        _SECRETS.link_id == sa.bindparam("link"),
        _SECRETS.field == sa.bindparam("of_field"),
        # What was sealed anew in the meantime is under the new key already.
        _SECRETS.revision == sa.bindparam("of_revision"),
        _SECRETS.wrapped_key == sa.bindparam("before"),
    )
    .values(
        provider=sa.bindparam("to_provider"),
        key_id=sa.bindparam("to_key"),
        wrapped_key=sa.bindparam("to_wrapped"),
        nonce=sa.bindparam("to_nonce"),
        ciphertext=sa.bindparam("to_ciphertext"),
    )
    .returning(_SECRETS.link_id)
)


class SqlLinks:
    """Implements `trading.link.LinkStore`, and what rotating keys takes."""

    def __init__(self, database: Database) -> None:
        """Take the database, whose reserve is used by whoever links and refreshes."""
        self._database, self._whole = database.urgent, database

    async def link(self, link_id: str) -> Link | None:
        """Return a link, or None."""
        found = await self._database.ask(_BY_ID, {"link": link_id})
        return LINKS.item(found[0]) if found else None

    async def link_awaiting(self, state_digest: str) -> Link | None:
        """Return the link that an answer with this `state` is about, or None."""
        if not state_digest:
            return None
        found = await self._database.ask(_AWAITING, {"digest": state_digest})
        return LINKS.item(found[0]) if found else None

    async def links(self, tenant_id: TenantID | None) -> Sequence[Link]:
        """Return a tenant's links, or everybody's, that are not UNLINKED."""
        if tenant_id is None:
            return [LINKS.item(row) for row in await self._database.ask(_OPEN)]
        walled = self._whole.of_tenant(tenant_id)
        return [LINKS.item(row) for row in await walled.ask(_OF_TENANT, {"tenant_id": tenant_id})]

    async def secret(self, link_id: str, field: SecretField) -> SealedSecret | None:
        """Return a secret of a link, or None."""
        found = await self._database.ask(_SECRET, {"link": link_id, "of_field": field})
        return SECRETS.item(found[0]) if found else None

    async def put(
        self, link: Link, secrets: Mapping[SecretField, SealedSecret | None], act: Act | None
    ) -> bool:
        """Write a link that follows the revision before it; False where another was first."""
        return await self._database.write(_put, link, secrets, act)

    async def counts(self) -> Sequence[tuple[str, str, int]]:
        """Count secrets by the provider and the key that they are under."""
        rows = await self._database.ask(_COUNTS)
        return [(row.provider, row.key_id, row.secrets) for row in rows]

    async def under_others(
        self, provider: str, key_id: str, after: str, first: int
    ) -> Sequence[SealedSecret]:
        """Return secrets under other keys than this one, of links after an id."""
        values = {"of_provider": provider, "of_key": key_id, "after": after, "first": first}
        return [SECRETS.item(row) for row in await self._database.ask(_OTHERS, values)]

    async def move(self, before: SealedSecret, after: SealedSecret) -> bool:
        """Put a secret under another key; False where it was sealed anew in the meantime."""
        values = {
            "link": before.link_id,
            "of_field": before.field,
            "of_revision": before.revision,
            "before": before.wrapped_key,
            "to_provider": after.provider,
            "to_key": after.key_id,
            "to_wrapped": after.wrapped_key,
            "to_nonce": after.nonce,
            "to_ciphertext": after.ciphertext,
        }
        return bool(await self._database.write(Connection.rows, _MOVE, values))


def _put(
    connection: Connection,
    link: Link,
    secrets: Mapping[SecretField, SealedSecret | None],
    act: Act | None,
) -> bool:
    found = connection.rows(_REVISION, {"link": link.id})
    before = found[0].revision if found else 0
    if before != link.revision - 1:
        return False
    connection.put(tables.links, [LINKS.values(link)])
    kept = [SECRETS.values(each) for each in secrets.values() if each is not None]
    connection.put(tables.sealed_secrets, kept)
    for field, secret in secrets.items():
        if secret is None:
            connection.run(_DROP, {"link": link.id, "of_field": field})
    record_acts(connection, [act] if act is not None else [])
    return True
