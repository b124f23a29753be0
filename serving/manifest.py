"""Manifests: the documents that a client publishes together, checked before any is registered.

A manifest is a JSON object: `version`, and `documents`, each with its `name`, which is that of its
one operation, and `document`, its text. A document may say its `hash` (`sha256:…`), the `scopes`
that it makes do with, the `rows` that its pages may have, and when it `expires`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from resolvers.document import Document, sha256
from resolvers.root import Schema
from schema.definition import AUTHENTICATED
from schema.scalar import read_instant

ROWS_MAX = 1_000
"""The most rows that a page can be granted."""

_MEMBERS = frozenset({"name", "document", "hash", "scopes", "rows", "expires"})


class ManifestError(Exception):
    """A manifest that cannot be published; each line names the document, its member and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document of a manifest; `scopes` is None where it does not say any."""

    name: str
    text: str
    version: str
    rows: int
    scopes: frozenset[str] | None
    expires_at: int | None

    @property
    def sha256(self) -> str:
        """Its hash, in hexadecimal."""
        return sha256(self.text)

    def check_hash(self, given: object) -> Entry:
        """Return itself. Raises ValueError where its hash was given and is another."""
        if given is not None and given != f"sha256:{self.sha256}":
            raise ValueError(f"hash: that of its text is sha256:{self.sha256}")
        return self


def read(text: str | bytes, rows: int) -> Sequence[Entry]:
    """Read a manifest; `rows` is what a page may have without a grant. Raises ManifestError."""
    try:
        manifest = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ManifestError(f"the manifest is no JSON: {error}") from None
    match manifest:
        case {"version": str() as version, "documents": list() as documents} if version:
            found = [_read(each, number, version, rows) for number, each in enumerate(documents, 1)]
        case _:
            raise ManifestError("the manifest must be an object with a version and documents")
    errors = [each for each in found if isinstance(each, str)]
    entries = [each for each in found if isinstance(each, Entry)]
    names = [each.name for each in entries]
    errors += [
        f"{name}: the name stands twice" for name in sorted({*names}) if names.count(name) > 1
    ]
    if errors:
        raise ManifestError("\n".join(errors))
    return entries


def _read(given: object, number: int, version: str, rows: int) -> Entry | str:
    """Read one document; return what is wrong with it in words."""
    if not isinstance(given, dict):
        return f"document {number}: it must be an object"
    name = given.get("name")
    if not isinstance(name, str) or not name:
        return f"document {number}: name: say one"
    if unknown := sorted(given.keys() - _MEMBERS):
        return f"{name}: {unknown[0]}: there is no such member; there are {', '.join(_MEMBERS)}"
    try:
        return Entry(
            name=name,
            text=_member(given, "document", _text),
            version=version,
            rows=_member(given, "rows", _rows) if "rows" in given else rows,
            scopes=_member(given, "scopes", _scopes) if "scopes" in given else None,
            expires_at=_member(given, "expires", read_instant) if given.get("expires") else None,
        ).check_hash(given.get("hash"))
    except ValueError as error:
        return f"{name}: {error}"


def _member[T](given: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    try:
        return read(given.get(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("say its text")
    return value


def _rows(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= ROWS_MAX:
        raise ValueError(f"say a number from 1 to {ROWS_MAX}")
    return value


def _scopes(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("say a list of scopes")
    return frozenset(value)


def prepared(schema: Schema, entry: Entry) -> Document:
    """Prepare an entry's document as it would be served."""
    documents = schema.documents
    return documents.prepare(entry.text, replace(documents.bounds, rows=entry.rows))


def needed(document: Document) -> frozenset[str]:
    """Return the scopes that a valid document needs."""
    return frozenset(
        policy
        for operation in document.operations.values()
        for policy in operation.needs
        if policy != AUTHENTICATED
    )


def check(schema: Schema, entries: Sequence[Entry]) -> None:
    """Check that each document can be served as it is. Raises ManifestError."""
    errors = [f"{entry.name}: {words}" for entry in entries for words in _faults(schema, entry)]
    if errors:
        raise ManifestError("\n".join(errors))


def _faults(schema: Schema, entry: Entry) -> Iterator[str]:
    document = prepared(schema, entry)
    for error in document.errors:
        where = error.locations[0] if error.locations else None
        yield f"{error.message}" + (f" (line {where.line})" if where else "")
    if document.errors:
        return
    if {name for name in document.operations if name is not None} != {entry.name}:
        yield "document: it must have one operation, of the same name"
    if entry.scopes is not None and (more := sorted(needed(document) - entry.scopes)):
        yield f"scopes: it needs {', '.join(more)} too"
