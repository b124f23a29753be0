"""`drawbridge documents`: what clients register, take back, and are bound to."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.account import opened_store
from gateway.acts import local_act
from gateway.config import ConfigError, Settings
from gateway.system import SystemClock
from persistence.document import RegisteredDocument
from resolvers.root import Schema
from serving import manifest
from serving.manifest import Entry, ManifestError
from trading.audit import ActKind

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """What publishing a manifest does to what a client has registered."""

    added: Sequence[Entry]
    changed: Sequence[Entry]
    unchanged: Sequence[Entry]
    others: Sequence[RegisteredDocument]
    """Registered, and not in the manifest: they stay until they are retired or expire."""

    def lines(self) -> Iterator[str]:
        """Write it for people, a document on each line."""
        for sign, entries in (("+", self.added), ("~", self.changed), ("=", self.unchanged)):
            yield from (f"{sign} {each.name} sha256:{each.sha256[:_SHOWN]}" for each in entries)
        for kept in self.others:
            yield f"  {kept.name} sha256:{kept.sha256[:_SHOWN]} stays until it is retired"


def run_documents(settings: Settings, options: argparse.Namespace) -> Coroutine[None, None, str]:
    """Run an action. Raises what it raises: ManifestError, ConfigError, StoreRefused."""
    match options.action:
        case "publish":
            return publish(settings, options.file, options.client, options.by)
        case "diff":
            return diff(settings, options.file, options.client)
        case "list":
            return listed(settings, options.client)
        case "retire":
            return retire(settings, options.client, options.which, options.by)
        case "bind" | "unbind":
            is_bound = options.action == "bind"
            return bind(settings, options.client, options.by, is_bound=is_bound)
        case "check":
            return check(settings, options.file)
        case _:
            raise AssertionError(f"the parser let {options.action} through")


def read(settings: Settings, file: Path) -> Sequence[Entry]:
    """Read a manifest, and check it against the schema. Raises ManifestError."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}") from None
    entries = manifest.read(text, settings.max_rows)
    manifest.check(Schema(settings.bounds), entries)
    return entries


async def diff(settings: Settings, file: Path, client_id: str) -> str:
    """Say what publishing a manifest would do. Raises ManifestError, StoreRefused."""
    entries = read(settings, file)
    async with opened_store(settings) as store:
        return "\n".join(_difference(entries, await store.documents.documents(), client_id).lines())


async def publish(settings: Settings, file: Path, client_id: str, by: str | None) -> str:
    """Register a client's documents, all or none, and say what changed. Raises as `diff`."""
    entries, schema, now = read(settings, file), Schema(settings.bounds), SystemClock().now()
    async with opened_store(settings) as store:
        difference = _difference(entries, await store.documents.documents(), client_id)
        fresh = [*difference.added, *difference.changed]
        if fresh:
            rows = [_registered(schema, each, client_id, now) for each in fresh]
            names = ", ".join(f"{each.name} {each.sha256}" for each in rows)
            said = local_act(ActKind.PUBLISH_DOCUMENTS, by, subject=client_id, detail=names)
            await store.documents.publish(rows, said)
    return "\n".join(difference.lines())


async def listed(settings: Settings, client_id: str | None) -> str:
    """List the documents that are registered and not retired. Raises StoreRefused."""
    async with opened_store(settings) as store:
        bound = await store.documents.bound_clients()
        found = [each for each in await store.documents.documents() if each.retired_at is None]
    return "\n".join(
        f"{each.client_id}{' (bound)' if each.client_id in bound else ''} {each.name}"
        f" sha256:{each.sha256} {each.version}"
        for each in found
        if client_id in {None, each.client_id}
    )


async def retire(settings: Settings, client_id: str, which: str, by: str | None) -> str:
    """Take back a client's documents of a name, or the one of a hash. Raises ConfigError."""
    async with opened_store(settings) as store:
        found = [
            each
            for each in await store.documents.documents()
            if each.client_id == client_id
            and each.retired_at is None
            and which in {each.name, each.sha256, f"sha256:{each.sha256}"}
        ]
        if not found:
            raise ConfigError(f"{client_id} has registered no document {which}: see `list`")
        hashes = {each.sha256 for each in found}
        hashed = ", ".join(sorted(hashes))
        said = local_act(ActKind.RETIRE_DOCUMENTS, by, subject=client_id, detail=hashed)
        await store.documents.retire(client_id, hashes, said)
    return "\n".join(f"- {each.name} sha256:{each.sha256[:_SHOWN]}" for each in found)


async def bind(settings: Settings, client_id: str, by: str | None, *, is_bound: bool) -> str:
    """Say whether a client may send registered documents alone. Raises StoreRefused."""
    async with opened_store(settings) as store:
        kind = ActKind.BIND_CLIENT if is_bound else ActKind.UNBIND_CLIENT
        said = local_act(kind, by, subject=client_id)
        await store.documents.bind(client_id, said, is_bound=is_bound)
    may = "registered documents alone" if is_bound else "any document"
    return f"{client_id} may send {may}"


async def check(settings: Settings, file: Path | None) -> str:
    """Check a manifest, or all that is registered, against the schema. Raises ManifestError."""
    if file is not None:
        return f"{len(read(settings, file))} documents fit the schema"
    async with opened_store(settings) as store:
        found = [each for each in await store.documents.documents() if each.retired_at is None]
    manifest.check(Schema(settings.bounds), [_entry(each) for each in found])
    return f"{len(found)} registered documents fit the schema"


def _difference(
    entries: Sequence[Entry], registered: Sequence[RegisteredDocument], client_id: str
) -> Difference:
    mine = [each for each in registered if each.client_id == client_id and each.retired_at is None]
    known = {each.sha256: each for each in mine}
    names = {each.name for each in mine}
    fresh = [each for each in entries if not _is_same(each, known.get(each.sha256))]
    wanted = {each.sha256 for each in entries}
    return Difference(
        added=[each for each in fresh if each.name not in names],
        changed=[each for each in fresh if each.name in names],
        unchanged=[each for each in entries if each not in fresh],
        others=[each for each in mine if each.sha256 not in wanted],
    )


def _is_same(entry: Entry, known: RegisteredDocument | None) -> bool:
    if known is None:
        return False
    theirs = (known.name, known.rows, known.expires_at, known.version)
    return theirs == (entry.name, entry.rows, entry.expires_at, entry.version)


def _registered(schema: Schema, entry: Entry, client_id: str, now: int) -> RegisteredDocument:
    return RegisteredDocument(
        client_id=client_id,
        sha256=entry.sha256,
        name=entry.name,
        text=entry.text,
        scopes=" ".join(sorted(manifest.needed(manifest.prepared(schema, entry)))),
        version=entry.version,
        rows=entry.rows,
        published_at=now,
        expires_at=entry.expires_at,
    )


def _entry(known: RegisteredDocument) -> Entry:
    return Entry(
        name=known.name,
        text=known.text,
        version=known.version,
        rows=known.rows,
        scopes=frozenset(known.scopes.split()),
        expires_at=known.expires_at,
    )
