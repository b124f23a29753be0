"""What clients are told when an operation fails, and what the log is."""

import logging
from typing import Any

import pytest

from resolvers.bounds import Bounds
from resolvers.root import Schema
from tests.resolvers.conftest import Ask, Follow
from tests.resolvers.fakes import World, a_principal
from trading.store import StoreUnavailable

PLACE = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { __typename } }"
ORDER = {
    "accountId": "ours",
    "clOrdId": "c1",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "LIMIT",
    "orderQty": "10",
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def only(result: dict[str, Any]) -> dict[str, Any]:
    [error] = result["errors"]
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"orderQty": 1.5}, ["input", "orderQty"]),
        ({"orderQty": 1}, ["input", "orderQty"]),
        ({"orderQty": "NaN"}, ["input", "orderQty"]),
        ({"orderQty": "Infinity"}, ["input", "orderQty"]),
        ({"orderQty": "1e3"}, ["input", "orderQty"]),
        ({"orderQty": "1" * 40}, ["input", "orderQty"]),
        ({"orderQty": " 1"}, ["input", "orderQty"]),
        ({"orderQty": "١"}, ["input", "orderQty"]),  # noqa: RUF001 - another script's digit
        ({"orderQty": None}, ["input", "orderQty"]),
        ({"price": True}, ["input", "price"]),
        ({"side": "HOLD"}, ["input", "side"]),
        ({"side": 1}, ["input", "side"]),
        ({"expireTime": "2030-01-01T00:00:00"}, ["input", "expireTime"]),
        ({"expireTime": 1}, ["input", "expireTime"]),
        ({"reduceOnly": "yes"}, ["input", "reduceOnly"]),
        ({"timeInForce": None}, ["input", "timeInForce"]),
        ({"nothing": 1}, ["input"]),
    ],
)
async def test_a_refused_variable_is_told_by_its_path(
    ask: Ask,
    world: World,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
    path: list[str],
) -> None:
    error = only(await ask(PLACE, {"input": ORDER | wrong}))

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    [found] = error["extensions"]["errors"]
    assert found["path"] == path
    assert found["code"] == "INVALID_VALUE"
    assert world.desk.commands == []
    assert caplog.records == []


async def test_each_refused_variable_is_told(ask: Ask) -> None:
    result = await ask(PLACE, {"input": ORDER | {"orderQty": 1.5, "price": "x"}})

    paths = [error["extensions"]["errors"][0]["path"] for error in result["errors"]]
    assert paths == [["input", "orderQty"], ["input", "price"]]


async def test_a_missing_variable_is_told(ask: Ask) -> None:
    error = only(await ask(PLACE, {}))

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"][0]["path"] == ["input"]


async def test_an_item_of_a_list_is_told_by_its_index(ask: Ask) -> None:
    error = only(
        await ask("query ($s: [String!]!) { quotes(symbols: $s) { bid } }", {"s": ["AAPL", 1]})
    )

    assert error["extensions"]["errors"][0]["path"] == ["s", "1"]


@pytest.mark.parametrize(
    ("literal", "path"),
    [
        ("orderQty: 1.5", ["input", "orderQty"]),
        ("orderQty: 1", ["input", "orderQty"]),
        ('orderQty: "NaN"', ["input", "orderQty"]),
        ('orderQty: "1", side: HOLD', ["input", "side"]),
        ('orderQty: "1", expireTime: "tomorrow"', ["input", "expireTime"]),
        ("", ["input"]),
    ],
)
async def test_a_refused_literal_is_told_by_its_path(
    ask: Ask, caplog: pytest.LogCaptureFixture, literal: str, path: list[str]
) -> None:
    side = "" if "side" in literal else "side: BUY,"
    error = only(
        await ask(
            f'mutation {{ placeOrder(input: {{accountId: "ours", clOrdId: "c", symbol: "AAPL",'
            f" {side} ordType: MARKET, {literal}}}) {{ __typename }} }}"
        )
    )

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"][0]["path"] == path
    assert caplog.records == []


async def test_an_explicit_null_for_a_default_is_told(ask: Ask, world: World) -> None:
    error = only(
        await ask(
            "mutation ($i: PlaceOrderInput!, $w: WaitFor) {"
            " placeOrder(input: $i, waitFor: $w) { __typename } }",
            {"i": ORDER, "w": None},
        )
    )

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert world.desk.commands == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ viewer { name } } }", "GRAPHQL_PARSE_FAILED"),
        ("{ " + "viewer { name } " * Bounds().tokens + "}", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ order { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...Missing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($x: Nothing) { viewer { name } }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($x: Int) { order(id: $x) { id } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_wrong_document_has_its_code(
    ask: Ask, caplog: pytest.LogCaptureFixture, query: str, code: str
) -> None:
    result = await ask(query)

    assert {error["extensions"]["code"] for error in result["errors"]} == {code}
    assert caplog.records == []


@pytest.mark.parametrize("query", ["{", "subscription { nothing }"])
async def test_a_wrong_document_does_not_break_a_stream(
    schema: Schema, world: World, query: str
) -> None:
    stream = await schema.stream(query, context_value=world.context(a_principal()))

    [result] = [each async for each in stream]

    assert result.errors


async def test_an_operation_that_is_not_there_has_its_code(schema: Schema, world: World) -> None:
    stream = await schema.stream(
        "query A { viewer { name } }",
        context_value=world.context(a_principal()),
        operation_name="B",
    )

    [result] = [each async for each in stream]

    assert result.errors[0].extensions == {"code": "OPERATION_RESOLUTION_FAILURE"}  # type: ignore[index]


async def test_the_unexpected_is_masked_and_logged_under_one_id(
    ask: Ask, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.desk.answer = RuntimeError("secret detail")

    error = only(await ask(PLACE, {"input": ORDER}))

    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(error)
    error_id = error["extensions"]["errorId"]
    assert error_id in error["message"]
    [record] = caplog.records
    assert error_id in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is world.desk.answer


async def test_an_answer_that_breaks_the_contract_is_our_failure(ask: Ask, world: World) -> None:
    world.desk.answer = object()

    assert only(await ask(PLACE, {"input": ORDER}))["extensions"]["code"] == "INTERNAL"


async def test_a_broken_stream_is_masked(follow: Follow, world: World) -> None:
    world.streams.failure = RuntimeError("secret detail")

    *_, last = await follow('subscription { fills(accountId: "ours", afterSeq: 0) { seq } }')

    assert only(last)["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(last)


async def test_a_store_that_does_not_answer_is_told_as_such(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(world.reads, "accounts", fail)

    error = only(await ask("{ accounts { id } }"))

    assert error["extensions"] == {"code": "STORE_UNAVAILABLE", "retryAfterMs": 1000}
    assert "disk" not in error["message"]
