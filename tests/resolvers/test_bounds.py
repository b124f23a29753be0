"""How large a document may be: at a bound it runs, beyond it is refused, and measuring is cheap."""

import sys
from typing import Any

import pytest

from resolvers.bounds import Bounds
from resolvers.document import ERRORS_MAX
from resolvers.root import Schema
from tests.resolvers.fakes import World, a_principal
from trading.permission import Permission

DECISION = "fragment F on Order { riskDecision { accepted } }"
ORDERS = 'orders(accountId: "ours", first: %s) { nodes { id fills { seq } } }'
# Each with what it measures.
MEASURED: list[tuple[str, int, str]] = [
    ("depth", 1, "{ __typename }"),
    ("depth", 3, "{ viewer { accounts { accountId } } }"),
    ("depth", 3, "{ ...A } fragment A on Query { viewer { accounts { ... { accountId } } } }"),
    ("aliases", 3, "{ a: viewer { b: name } ...F } fragment F on Query { c: viewer { role } }"),
    ("aliases", 4, "{ ...F ...F } fragment F on Query { a: viewer { b: name } }"),
    ("root_fields", 3, "{ viewer { name } a: viewer { name } ... { gateway { version } } }"),
    ("fields", 5, "{ viewer { name } ...F } fragment F on Query { gateway { version time } }"),
    ("fields", 1, "{ __schema { types { name } } }"),
    ("directives", 2, "{ viewer @skip(if: false) { name @include(if: true) } }"),
    ("directives", 2, "{ ...F ...F } fragment F on Query { viewer { name @include(if: true) } }"),
    ("list_items", 3, '{ quotes(symbols: ["A", "B", "C"]) { bid } }'),
    ("list_items", 2, '{ orders(accountId: "a", filter: {ordStatus: [NEW, NEW]}) { asOfSeq } }'),
    ("cost", 2, "{ viewer { name } }"),
    # The page and its nodes once; for each of five rows an order's two fields, and ten fills.
    ("cost", 1 + 5 * (1 + 2 + 10), "{ " + ORDERS % 5 + " }"),
    ("cost", 1 + 100 * (1 + 2 + 10), "query($n: Int) { " + ORDERS % "$n" + " }"),
    ("cost", 1 + 10 * 2, "{ accounts { id name } }"),
]  # fmt: skip


async def refused(schema: Schema, query: str) -> list[str]:
    result = await schema.execute(query, context_value=World().context(a_principal()))
    errors = [error.formatted for error in result.errors or ()]
    codes = {error["extensions"]["code"] for error in errors}
    return [error["message"] for error in errors] if codes == {"DOCUMENT_TOO_LARGE"} else []


@pytest.mark.parametrize(("name", "size", "query"), MEASURED)
async def test_a_bound_is_kept_to_the_unit(name: str, size: int, query: str) -> None:
    bounds: dict[str, Any] = {name: size}
    assert await refused(Schema(Bounds(**bounds)), query) == []
    if size > 1:
        bounds[name] = size - 1
        [words] = await refused(Schema(Bounds(**bounds)), query)
        assert words.startswith(f"the document is too large: {name.replace('_', ' ')} {size}")
        assert words.endswith(f"{size - 1} are allowed")


async def test_too_many_tokens_are_not_parsed(world: World) -> None:
    schema = Schema(Bounds(tokens=5))

    result = await schema.execute("{ viewer { name } }", context_value=world.context(a_principal()))
    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "GRAPHQL_PARSE_FAILED"}


