"""The executable schema: documents are parsed, validated and walked once."""

from typing import Any, cast

import pytest
from graphql import build_client_schema, get_introspection_query

from resolvers.bounds import Bounds
from resolvers.context import Control, Desk
from resolvers.document import DOCUMENTS_MAX
from resolvers.root import Schema
from tests.resolvers.fakes import World, a_principal
from trading.controller import ControlDesk
from trading.desk import OrderDesk

QUERY = "query A { viewer { name } }"


async def run(schema: Schema, world: World, query: str, name: str | None = None) -> None:
    context = world.context(a_principal())
    result = await schema.execute(query, context_value=context, operation_name=name)
    assert result.errors is None


async def test_a_document_is_prepared_once(world: World) -> None:
    schema = Schema()

    for _ in range(3):
        await run(schema, world, QUERY)
        await run(schema, world, QUERY, "A")

    counts = schema.documents.counts
    assert (counts.misses, counts.hits, counts.size) == (1, 5, 1)


async def test_another_principal_is_asked_anew_of_a_known_document(world: World) -> None:
    schema = Schema()
    query = "{ gateway { version } }"

    await run(schema, world, query)
    refused = await schema.execute(query, context_value=world.context(a_principal([])))

    assert refused.errors is not None
    assert schema.documents.counts.hits == 1


async def test_the_cache_is_bounded(world: World) -> None:
    schema = Schema()

    for number in range(DOCUMENTS_MAX + 5):
        await run(schema, world, f"{{ a{number}: viewer {{ name }} }}")

    assert schema.documents.counts.size == DOCUMENTS_MAX


async def test_a_cached_mistake_is_told_each_time_the_same(schema: Schema, world: World) -> None:
    results = [
        await schema.execute("{ nothing }", context_value=world.context(a_principal()))
        for _ in range(2)
    ]

    first, second = ([error.formatted for error in result.errors or ()] for result in results)
    assert first == second
    assert first[0]["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("depth", [30])
async def test_a_fragment_bomb_costs_no_more_than_its_length(world: World, depth: int) -> None:
    """Walked at each spread instead of once, these fragments would be two to the power of 30."""
    fragments = " ".join(
        f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(depth)
    )
    query = f"{{ ...F0 }} {fragments} fragment F{depth} on Query {{ gateway {{ version }} }}"

    # Wide bounds, so that it is not refused before it is walked.
    schema = Schema(Bounds(fields=1 << 40, root_fields=1 << 40, cost=1 << 40))
    result = await schema.execute(query, context_value=world.context(a_principal([])))

    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "FORBIDDEN"}


async def test_a_client_can_build_the_schema_from_introspection(
    schema: Schema, world: World
) -> None:
    query = get_introspection_query(input_value_deprecation=True, specified_by_url=True)

    result = await schema.execute(query, context_value=world.context(a_principal()))

    assert result.errors is None
    built = build_client_schema(cast("Any", result.data))
    assert set(built.type_map) == set(schema._schema.type_map)


async def test_introspection_tells_which_inputs_are_one_of(schema: Schema, world: World) -> None:
    query = '{ __type(name: "OrderTarget") { isOneOf inputFields { name defaultValue } } }'

    result = await schema.execute(query, context_value=world.context(a_principal()))

    fields = [{"name": name, "defaultValue": None} for name in ("origClOrdId", "orderId")]
    assert result.data == {"__type": {"isOneOf": True, "inputFields": fields}}


def desks(orders: OrderDesk, control: ControlDesk) -> tuple[Desk, Control]:
    """Have the type checker see that the desks are what resolvers delegate to."""
    return orders, control
