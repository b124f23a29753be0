"""All of Tradovate's entities by kind and id, and the props that tell of their changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from brokers.tradovate.simulator.terms import Document

_FIRST_ID = 5_000_001


class Entities:
    """What there is, as documents that are replaced and never changed."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._kinds: dict[str, dict[int, Document]] = defaultdict(dict)
        self._ids = count(_FIRST_ID)

    def next_id(self) -> int:
        """Return a fresh id: the same one in every run over the same events."""
        return next(self._ids)

    def put(self, kind: str, entity: Document) -> Document:
        """Keep an entity in place of the one with its id; return the props of the change."""
        known = self._kinds[kind]
        event = "Updated" if entity["id"] in known else "Created"
        known[entity["id"]] = entity
        return {"entityType": kind, "eventType": event, "entity": entity}

    def update(self, kind: str, entity_id: int, **fields: object) -> Document:
        """Change fields of an entity; return the props of the change."""
        return self.put(kind, self._kinds[kind][entity_id] | fields)

    def get(self, kind: str, entity_id: int) -> Document | None:
        """Return an entity, or None."""
        return self._kinds[kind].get(entity_id)

    def all(self, kind: str) -> Sequence[Document]:
        """Return all entities of a kind, oldest first."""
        return list(self._kinds[kind].values())
