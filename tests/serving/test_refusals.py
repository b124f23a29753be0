"""Who tried what it may not do is on record, and a flood of that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resolvers.root import Schema
from serving.http import HttpEndpoint
from serving.refusals import RECORDED, Refusals
from tests.resolvers.fakes import NOON, FakeActs, FakeClock, World, a_principal
from tests.serving.asgi import Answer, endpoint, operations, post
from tests.serving.served import SECOND, serving
from trading.audit import Act, ActDecision, ActKind
from trading.permission import Permission, Principal
from trading.store import StoreUnavailable

HALT = """setTradingState(input: {scope: {accountId: "ours"}, state: HALTED, reason: "r"}) {
  __typename }"""
UNLINK = 'unlink(id: "l1") { __typename }'
CANCEL_ALL = 'cancelAllOrders(input: {accountId: "ours", clOrdId: "a"}) { __typename }'


def reader() -> Principal:
    return a_principal([each for each in Permission if each.endswith(":read")])


def of_readers(world: World, schema: Schema, clock: FakeClock) -> HttpEndpoint:
    async def authenticate(_: object) -> Principal:
        return reader()

    refusals = Refusals(world.acts, clock)
    return endpoint(operations(world, schema, refusals=refusals), authenticate=authenticate)


async def asked(http: HttpEndpoint, query: str) -> Answer:
    return await post(http, {"query": query}, peer="192.0.2.7")


async def test_a_mutation_that_the_policy_refuses_is_an_act(schema: Schema, world: World) -> None:
    answer = await asked(of_readers(world, schema, FakeClock()), f"mutation {{ a: {HALT} }}")

    assert answer.json["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert world.desk.commands == []
    who = reader()
    [act] = world.acts.recorded
    assert act == Act(
        kind=ActKind.SET_TRADING_STATE,
        decision=ActDecision.REFUSED,
        subject="setTradingState",
        detail="setTradingState: you lack the permission trading-state:write",
        tenant_id=who.tenant_id,
        user_id=who.user_id,
        role=who.role,
        client_id=who.client_id,
        token_id=who.token_id,
        address="192.0.2.7",
        at=FakeClock().now(),
    )


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        (f"mutation {{ a: {HALT} b: {HALT} c: {UNLINK} }}", ["SET_TRADING_STATE", "UNLINK"]),
        (f"mutation {{ ...F }} fragment F on Mutation {{ {UNLINK} }}", ["UNLINK"]),
        (f"mutation {{ {CANCEL_ALL} }}", []),
        ("{ acts { kind } }", []),
        ("mutation { nothing }", []),
    ],
)
async def test_only_administrative_mutations_are_acts(
    schema: Schema, world: World, query: str, kinds: list[str]
) -> None:
    await asked(of_readers(world, schema, FakeClock()), query)

    assert [each.kind for each in world.acts.recorded] == kinds


async def test_of_a_flood_some_are_recorded_and_later_some_again(
    schema: Schema, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    http = of_readers(world, schema, clock)
    for _ in range(RECORDED.count + 3):
        await asked(http, f"mutation {{ {UNLINK} }}")
    assert len(world.acts.recorded) == RECORDED.count
    assert caplog.text.count("too often to record it") == 3

    clock.at += RECORDED.interval * 1_000
    await asked(http, f"mutation {{ {UNLINK} }}")
    assert len(world.acts.recorded) == RECORDED.count + 1


async def test_what_cannot_be_recorded_is_not_answered_as_if_it_were(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_self: FakeActs, _act: Act) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(FakeActs, "record", down)
    answer = await asked(of_readers(world, schema, FakeClock()), f"mutation {{ {UNLINK} }}")

    assert (answer.status, answer.code) == (503, "STORE_UNAVAILABLE")


async def test_over_a_socket_as_well() -> None:
    async with serving() as served:
        served.callers.known["reader"] = replace(reader(), expires_at=NOON + SECOND * 60)
        client = await served.client("reader")
        await client.subscribe(f"mutation {{ {UNLINK} }}")
        assert (await client.next())["type"] == "error"

        assert [each.address for each in served.world.acts.recorded] == ["127.0.0.1"]
