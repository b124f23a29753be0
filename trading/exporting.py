"""Exports: records of a period, with all that it takes to verify them without the store.

An export is a list of JSON objects, each with its `type`: one `export`, `seal` and `page` lines
with the proof, `record` lines with what was recorded. A page shows the leaves of all its records,
also of those that are not exported, so that its head can be computed; its inclusion proof leads to
the root that its seal has signed. So nothing is missing between two records of an export, and none
was changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trading.audit import Page, Seal, genesis, inclusion_path, leaf, linked, root_from
from trading.verification import Record, Sealed, Signatures

_AT_ONCE = 100
_FORMAT = "drawbridge-audit-1"

type Line = Mapping[str, Any]


class ExportError(Exception):
    """What is to be exported is not there or not sealed yet, or is no export."""


class Exportable(Record, Protocol):
    """A record of which periods can be looked up."""

    async def span(self, chain: str, since: int, until: int) -> tuple[int, int] | None:
        """Return the first and last position of a time, in UTC nanoseconds, or None."""

    async def pages_of_chain(
        self, chain: str, since: int, until: int, first: int
    ) -> Sequence[Sealed]:
        """Return the sealed pages of a chain that have some of these positions, in order."""


async def export(record: Exportable, chain: str, since: int, until: int) -> AsyncIterator[Line]:
    """Write a chain's records of a time, the sealed ones; what lies between two of them too."""
    span = await record.span(chain, since, until)
    head = {"type": "export", "format": _FORMAT, "chain": chain, "since": since, "until": until}
    if span is None:
        yield head | {"first": None, "last": None}
        return
    first, last = span
    yield head | {"first": first, "last": last}
    seen, at = 0, first
    while at <= last:
        pages = await record.pages_of_chain(chain, at, last, _AT_ONCE)
        if not pages:
            raise ExportError(f"{chain} is not sealed from {at} on: run `drawbridge audit seal`")
        for sealed in pages:
            if sealed.seal != seen:
                seen = sealed.seal
                yield await _seal(record, seen)
            yield await _page(record, chain, sealed)
            async for line in _records(record, sealed.page, first, last):
                yield line
            at = sealed.page.last + 1


async def _seal(record: Record, number: int) -> Line:
    found = await record.seals(number - 1, 1)
    if not found or found[0].number != number:
        raise ExportError(f"seal {number} is missing: run `drawbridge audit verify`")
    seal = found[0]
    names = ("number", "at", "previous", "root", "pages", "signature")
    return {"type": "seal"} | {name: getattr(seal, name) for name in names}


async def _page(record: Exportable, chain: str, sealed: Sealed) -> Line:
    page = sealed.page
    before = await record.pages_of_chain(chain, page.first - 1, page.first - 1, 1)
    digests = [each.digest for each in await record.pages_of_seal(sealed.seal)]
    return {
        "type": "page",
        "seal": sealed.seal,
        "place": sealed.place,
        "first": page.first,
        "leaves": [each.hex() for each in page.leaves],
        "before": (before[0].page.head if before else genesis(chain)).hex(),
        "path": [each.hex() for each in inclusion_path(digests, sealed.place)],
    }


async def _records(record: Record, page: Page, first: int, last: int) -> AsyncIterator[Line]:
    begin, end = max(page.first, first), min(page.last, last)
    for position, content in await record.records(page.chain, begin - 1, end - begin + 1):
        if position <= end:
            yield {"type": "record", "position": position, "content": content}


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was read."""

    chain: str
    first: int | None
    last: int | None
    seals: Mapping[int, Seal]
    pages: Sequence[Line]
    records: Mapping[int, Line]

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Exported:
        """Gather its lines. Raises ExportError for what is no export."""
        words = f"this is no export of the format {_FORMAT}"
        if not lines or lines[0].get("format") != _FORMAT:
            raise ExportError(words)
        head = lines[0]
        try:
            of_type = {kind: [x for x in lines if x["type"] == kind] for kind in _TYPES}
            return cls(
                chain=head["chain"],
                first=head["first"],
                last=head["last"],
                seals={each["number"]: _read_seal(each) for each in of_type["seal"]},
                pages=of_type["page"],
                records={each["position"]: each["content"] for each in of_type["record"]},
            )
        except (KeyError, TypeError) as error:
            raise ExportError(f"{words}: see {error}") from None

    def findings(self, signatures: Signatures) -> Iterator[str]:
        """Name what does not fit, one line each."""
        leaves: dict[int, bytes] = {}
        for number, seal in sorted(self.seals.items()):
            try:
                if signatures.verify(seal.signature) != seal.statement:
                    yield f"seal {number} was changed after it was signed"
            except ValueError as error:
                yield f"seal {number}: {error}"
        for page in self.pages:
            yield from self._of_page(page)
            leaves |= dict(enumerate(map(bytes.fromhex, page["leaves"]), page["first"]))
        for position in range(self.first or 1, (self.last or 0) + 1):
            content = self.records.get(position)
            if content is None:
                yield f"record {position} is missing"
            elif leaf(content) != leaves.get(position):
                yield f"record {position} was changed after it was sealed"

    def _of_page(self, line: Line) -> Iterator[str]:
        leaves = tuple(map(bytes.fromhex, line["leaves"]))
        head = linked(bytes.fromhex(line["before"]), line["first"], leaves)
        page = Page(self.chain, line["first"], leaves, head)
        seal = self.seals.get(line["seal"])
        path = [bytes.fromhex(each) for each in line["path"]]
        if seal is None:
            yield f"the page from {page.first} on has no seal"
        elif (
            root := root_from(page.digest, line["place"], seal.pages, path)
        ) is None or root.hex() != seal.root:
            yield f"the page from {page.first} on is not under seal {seal.number}"


_TYPES = ("seal", "page", "record")


def _read_seal(line: Line) -> Seal:
    names = ("number", "at", "previous", "root", "pages", "signature")
    return Seal(**{name: line[name] for name in names})
