"""Manifests: what can be published, and what is said of one that cannot."""

import json
from typing import Any

import pytest
import strawberry

from resolvers.document import sha256
from resolvers.root import Schema
from resolvers.viewer import ViewerQuery
from serving.manifest import ROWS_MAX, ManifestError, check, needed, prepared, read
from tests.tidy.rules import ROOT
from trading.permission import Permission

TEXT = 'query One { order(id: "o") { id } }'


def manifest(*documents: object, **members: Any) -> str:
    return json.dumps({"version": "1", "documents": documents} | members)


def test_a_document_is_read_with_all_it_says() -> None:
    [entry] = read(
        manifest(
            {
                "name": "One",
                "document": TEXT,
                "hash": f"sha256:{sha256(TEXT)}",
                "scopes": ["orders:read"],
                "rows": 250,
                "expires": "2030-01-01T00:00:00Z",
            }
        ),
        100,
    )

    assert (entry.name, entry.text, entry.version, entry.rows) == ("One", TEXT, "1", 250)
    assert (entry.sha256, entry.scopes) == (sha256(TEXT), frozenset({"orders:read"}))
    assert entry.expires_at == 1_893_456_000_000_000_000


def test_what_it_does_not_say_is_as_for_everybody() -> None:
    [entry] = read(manifest({"name": "One", "document": TEXT}), 100)

    assert (entry.rows, entry.scopes, entry.expires_at) == (100, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        ('{"documents": []}', "a version"),
        ('{"version": "", "documents": []}', "a version"),
        ('{"version": "1"}', "documents"),
        (manifest(1), "document 1: it must be an object"),
        (manifest({"document": TEXT}), "document 1: name"),
        (manifest({"name": "One"}), "One: document: say its text"),
        (manifest({"name": "One", "document": " "}), "One: document: say its text"),
        (manifest({"name": "One", "document": TEXT, "colour": 1}), "One: colour: there is no"),
        (manifest({"name": "One", "document": TEXT, "hash": "sha256:00"}), "One: hash: that of"),
        (manifest({"name": "One", "document": TEXT, "rows": 0}), "One: rows: say a number"),
        (manifest({"name": "One", "document": TEXT, "rows": True}), "One: rows: say a number"),
        (manifest({"name": "One", "document": TEXT, "rows": ROWS_MAX + 1}), "One: rows: say"),
        (manifest({"name": "One", "document": TEXT, "scopes": "all"}), "One: scopes: say a list"),
        (manifest({"name": "One", "document": TEXT, "expires": "soon"}), "One: expires: not an"),
        (manifest(*[{"name": "One", "document": TEXT}] * 2), "One: the name stands twice"),
    ],
)
def test_what_is_wrong_is_told_by_document_and_member(text: str, words: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read(text, 100)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("query One {", "One: Syntax Error"),
        ("query One { nothing }", "One: Cannot query field 'nothing' on type 'Query'. (line 1)"),
        ("query One {\n viewer {\n nothing } }", "(line 3)"),
        ("query Two { viewer { name } }", "One: document: it must have one operation"),
        ("query One { viewer { name } } query Two { viewer { name } }", "it must have one"),
        ("{ viewer { name } }", "it must have one operation"),
        ("query One { viewer { name } }", None),
        ("query One { " + " ".join(f"a{n}: viewer {{ name }}" for n in range(40)) + " }", "large"),
    ],
)
def test_each_is_checked_against_the_schema(
    schema: Schema, document: str, words: str | None
) -> None:
    entries = read(manifest({"name": "One", "document": document}), 100)
    if words is None:
        check(schema, entries)
        return
    with pytest.raises(ManifestError) as refused:
        check(schema, entries)
    assert words in str(refused.value)


def test_a_document_may_not_need_more_than_it_says(schema: Schema) -> None:
    entries = read(manifest({"name": "One", "document": TEXT, "scopes": []}), 100)

    with pytest.raises(ManifestError, match="One: scopes: it needs orders:read too"):
        check(schema, entries)


def test_a_page_that_was_granted_counts_as_long_as_it_may_be(schema: Schema) -> None:
    """Else a document could be registered that then is refused for its cost."""
    selection = " ".join(f"f{n}: fills {{ seq execId }}" for n in range(5))
    text = (
        f'query One($n: Int) {{ orders(accountId: "o", first: $n) {{ nodes {{ {selection} }} }} }}'
    )
    check(schema, read(manifest({"name": "One", "document": text}), 100))

    with pytest.raises(ManifestError, match="One: the document is too large: cost"):
        check(schema, read(manifest({"name": "One", "document": text, "rows": 500}), 100))


# --- the documents that are promised ---

PROMISED = (ROOT / "schema" / "documents.json").read_text(encoding="utf-8")


def test_every_promised_document_fits_the_schema(schema: Schema) -> None:
    entries = read(PROMISED, 100)

    assert {each.name for each in entries} >= {"PlaceOrder", "CancelOrder", "FollowReports"}
    check(schema, entries)


def test_a_change_of_the_schema_names_the_documents_that_it_breaks() -> None:
    @strawberry.type
    class Query(ViewerQuery):
        """A schema that has lost its orders."""

    with pytest.raises(ManifestError) as refused:
        check(Schema(query=Query), read(PROMISED, 100))
    broken = {line.partition(":")[0] for line in str(refused.value).splitlines()}
    assert {"FindOrder", "Orders"} <= broken
    assert broken.isdisjoint({"Viewer", "PlaceOrder"})


def test_the_scopes_of_a_document_are_those_of_its_fields(schema: Schema) -> None:
    [entry] = (each for each in read(PROMISED, 100) if each.name == "PlaceOrder")

    assert needed(prepared(schema, entry)) == {Permission.ORDERS_READ, Permission.ORDERS_WRITE}
