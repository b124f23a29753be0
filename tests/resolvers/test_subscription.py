"""Subscriptions: entitled first, then what the streams tell."""

from typing import Any

import pytest

from resolvers.root import Schema
from tests.resolvers.conftest import Follow
from tests.resolvers.fakes import World, a_principal, a_report
from trading.execution import ExecType
from trading.outcome import Overloaded

REPORTS = """subscription ($after: Sequence) { orderReports(accountId: "ours", afterSeq: $after) {
  __typename seq order { id } ... on ExecutionReport { execType cumQty } } }"""
FILLS = """subscription ($after: Sequence) {
  fills(accountId: "ours", afterSeq: $after) { seq execType lastQty instrument { id } } }"""


def code(results: list[dict[str, Any]]) -> str:
    [result] = results
    [error] = result["errors"]
    found: str = error["extensions"]["code"]
    return found


async def test_reports_come_in_sequence(follow: Follow, world: World) -> None:
    results = await follow(REPORTS, {"after": "1"})

    reports = [result["data"]["orderReports"] for result in results]
    assert [report["seq"] for report in reports] == ["2", "3", "4"]
    assert reports[0] == {
        "__typename": "ExecutionReport",
        "seq": "2",
        "order": {"id": "o1"},
        "execType": "TRADE",
        "cumQty": "4",
    }
    assert world.streams.opened == [("reports", "ours", 1)]


@pytest.mark.parametrize(("variables", "expected"), [({}, None), ({"after": 0}, 0)])
async def test_no_cursor_is_from_now_and_zero_from_the_first(
    follow: Follow, world: World, variables: dict[str, Any], expected: int | None
) -> None:
    await follow(REPORTS, variables)

    assert world.streams.opened == [("reports", "ours", expected)]


async def test_fills_are_the_reports_of_trades(follow: Follow, world: World) -> None:
    world.reads.log += [a_report(5, ExecType.TRADE_CANCEL), a_report(6, ExecType.CANCELED)]

    results = await follow(FILLS, {"after": "0"})

    fills = [result["data"]["fills"] for result in results]
    assert [(fill["seq"], fill["execType"]) for fill in fills] == [
        ("2", "TRADE"),
        ("5", "TRADE_CANCEL"),
    ]
    assert fills[0]["instrument"] == {"id": "AAPL@XNAS"}


@pytest.mark.parametrize("query", [REPORTS, FILLS])
async def test_who_leaves_closes_the_stream(schema: Schema, world: World, query: str) -> None:
    context = world.context(a_principal())
    stream = await schema.subscribe(query, {"after": 0}, context_value=context)

    await anext(stream)
    await stream.aclose()

    assert world.streams.closed == 1


@pytest.mark.parametrize("query", [REPORTS, FILLS])
async def test_a_cursor_beyond_the_head_is_refused(
    follow: Follow, world: World, query: str
) -> None:
    assert code(await follow(query, {"after": "5"})) == "CURSOR_AHEAD"
    assert world.streams.opened == []


@pytest.mark.parametrize(
    "field",
    [
        'orderReports(accountId: "%s") { seq }',
        'fills(accountId: "%s") { seq }',
        'positions(accountId: "%s") { symbol }',
        'account(accountId: "%s") { id }',
    ],
)
@pytest.mark.parametrize("account", ["foreign", "nothing"])
async def test_a_foreign_account_is_not_found(
    follow: Follow, world: World, field: str, account: str
) -> None:
    results = await follow("subscription { " + field % account + " }")

    assert code(results) == "NOT_FOUND"
    assert results[0]["data"] is None
    assert world.streams.opened == []


async def test_quotes_are_followed_by_instrument(follow: Follow, world: World) -> None:
    results = await follow('subscription { quotes(symbols: ["AAPL", "AAPL"]) { symbol bid } }')

    assert results == [{"data": {"quotes": {"symbol": "AAPL@XNAS", "bid": "160"}}}]
    assert world.streams.opened == [("quotes", ("AAPL@XNAS",))]


async def test_an_unknown_symbol_is_not_found(follow: Follow) -> None:
    assert code(await follow('subscription { quotes(symbols: ["NONE"]) { bid } }')) == "NOT_FOUND"


async def test_accounts_and_positions_are_followed(follow: Follow) -> None:
    accounts = await follow('subscription { account(accountId: "ours") { id equity } }')
    positions = await follow('subscription { positions(accountId: "ours") { symbol markPx } }')

    assert accounts == [{"data": {"account": {"id": "ours", "equity": "1644.5"}}}]
    assert positions[0] == {"data": {"positions": {"symbol": "AAPL@XNAS", "markPx": "161"}}}


async def test_trading_states_of_ones_accounts_are_followed(follow: Follow, world: World) -> None:
    results = await follow("subscription { tradingState { accountId before state reason } }")

    assert results[0]["data"]["tradingState"]["state"] == "HALTED"
    assert world.streams.opened == [("trading_states", frozenset({"ours"}))]


async def test_what_nested_fields_read_is_never_stale(schema: Schema, world: World) -> None:
    """One context serves a whole socket, so a loader that remembered would serve the past."""
    context = world.context(a_principal())
    stream = await schema.subscribe(REPORTS, {"after": 0}, context_value=context)

    first = await anext(stream)
    world.reads.all_orders = []
    second = await anext(stream)

    assert first.data == {
        "orderReports": {
            "__typename": "ExecutionReport",
            "seq": "1",
            "order": {"id": "o1"},
            "execType": "NEW",
            "cumQty": "0",
        }
    }
    assert second.errors is not None
    assert second.errors[0].extensions == {"code": "NOT_FOUND"}


async def test_a_stream_that_fails_says_so(follow: Follow, world: World) -> None:
    world.streams.failure = Overloaded("too many subscribers", retry_after_ms=10)

    results = await follow(REPORTS, {"after": 3})

    assert code(results[1:]) == "OVERLOADED"
    assert results[1]["errors"][0]["extensions"]["retryAfterMs"] == 10
