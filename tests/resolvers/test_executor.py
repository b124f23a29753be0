"""The short way answers what graphql-core answers, whatever there is to answer."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from graphql import ExecutionResult, execute, parse

from resolvers.executor import RICH_ROWS_AT_ONCE, ROWS_AT_ONCE, LeanExecutor
from resolvers.root import Schema
from tests import rings
from tests.resolvers.fakes import AAPL, OURS, World, a_principal
from trading.account import Position

ORDER = "id clOrdId symbol side ordType orderQty price stopPx avgPx cumQty lastSeq isOpen createdAt"
QUERIES = [
    f'{{ order(id: "o1") {{ {ORDER} }} }}',
    f'{{ order(id: "o1") {{ __typename a: id b: id {ORDER} }} }}',
    '{ order(id: "o1") { id ... on Order { price } ...F } } fragment F on Order { side }',
    'query ($no: Boolean = false) { order(id: "o1") { id price @include(if: $no) side } }',
    'query { order(id: "o1") { id price @skip(if: true) } }',
    '{ order(id: "o1") { id account { id name cash } fills { seq } instrument { symbol } } }',
    '{ orders(accountId: "ours") { nodes { id clOrdId } edges { cursor node { id } } asOfSeq } }',
    '{ positions(accountId: "ours") { symbol netQty avgPx realizedPnl } }',
    '{ positions(accountId: "ours") { symbol netQty markPx account { id } } }',
    "{ accounts { id limits { values { name value } } positions { symbol } } }",
    '{ orderReports(accountId: "ours") { nodes { seq ... on ExecutionReport { lastQty } } } }',
    "{ viewer { name accounts { accountId entitlement } } gateway { brokers { ordTypes } } }",
]


def plainly(schema: Schema, world: World, query: str) -> ExecutionResult:
    """Run a query with graphql-core's own executor, on fields that Strawberry resolves."""

    async def run() -> ExecutionResult:
        found = execute(schema._schema, parse(query), context_value=world.context(a_principal()))
        return found if isinstance(found, ExecutionResult) else await found

    return asyncio.run(run())


def leanly(schema: Schema, world: World, query: str) -> ExecutionResult:
    context = world.context(a_principal())
    prepared = schema.prepare(schema.documents.get(query), None, {}, context.principal, context.ids)
    return asyncio.run(prepared.executor(context).run())


def alike(schema: Schema, world: World, query: str) -> ExecutionResult:
    """Run a query both ways, the short one twice: what it has kept must not change the answer."""
    expected = plainly(schema, world, query)
    for _ in range(2):
        found = leanly(schema, world, query)
        assert found.data == expected.data
        assert list(found.data or ()) == list(expected.data or ())
        assert [e.formatted for e in found.errors or ()] == [
            e.formatted for e in expected.errors or ()
        ]
    return expected


@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_answer_the_same(schema: Schema, world: World, query: str) -> None:
    assert alike(schema, world, query).errors is None


def test_an_execution_goes_without_the_garbage_collector(schema: Schema, world: World) -> None:
    async def run(query: str) -> ExecutionResult:
        context = world.context(a_principal())
        document = schema.documents.get(query)
        prepared = schema.prepare(document, None, {}, context.principal, context.ids)
        return await prepared.executor(context).run()

    # What reads below accounts and orders gathers their ids by loaders, which hold their context.
    plain = QUERIES[:5]
    with asyncio.Runner() as runner:
        for query in plain:
            runner.run(run(query))
        with rings.none_left():
            for query in plain:
                assert runner.run(run(query)).errors is None


def position(number: int, **changes: Any) -> Position:
    values = {"net_qty": Decimal(number), "cost": Decimal(600)} | changes
    return Position(account_id=OURS, symbol=AAPL, **values)


LONG = 2 * ROWS_AT_ONCE + 50


@pytest.mark.parametrize(
    "count", [0, 1, RICH_ROWS_AT_ONCE, RICH_ROWS_AT_ONCE + 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, LONG]
)
@pytest.mark.parametrize("selection", ["symbol netQty", "netQty markPx", "netQty account { id }"])
def test_a_long_list_is_whole_and_in_order(
    schema: Schema, world: World, count: int, selection: str
) -> None:
    world.reads.all_positions = [position(number) for number in range(1, count + 1)]

    result = alike(schema, world, f"{{ positions {{ {selection} }} }}")
    rows = (result.data or {})["positions"]
    assert [row["netQty"] for row in rows] == [str(number) for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [3, LONG])
