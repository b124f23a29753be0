"""Registered documents, as this process knows them: by client and hash, and never by a request.

They come from the store, which is looked at every other second; while it is down, what was known
stays known. A document is prepared when it is first asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from resolvers.document import Document
from resolvers.root import Schema
from trading.ports import Clock
from trading.store import StoreUnavailable

log = logging.getLogger(__name__)

REFRESH_S = 2
"""How late a publication, a withdrawal or a binding can be felt, in seconds."""


class Registered(Protocol):
    """A document that a client may ask for by its hash."""

    @property
    def client_id(self) -> str:
        """The client that it is registered for."""

    @property
    def sha256(self) -> str:
        """Its hash, in hexadecimal."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def text(self) -> str:
        """Its text."""

    @property
    def rows(self) -> int:
        """How many rows a page may have that it asks for."""

    @property
    def expires_at(self) -> int | None:
        """When it ends by itself, in UTC nanoseconds."""

    @property
    def retired_at(self) -> int | None:
        """When it was taken back."""


class Source(Protocol):
    """Where documents are registered. All of it raises StoreUnavailable."""

    async def documents(self) -> Sequence[Registered]:
        """Return all documents."""

    async def states(self) -> Sequence[object]:
        """Return what changes with every change of a document."""

    async def bound_clients(self) -> Collection[str]:
        """Return the clients that may send registered documents alone."""


class Registry:
    """Finds registered documents."""

    def __init__(self, source: Source, schema: Schema, clock: Clock) -> None:
        """Take where they are registered, and the schema that they are run on."""
        self._source = source
        self._schema = schema
        self._clock = clock
        self._states: Sequence[object] = ()
        self._bound: Collection[str] = frozenset()
        self._known: Mapping[tuple[str, str], Registered] = {}
        self._prepared: dict[tuple[str, int], Document] = {}

    async def run(self) -> None:
        """Look for changes, for ever."""
        while True:
            await self._clock.sleep(REFRESH_S)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.warning("registered documents cannot be read, and stay as they are: %s", error)

    async def refresh(self) -> None:
        """Look for changes. Raises StoreUnavailable."""
        bound, states = await self._source.bound_clients(), await self._source.states()
        if states != self._states:
            found = await self._source.documents()
            self._known = {
                (each.client_id, f"sha256:{each.sha256}"): each
                for each in found
                if each.retired_at is None
            }
            wanted = {(each.sha256, each.rows) for each in self._known.values()}
            self._prepared = {k: v for k, v in self._prepared.items() if k in wanted}
        self._bound, self._states = bound, states

    def is_bound(self, client_id: str) -> bool:
        """Whether a client may send registered documents alone."""
        return client_id in self._bound

    def find(self, client_id: str, document_id: str) -> Document | None:
        """Return a client's document; None if it has none such, or not any more."""
        found = self._known.get((client_id, document_id))
        if found is None or self._has_ended(found):
            return None
        key = found.sha256, found.rows
        if key not in self._prepared:
            documents = self._schema.documents
            self._prepared[key] = documents.prepare(
                found.text, replace(documents.bounds, rows=found.rows)
            )
        return self._prepared[key]

    def _has_ended(self, found: Registered) -> bool:
        return found.expires_at is not None and found.expires_at <= self._clock.now()