def spreads(count: int) -> str:
    """Fragments each of which spreads the next one twice: two to the power of that many fields."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(count))
    return f"{{ ...F0 }} {chain} fragment F{count} on Query {{ a: viewer {{ name }} }}"


@pytest.mark.parametrize("count", [16, 30, 90])
async def test_nested_spreads_are_refused_in_no_more_steps_than_they_are_long(
    schema: Schema, count: int
) -> None:
    calls = 0

    def count_call(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event == "call"

    query = spreads(count)
    sys.setprofile(count_call)
    try:
        document = schema.documents.prepare(query, schema.documents.bounds)
    finally:
        sys.setprofile(None)

    assert document.errors
    assert calls < 3_000 * count
    assert {"over 1000000" in each.message for each in document.errors} >= {count >= 20}


@pytest.mark.parametrize(
    "query",
    [
        "{ ...F } fragment F on Query { ...F }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { ...F viewer { name } }",
        "{ ...Missing }",
        "{ nothing { deeper { still } } }",
        "{ ... on Nothing { a } }",
        "{ viewer(first: 99999999999999999999) { name } }",
        'fragment F on Query { orders(accountId: "a", first: -5) { asOfSeq } }',
    ],
)
async def test_what_is_wrong_otherwise_is_left_to_validation(
    schema: Schema, world: World, query: str
) -> None:
    result = await schema.execute(query, context_value=world.context(a_principal()))

    assert result.errors is not None
    codes = {(error.extensions or {})["code"] for error in result.errors}
    assert codes <= {"GRAPHQL_VALIDATION_FAILED", "OPERATION_RESOLUTION_FAILURE"}


async def test_errors_are_capped(schema: Schema, world: World) -> None:
    document = "{ " + " ".join(f"wrong{number}" for number in range(30)) + " }"
    values = [{"accountId": number} for number in range(30)]

    for query, given in (
        (document, {}),
        ("query(" + " ".join(f"$v{n}: Int!" for n in range(30)) + ") { viewer { name } }", {}),
        ("query($i: [PlaceOrderInput!]) { viewer { name @skip(if: true) } }", {"i": values}),
    ):
        result = await schema.execute(query, given, context_value=world.context(a_principal()))
        assert 1 <= len(result.errors or ()) <= ERRORS_MAX


async def test_rows_that_all_fail_are_not_all_told(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accounts(_: object) -> list[Any]:
        return [object()] * 50

    monkeypatch.setattr(world.reads, "reports", accounts)
    aliases = " ".join(f'a{n}: order(id: "o1") {{ ...F }}' for n in range(20))

    async def fail(_: object) -> None:
        raise RuntimeError("each of them")

    monkeypatch.setattr(world.reads, "decisions_of", fail)
    result = await schema.execute(
        f"{{ {aliases} }} {DECISION}", context_value=world.context(a_principal())
    )

    assert len(result.errors or ()) == ERRORS_MAX + 1
    assert result.errors is not None
    assert "12 more errors" in result.errors[-1].message


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ viewer { nam } }", {}),
        ("{ gatewai { version } }", {}),
        ("query($s: [OrdStatu!]) { viewer { name } }", {}),
        (
            'query($f: OrderFilter) { orders(accountId: "ours", filter: $f) { asOfSeq } }',
            {"f": {"side": "BUI"}},
        ),
    ],
)
async def test_only_who_may_read_the_schema_gets_suggestions_of_it(
    schema: Schema, world: World, query: str, variables: dict[str, Any]
) -> None:
    blind = a_principal(frozenset(Permission) - {Permission.SCHEMA_READ})
    for principal, aided in ((a_principal(), True), (blind, False), (a_principal(), True)):
        result = await schema.execute(query, variables, context_value=world.context(principal))
        words = " ".join(error.message for error in result.errors or ())
        assert ("Did you mean" in words) is aided, words


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("nested", [False, True])
async def test_lists_in_variables_are_counted_like_those_in_the_text(
    world: World,
    length: int,
    nested: bool,  # noqa: FBT001
) -> None:
    schema = Schema(Bounds(list_items=3))
    query, value = "query($v: [String!]!) { quotes(symbols: $v) { bid } }", ["AAPL"] * length
    variables: dict[str, Any] = {"v": value}
    if nested:
        query = """query($v: OrderFilter) {
          orders(accountId: "ours", filter: $v) { asOfSeq } }"""
        variables = {"v": {"ordStatus": ["NEW"] * length}}
    result = await schema.execute(query, variables, context_value=world.context(a_principal()))

    if length == 3:
        assert result.errors is None
        return
    [error] = [each.formatted for each in result.errors or ()]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"] == [
        {
            "path": ["v"],
            "code": "TOO_LONG",
            "message": "has a list of 4; send 3 at a time at most",
        }
    ]
    assert world.reads.calls == []
