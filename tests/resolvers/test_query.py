"""Queries: documents in, JSON out."""

from dataclasses import replace
from typing import Any

import pytest

from resolvers.bounds import Bounds
from resolvers.root import Schema
from tests.resolvers.conftest import Ask
from tests.resolvers.fakes import AAPL, World, a_principal, an_input_error
from trading.ids import InstrumentID
from trading.order import OrdStatus, Side
from trading.outcome import InvalidInput
from trading.store import OrderFilter

ORDERS = """query ($first: Int, $after: String, $filter: OrderFilter) {
  orders(accountId: "ours", first: $first, after: $after, filter: $filter) {
    edges { cursor node { id } } nodes { id } asOfSeq
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


def code(result: dict[str, Any]) -> str:
    [error] = result["errors"]
    found: str = error["extensions"]["code"]
    return found


async def test_the_viewer_sees_what_it_may_do(ask: Ask) -> None:
    result = await ask(
        "{ viewer { userId name tenantId role permissions expiresAt"
        " accounts { accountId entitlement account { name } } } }"
    )

    viewer = result["data"]["viewer"]
    assert viewer["accounts"] == [
        {"accountId": "ours", "entitlement": "TRADE", "account": {"name": "Account ours"}}
    ]
    assert viewer["permissions"] == sorted(viewer["permissions"])
    assert "orders:write" in viewer["permissions"]
    assert viewer["expiresAt"] == "2030-03-17T17:46:40.000000001Z"


async def test_the_gateway_tells_of_itself(ask: Ask) -> None:
    result = await ask(
        "{ gateway { environment version time marketTime"
        " brokers { broker ordTypes timesInForce replace } } }"
    )

    gateway = result["data"]["gateway"]
    assert gateway["environment"] == "SIM"
    assert gateway["time"].endswith(".000000001Z")
    assert gateway["marketTime"].endswith(".000001Z")
    assert set(gateway["brokers"][0]["ordTypes"]) == {"MARKET", "LIMIT", "STOP", "STOP_LIMIT"}


async def test_an_order_is_read_off_the_domain_object(ask: Ask) -> None:
    result = await ask(
        """{ order(id: "o1") {
          id clOrdId account { id } instrument { id tick } side ordType orderQty price stopPx
          timeInForce ordStatus isOpen cumQty leavesQty avgPx inDoubt lastSeq transactTime
          riskDecision { accepted limitsVersion checks {
            name verdict limit used headroom inputs { name value } } }
          fills { seq execId lastQty lastPx order { id } }
        } }"""
    )

    order = result["data"]["order"]
    assert order["orderQty"] == "10"
    assert order["price"] == "150.1"
    assert order["avgPx"] == "150"
    assert order["leavesQty"] == "6"
    assert order["lastSeq"] == "2"
    assert order["instrument"] == {"id": "AAPL@XNAS", "tick": "0.01"}
    assert order["riskDecision"]["checks"][0] == {
        "name": "MAX_ORDER_QTY",
        "verdict": "PASS",
        "limit": "1000",
        "used": "10",
        "headroom": "990",
        "inputs": [{"name": "orderQty", "value": "10"}, {"name": "reference", "value": None}],
    }
    assert order["fills"] == [
        {"seq": "2", "execId": "e2", "lastQty": "4", "lastPx": "150", "order": {"id": "o1"}}
    ]


@pytest.mark.parametrize(
    "query",
    [
        '{ it: order(id: "o3") { id } }',
        '{ it: order(id: "nothing") { id } }',
        '{ it: account(id: "foreign") { id } }',
        '{ it: account(id: "nothing") { id } }',
        '{ it: orderByClOrdId(accountId: "foreign", clOrdId: "c-o3") { id } }',
        '{ it: orderByClOrdId(accountId: "nothing", clOrdId: "c-o3") { id } }',
        '{ it: orderByClOrdId(accountId: "ours", clOrdId: "c-o3") { id } }',
        '{ it: instrument(symbol: "NONE") { id } }',
        '{ it: instrument(symbol: "MSFT") { id } }',
    ],
)
async def test_what_is_foreign_is_null_as_what_is_not_there(ask: Ask, query: str) -> None:
    assert await ask(query) == {"data": {"it": None}}


@pytest.mark.parametrize(
    "query",
    [
        '{ orders(accountId: "%s") { nodes { id } } }',
        '{ orderReports(accountId: "%s") { nodes { seq } } }',
        '{ positions(accountId: "%s") { symbol } }',
    ],
)
async def test_lists_of_a_foreign_account_answer_as_of_none(ask: Ask, query: str) -> None:
    foreign, nothing = await ask(query % "foreign"), await ask(query % "nothing")

    assert code(foreign) == code(nothing) == "NOT_FOUND"
    assert foreign["errors"][0]["message"] == (
        nothing["errors"][0]["message"].replace("nothing", "foreign")
    )


async def test_an_order_is_found_by_its_cl_ord_id(ask: Ask) -> None:
    result = await ask('{ orderByClOrdId(accountId: "ours", clOrdId: "c-o2") { id } }')

    assert result["data"]["orderByClOrdId"] == {"id": "o2"}


async def test_pages_of_orders_continue_behind_their_cursor(ask: Ask) -> None:
    one = (await ask(ORDERS, {"first": 1}))["data"]["orders"]
    two = (await ask(ORDERS, {"first": 1, "after": one["pageInfo"]["endCursor"]}))["data"]["orders"]

    assert [one["nodes"], two["nodes"]] == [[{"id": "o2"}], [{"id": "o1"}]]
    assert one["pageInfo"]["hasNextPage"]
    assert not one["pageInfo"]["hasPreviousPage"]
    assert not two["pageInfo"]["hasNextPage"]
    assert two["pageInfo"]["hasPreviousPage"]
    assert one["edges"][0]["cursor"] == one["pageInfo"]["startCursor"]
    assert one["asOfSeq"] == "4"


async def test_a_filter_reaches_the_store(ask: Ask, world: World) -> None:
    which = {"ordStatus": ["NEW", "FILLED"], "symbol": "AAPL", "side": "SELL", "openOnly": True}

    await ask(ORDERS, {"filter": which})

    assert world.reads.asked == (
        OrderFilter(
            ord_status=frozenset({OrdStatus.NEW, OrdStatus.FILLED}),
            symbol=AAPL,
            side=Side.SELL,
            open_only=True,
        ),
        50,
        None,
    )


async def test_a_filter_may_name_an_instrument_that_is_gone(ask: Ask, world: World) -> None:
    await ask(ORDERS, {"filter": {"symbol": "ESU4@XCME"}})

    assert world.reads.asked is not None
    assert world.reads.asked[0] == OrderFilter(symbol="ESU4@XCME")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"first": -1}, "first"),
        ({"after": "nonsense"}, "after"),
        ({"after": ""}, "after"),
        ({"after": "é"}, "after"),
        ({"after": "aW5zdHJ1bWVudDpBQVBM"}, "after"),
        ({"after": "b3JkZXI6"}, "after"),
        ({"filter": {"symbol": "MSFT"}}, "filter.symbol"),
        ({"filter": {"symbol": "NONE"}}, "filter.symbol"),
    ],
)
async def test_a_bad_argument_is_named(ask: Ask, variables: dict[str, Any], named: str) -> None:
    result = await ask(ORDERS, variables)

    assert code(result) == "BAD_USER_INPUT"
    assert result["errors"][0]["message"].startswith(f"{named}:")


async def test_reports_page_by_sequence_and_keep_their_kind(ask: Ask) -> None:
    result = await ask(
        """{ orderReports(accountId: "ours", afterSeq: "1", first: 2) {
          edges { cursor } asOfSeq pageInfo { hasNextPage endCursor }
          nodes { __typename seq accountId transactTime ordStatus order { id }
            ... on ExecutionReport { execType lastQty origin }
            ... on OrderCancelReject { cxlRejReason cxlRejResponseTo rejectedBy } }
        } }"""
    )

    page = result["data"]["orderReports"]
    assert [node["__typename"] for node in page["nodes"]] == [
        "ExecutionReport",
        "OrderCancelReject",
    ]
    assert page["edges"] == [{"cursor": "2"}, {"cursor": "3"}]
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": "3"}
    assert page["nodes"][1]["cxlRejReason"] == "TOO_LATE_TO_CANCEL"


async def test_a_report_of_no_order_has_none(ask: Ask) -> None:
    result = await ask(
        '{ orderReports(accountId: "ours", afterSeq: 3) { nodes { order { id } orderId } } }'
    )

    assert result == {"data": {"orderReports": {"nodes": [{"order": None, "orderId": None}]}}}


async def test_siblings_are_read_together(ask: Ask, world: World) -> None:
    result = await ask(
        """{ orders(accountId: "ours") {
               nodes { account { id } riskDecision { accepted } fills { order { id } } } }
             orderReports(accountId: "ours", first: 3) { nodes { order { id } } } }"""
    )

    assert "errors" not in result
    assert world.reads.calls.count("accounts") == 1
    assert world.reads.calls.count("fills_of") == 1
    assert world.reads.calls.count("decisions_of") == 1
    assert world.reads.calls.count("orders_by_id") <= 2


async def test_money_rests_on_marks(ask: Ask, world: World) -> None:
    query = """{ account(id: "ours") { cash equity buyingPower initialMargin maintenanceMargin
      openOrders positions { symbol netQty avgPx markPx unrealizedPnl realizedPnl } } }"""

    marked = (await ask(query))["data"]["account"]
    world.quotes.newest.clear()
    unmarked = (await ask(query))["data"]["account"]

    assert marked["cash"] == "1000.5"
    assert marked["equity"] == "1644.5"
    assert marked["positions"] == [
        {
            "symbol": "AAPL@XNAS",
            "netQty": "4",
            "avgPx": "150",
            "markPx": "161",
            "unrealizedPnl": "44",
            "realizedPnl": "0",
        }
    ]
    assert unmarked["equity"] is None
    assert unmarked["positions"][0]["markPx"] is None
    assert unmarked["positions"][0]["unrealizedPnl"] is None
    assert world.reads.calls.count("positions") == 2


async def test_an_account_shows_limits_and_breaks(ask: Ask) -> None:
    result = await ask(
        '{ account(id: "ours") { limits { version values { symbol name value } }'
        " breaks { kind orderId detail raisedAt } } }"
    )

    account = result["data"]["account"]
    assert account["limits"] == {
        "version": 3,
        "values": [
            {"symbol": None, "name": "MAX_ORDER_QTY", "value": "9"},
            {"symbol": "AAPL@XNAS", "name": "MAX_ORDER_QTY", "value": "5"},
        ],
    }
    assert account["breaks"][0]["kind"] == "LATE_FILL"


async def test_accounts_and_positions_are_the_callers_alone(ask: Ask) -> None:
    result = await ask("{ accounts { id } positions { accountId symbol account { id } } }")

    assert result["data"] == {
        "accounts": [{"id": "ours"}],
        "positions": [{"accountId": "ours", "symbol": "AAPL@XNAS", "account": {"id": "ours"}}],
    }


async def test_quotes_name_their_instruments(ask: Ask) -> None:
    result = await ask(
        '{ quotes(symbols: ["AAPL", "AAPL@XNAS", "MSFT@XNAS"])'
        " { symbol bid ask bidSize askSize mid instrument { quote { bid } } } }"
    )

    assert result["data"]["quotes"] == [
        {
            "symbol": "AAPL@XNAS",
            "bid": "160",
            "ask": "162",
            "bidSize": "100",
            "askSize": None,
            "mid": "161",
            "instrument": {"quote": {"bid": "160"}},
        }
    ]


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [(["NONE"], "NOT_FOUND"), (["MSFT"], "NOT_FOUND"), ([], "BAD_USER_INPUT")],
)
async def test_bad_symbols_are_refused(ask: Ask, symbols: list[str], expected: str) -> None:
    result = await ask("query ($s: [String!]!) { quotes(symbols: $s) { bid } }", {"s": symbols})

    assert code(result) == expected
    assert result["errors"][0]["message"].startswith("symbols:")


async def test_instruments_are_searched_and_paged(ask: Ask) -> None:
    query = """query ($after: String) { instruments(search: "msft", first: 1, after: $after) {
      nodes { id } pageInfo { hasNextPage endCursor } } }"""

    one = (await ask(query))["data"]["instruments"]
    two = (await ask(query, {"after": one["pageInfo"]["endCursor"]}))["data"]["instruments"]

    assert [one["nodes"], two["nodes"]] == [[{"id": "MSFT@XNAS"}], [{"id": "MSFT@XNYS"}]]
    assert [one["pageInfo"]["hasNextPage"], two["pageInfo"]["hasNextPage"]] == [True, False]


PREVIEW = """{ previewOrder(input: {accountId: "ours", clOrdId: "c9", symbol: "AAPL", side: BUY,
  ordType: LIMIT, orderQty: "1", price: "1"}) { accepted decidedAt } }"""


async def test_a_preview_tells_the_decision(ask: Ask) -> None:
    result = await ask(PREVIEW)

    assert result["data"]["previewOrder"]["accepted"] is True


async def test_a_preview_of_a_wrong_input_carries_its_errors(ask: Ask, world: World) -> None:
    world.desk.answer = InvalidInput((an_input_error(),))

    result = await ask(PREVIEW)

    assert code(result) == "BAD_USER_INPUT"
    assert result["errors"][0]["extensions"]["errors"] == [
        {
            "path": ["input", "price"],
            "code": "REQUIRED",
            "message": "a LIMIT order needs a price",
        }
    ]


async def test_an_instrument_that_is_gone_is_null(ask: Ask, world: World) -> None:
    world.reads.all_orders = [
        replace(o, symbol=InstrumentID("X@Y")) for o in world.reads.all_orders
    ]

    result = await ask('{ order(id: "o1") { instrument { id } account { cash } } }')

    assert result["data"]["order"] == {"instrument": None, "account": {"cash": "1000.5"}}


async def test_symbols_are_bounded_whatever_lists_are(world: World) -> None:
    query = "query ($s: [String!]!) { quotes(symbols: $s) { bid } }"
    variables = {"s": ["AAPL"] * 101}
    schema = Schema(Bounds(list_items=200))

    result = await schema.execute(query, variables, context_value=world.context(a_principal()))
    [error] = [each.formatted for each in result.errors or ()]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("symbols: name 1 to 100")
