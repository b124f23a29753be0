"""What a caller is told who asks more often than it may, over HTTP and over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from resolvers.root import Schema
from security.credentials import Credentials
from security.rates import LocalAccount, Rate, Rates, Traffic
from serving.socket import TRY_AGAIN_LATER
from serving.traffic import classed
from tests.resolvers.fakes import FakeClock, FakeIds, World, a_principal
from tests.serving.asgi import endpoint, operations, post
from tests.serving.served import REPORTS, Served, serving
from trading.outcome import RateExceeded
from trading.permission import Permission, Principal

CANCEL = """cancelOrder(input: {accountId: "ours", clOrdId: "c", target: {orderId: "o1"}}) {
  __typename }"""
PLACE = """placeOrder(input: {accountId: "ours", clOrdId: "n", symbol: "AAPL", side: BUY,
  ordType: MARKET, orderQty: "1"}) { __typename }"""
CANCEL_ALL = 'cancelAllOrders(input: {accountId: "ours", clOrdId: "a"}) { __typename }'


def once() -> Rates:
    """Admit one of each class."""
    clock = FakeClock()
    return Rates({each: Rate(1) for each in Traffic}, LocalAccount(clock), clock)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{ viewer { userId } }", (Traffic.READ, 1)),
        (REPORTS, (Traffic.SUBSCRIBE, 1)),
        (f"mutation {{ {PLACE} }}", (Traffic.ORDER, 1)),
        (f"mutation {{ {CANCEL} }}", (Traffic.CANCEL, 1)),
        (f"mutation {{ a: {CANCEL} b: {CANCEL} c: {CANCEL_ALL} }}", (Traffic.CANCEL, 3)),
        (f"mutation {{ {PLACE} {CANCEL} }}", (Traffic.ORDER, 2)),
        (f"mutation {{ ...F }} fragment F on Mutation {{ ... {{ {PLACE} }} }}", (Traffic.ORDER, 1)),
        (
            f"mutation {{ ...F x: {CANCEL} }} fragment F on Mutation {{ {CANCEL} }}",
            (Traffic.CANCEL, 2),
        ),
    ],
)
def test_each_operation_has_a_class(schema: Schema, text: str, found: tuple[Traffic, int]) -> None:
    document = schema.documents.get(text)
    caller = a_principal(Permission)

    assert classed(schema.prepare(document, None, {}, caller, FakeIds())) == found


async def test_over_http_it_is_429(schema: Schema, world: World) -> None:
    http = endpoint(operations(world, schema, rates=once()))
    query = {"query": "{ viewer { userId } }"}
    assert (await post(http, query)).status == 200

    for accept in ("application/json", "application/graphql-response+json"):
        answer = await post(http, query, accept=accept)
        assert (answer.status, answer.code) == (429, "RATE_LIMITED")
        assert answer.json["errors"][0]["extensions"]["retryAfterMs"] == 1_000
        assert answer.headers["retry-after"] == "1"


async def test_a_stranger_whose_address_was_refused_too_often_is_told_to_wait(
    schema: Schema, world: World
) -> None:
    seen: list[str] = []

    async def refuse(credentials: Credentials) -> Principal:
        seen.append(credentials.address)
        raise RateExceeded("too often", retry_after_ms=20)

    http = endpoint(operations(world, schema), authenticate=refuse)
    answer = await post(http, {"query": "{ viewer { userId } }"}, peer="192.0.2.9")

    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "RATE_LIMITED", "1")
    assert seen == ["192.0.2.9"]


async def test_who_may_not_order_any_more_may_still_cancel(schema: Schema, world: World) -> None:
    http = endpoint(operations(world, schema, rates=once()))
    for status in (200, 429, 429):
        assert (await post(http, {"query": f"mutation {{ {PLACE} }}"})).status == status

    assert (await post(http, {"query": f"mutation {{ {CANCEL} }}"})).status == 200


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        operations = running.house.operations
        operations._rates = once()
        yield running


async def test_over_a_socket_it_ends_the_operation_alone(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS, "1")
    await client.subscribe(REPORTS, "2")

    told = await client.next()
    assert (told["type"], told["id"]) == ("error", "2")
    [error] = told["payload"]
    assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfterMs": 1_000}
    await client.still()


async def test_a_socket_of_a_stranger_who_must_wait_is_closed(served: Served) -> None:
    served.callers.failure = RateExceeded("too often", retry_after_ms=20)
    client = await served.raw()
    await client.send({"type": "connection_init", "payload": {"authorization": "Bearer trader"}})

    assert await client.closed() == (TRY_AGAIN_LATER, "too often")