@pytest.mark.parametrize("selection", ["symbol netQty", "symbol markPx", "netQty account { id }"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"net_qty": Decimal("NaN")},
        {"net_qty": 1.5},
        {"symbol": 17},
        {"account_id": "nobody"},
    ],
)
def test_what_breaks_the_contract_is_told_alike(
    schema: Schema,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    selection: str,
    wrong: dict[str, Any],
) -> None:
    rows = [position(number) for number in range(1, count + 1)]
    middle = replace(rows[count // 2])
    for name, value in wrong.items():
        object.__setattr__(middle, name, value)
    rows[count // 2] = middle

    async def positions(_: object) -> list[Position]:
        return rows

    monkeypatch.setattr(world.reads, "positions", positions)
    alike(schema, world, f"{{ positions {{ {selection} }} }}")


@pytest.mark.parametrize("value", [None, object(), "text"])
def test_an_object_that_is_none_is_told_alike(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    async def order(_: object) -> Any:
        return value

    monkeypatch.setattr(world.reads, "order", order)

    async def positions(_: object) -> Any:
        return [position(1), value, position(2)]

    monkeypatch.setattr(world.reads, "positions", positions)
    alike(schema, world, "{ positions { symbol } }")


async def test_others_have_their_turn_between_the_parts_of_a_long_list(
    schema: Schema, world: World
) -> None:
    """An order must not wait until all of a list is written."""
    world.reads.all_positions = [position(number) for number in range(1, 5 * ROWS_AT_ONCE + 1)]
    context = world.context(a_principal())
    document = schema.documents.get("{ positions { symbol netQty } }")
    prepared = schema.prepare(document, None, {}, context.principal, context.ids)
    listing = asyncio.create_task(prepared.run(context))
    turns = 0
    while not listing.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns >= 5
    assert len((listing.result().data or {})["positions"]) == 5 * ROWS_AT_ONCE


def test_a_document_that_is_run_often_keeps_no_more_than_it_needs(
    schema: Schema, world: World
) -> None:
    for query in QUERIES:
        operation = schema.documents.get(query).operations[None]
        if operation.selected is None:
            assert "@" in query
            continue
        leanly(schema, world, query)
        kept = len(operation.selected.below), len(operation.selected.rows)
        for _ in range(3):
            leanly(schema, world, query)
        assert (len(operation.selected.below), len(operation.selected.rows)) == kept


SUBSCRIPTIONS = [
    ('subscription { quotes(symbols: ["AAPL"]) { symbol bid askSize time } }', True),
    ('subscription { now: quotes(symbols: ["AAPL"]) { __typename a: bid ...F } } %s', True),
    ('subscription { quotes(symbols: ["AAPL"]) { bid @skip(if: true) ask } }', True),
    ('subscription { quotes(symbols: ["AAPL"]) { bid instrument { symbol } } }', False),
    ('subscription { orderReports(accountId: "ours") { seq } }', False),
    ('subscription { positions(accountId: "ours") { symbol netQty avgPx } }', True),
]


@pytest.mark.parametrize(("query", "is_plain"), SUBSCRIPTIONS)
async def test_events_are_answered_alike(
    schema: Schema,
    world: World,
    query: str,
    is_plain: bool,  # noqa: FBT001
) -> None:
    context = world.context(a_principal())
    text = query.replace("%s", "fragment F on Quote { bidSize symbol }")
    document = schema.documents.get(text)
    prepared = schema.prepare(document, None, {}, context.principal, context.ids)
    source = await prepared.subscribe(context)
    event = await anext(source.events)
    executor = source.executor.build_per_event_executor(event)

    expected = await cast("LeanExecutor", executor).run()
    for _ in range(2):
        answered = await source.respond(event)
        assert (answered.data, answered.errors) == (expected.data, None)
        assert (source.executor.plain_event(event) is not None) == is_plain
    assert source.executor.plain_event(object()) is None, "what is wrong goes the long way"
