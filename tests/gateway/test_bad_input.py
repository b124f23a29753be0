"""Bad input gets the answer that the contract names, says what is wrong, and changes nothing."""

from decimal import Decimal
from typing import Any

import pytest

from tests.gateway.client import Client
from tests.gateway.documents import ACCOUNT, CANCEL, CANCEL_ALL, FIND, PLACE, REPLACE
from tests.gateway.still import ORDERS, fresh, is_free, resting, terms, unchanged

POSITIONS = "query($accountId: ID!) { positions(accountId: $accountId) { symbol } }"


# --- what a scalar or the schema refuses: BAD_USER_INPUT, with the path ---


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"orderQty": 1.5}, "orderQty", "write it as a string"),
        ({"orderQty": 10}, "orderQty", "write it as a string"),
        ({"price": 229.01}, "price", "write it as a string"),
        ({"orderQty": "NaN"}, "orderQty", "not a plain decimal number"),
        ({"orderQty": "Infinity"}, "orderQty", "not a plain decimal number"),
        ({"orderQty": "1e3"}, "orderQty", "not a plain decimal number"),
        ({"orderQty": "1" * 40}, "orderQty", "at most 15 integer"),
        ({"price": "0." + "1" * 40}, "price", "12 fraction digits"),
        ({"orderQty": "٣"}, "orderQty", "not a plain decimal number"),
        ({"orderQty": None}, "", "include required field 'orderQty'"),
        ({"side": "SIDEWAYS"}, "side", "does not exist in 'Side' enum"),
        ({"ordType": "ICEBERG"}, "ordType", "does not exist in 'OrdType' enum"),
        ({"accountId": None}, "", "include required field 'accountId'"),
        ({"colour": "red"}, "", "colour"),
        (
            {"timeInForce": "GOOD_TILL_DATE", "expireTime": "2026-01-06T15:00:00"},
            "expireTime",
            "RFC 3339",
        ),
    ],
)
def test_what_the_schema_refuses(
    trader: Client, changes: dict[str, Any], path: str, words: str
) -> None:
    order = terms(**changes)
    with unchanged(trader):
        error = trader.error(PLACE, input=order)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        [wrong] = error["extensions"]["errors"]
        assert wrong["path"][0] == "input"
        assert wrong["path"][1:] == [path] * bool(path)
        assert words in wrong["message"]
    is_free(trader, order["clOrdId"])


def test_a_float_in_the_document_itself_is_refused_too(trader: Client) -> None:
    fields = 'accountId: "equity", clOrdId: "x", symbol: "AAPL", side: BUY, ordType: MARKET'
    query = f"mutation {{ placeOrder(input: {{ {fields}, orderQty: 1.5 }}) {{ __typename }} }}"

    with unchanged(trader):
        error = trader.error(query)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"][0]["path"] == ["input", "orderQty"]


def test_a_target_of_two_kinds_or_none_is_refused(trader: Client) -> None:
    for target in ({}, {"origClOrdId": "a", "orderId": "b"}, {"origClOrdId": None}):
        cancel = {"accountId": "equity", "clOrdId": "x", "target": target}
        with unchanged(trader):
            error = trader.error(CANCEL, input=cancel)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["errors"][0]["path"][:2] == ["input", "target"]


@pytest.mark.parametrize("after", ["", "nonsense", "b3JkZXI", "cmVwb3J0OjE", "ö", "b3JkZXI6"])
def test_a_malformed_cursor_is_refused(trader: Client, after: str) -> None:
    query = 'query($after: String) { orders(accountId: "equity", after: $after) { asOfSeq } }'
    error = trader.error(query, after=after)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("after: not a cursor of this list")


@pytest.mark.parametrize("after", ["-1", "x", "9" * 20, 1.5, ""])
def test_a_malformed_sequence_number_is_refused(trader: Client, after: object) -> None:
    query = """query($after: Sequence) {
      orderReports(accountId: "equity", afterSeq: $after) { asOfSeq }
    }"""
    error = trader.error(query, after=after)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"][0]["path"] == ["after"]


@pytest.mark.parametrize("first", [0, -1, 101])
def test_a_page_of_no_or_too_many_items_is_refused(trader: Client, first: int) -> None:
    query = 'query($first: Int) { orders(accountId: "equity", first: $first) { asOfSeq } }'
    error = trader.error(query, first=first)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("first: ask for 1 to 100")


# --- wrong by the input alone: InvalidInput, the ClOrdID still free ---


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"orderQty": "0"}, "orderQty", "NOT_POSITIVE"),
        ({"orderQty": "0.000"}, "orderQty", "NOT_POSITIVE"),
        ({"orderQty": "-10"}, "orderQty", "NOT_POSITIVE"),
        ({"price": None}, "price", "REQUIRED"),
        ({"ordType": "MARKET"}, "price", "NOT_ALLOWED"),
        ({"ordType": "STOP", "price": None}, "stopPx", "REQUIRED"),
        ({"ordType": "STOP_LIMIT"}, "stopPx", "REQUIRED"),
        ({"stopPx": "231.00"}, "stopPx", "NOT_ALLOWED"),
        ({"timeInForce": "GOOD_TILL_DATE"}, "expireTime", "REQUIRED"),
        ({"expireTime": "2026-01-06T15:00:00Z"}, "expireTime", "NOT_ALLOWED"),
        ({"symbol": ""}, "symbol", "REQUIRED"),
        ({"symbol": "A" * 65}, "symbol", "TOO_LONG"),
        ({"symbol": " AAPL"}, "symbol", "MALFORMED"),
    ],
)
def test_what_is_wrong_by_itself(
    trader: Client, changes: dict[str, Any], field: str, code: str
) -> None:
    order = terms(**changes)
    with unchanged(trader):
        answer = trader.place(**order)
        assert answer["__typename"] == "InvalidInput"
        assert [(e["path"], e["code"]) for e in answer["errors"]] == [(["input", field], code)]
        assert field in answer["errors"][0]["message"] or "order" in answer["errors"][0]["message"]
    is_free(trader, order["clOrdId"])


@pytest.mark.parametrize("cl_ord_id", ["", " x", "x" * 65, "tab\tbed", "naïve"])
def test_a_malformed_cl_ord_id_is_refused(trader: Client, cl_ord_id: str) -> None:
    with unchanged(trader):
        answer = trader.place(**terms(clOrdId=cl_ord_id))
    assert answer["__typename"] == "InvalidInput"
    assert answer["errors"][0]["path"] == ["input", "clOrdId"]


def test_a_replace_of_nothing_or_to_nothing_is_refused(trader: Client) -> None:
    order, again = resting(trader), fresh("replace")
    for changes, code in (({}, "REQUIRED"), ({"orderQty": "0"}, "NOT_POSITIVE")):
        with unchanged(trader):
            answer = trader.replace(again, order["clOrdId"], **changes)
        assert answer["__typename"] == "InvalidInput"
        assert answer["errors"][0]["code"] == code
    assert trader.replace(again, order["clOrdId"], orderQty="11")["__typename"] == "Order"


def test_a_mass_cancel_of_an_unknown_symbol_is_refused(trader: Client) -> None:
    order = resting(trader)
    with unchanged(trader):
        cancel = {"accountId": "equity", "clOrdId": fresh("all"), "symbol": "NOBODY"}
        answer = trader.data(CANCEL_ALL, input=cancel)
    assert answer["__typename"] == "InvalidInput"
    assert answer["errors"][0]["code"] == "UNKNOWN_SYMBOL"
    assert trader.order(order["id"])["ordStatus"] == "NEW"


# --- what needs reference data or state: a recorded Order, REJECTED ---


@pytest.mark.parametrize(
    ("changes", "reason", "check"),
    [
        ({"symbol": "NOBODY"}, "UNKNOWN_SYMBOL", None),
        ({"symbol": "AAPL@XNYS"}, "UNKNOWN_SYMBOL", None),
        ({"orderQty": "1.5"}, "INCORRECT_QUANTITY", "LOT_SIZE"),
        (
            {"symbol": "EURUSD", "orderQty": "1500", "price": "1.09000"},
            "INCORRECT_QUANTITY",
            "LOT_SIZE",
        ),
        ({"price": "229.005"}, "INVALID_PRICE_INCREMENT", "TICK_SIZE"),
        (
            {"symbol": "ESH6", "orderQty": "1", "price": "6000.10"},
            "INVALID_PRICE_INCREMENT",
            "TICK_SIZE",
        ),
        (
            {"ordType": "STOP", "price": None, "stopPx": "231.001"},
            "INVALID_PRICE_INCREMENT",
            "TICK_SIZE",
        ),
        (
            {"timeInForce": "GOOD_TILL_DATE", "expireTime": "2026-01-05T14:00:00Z"},
            "TOO_LATE_TO_ENTER",
            "EXPIRE_TIME",
        ),
        ({"orderQty": "10001"}, "ORDER_EXCEEDS_LIMIT", "MAX_ORDER_QTY"),
        ({"price": "200.00"}, "PRICE_EXCEEDS_CURRENT_PRICE_BAND", "PRICE_COLLAR"),
        ({"orderQty": "4000"}, "NOTIONAL_VALUE_EXCEEDS_THRESHOLD", "MAX_ORDER_NOTIONAL"),
        ({"reduceOnly": True}, "OTHER", "REDUCE_ONLY"),
    ],
)
def test_what_is_refused_by_the_state_is_a_recorded_order(
    trader: Client, changes: dict[str, Any], reason: str, check: str | None
) -> None:
    order, before = terms(**changes), trader.account()
    answer = trader.place(**order)

    assert answer["__typename"] == "Order"
    assert (answer["ordStatus"], answer["rejectedBy"]) == ("REJECTED", "GATEWAY")
    assert answer["ordRejReason"] == reason
    assert answer["text"]
    refused = [
        c["name"]
        for c in (answer["riskDecision"] or {"checks": []})["checks"]
        if c["verdict"] == "REFUSE"
    ]
    assert refused[:1] == ([check] if check else [])

    # It is one report more, and nothing else; the ClOrdID stands for it from now on.
    after = trader.account()
    assert int(after["lastSeq"]) == int(before["lastSeq"]) + 1 == int(answer["lastSeq"])
    assert after | {"lastSeq": before["lastSeq"]} == before
    with unchanged(trader):
        assert trader.place(**order)["id"] == answer["id"]
        assert trader.place(**terms(clOrdId=order["clOrdId"]))["__typename"] == "ClOrdIdConflict"


# --- accounts ---


@pytest.mark.parametrize("account", ["nobody", "foreign", "unheld", "", "Equity"])
def test_an_unknown_and_a_foreign_account_are_not_found_alike(
    trader: Client, stranger: Client, account: str
) -> None:
    target = {"origClOrdId": "x"}
    asked: list[tuple[str, dict[str, Any]]] = [
        (PLACE, terms(accountId=account)),
        (REPLACE, {"accountId": account, "clOrdId": "x", "target": target, "orderQty": "1"}),
        (CANCEL, {"accountId": account, "clOrdId": "x", "target": target}),
        (CANCEL_ALL, {"accountId": account, "clOrdId": "x"}),
    ]
    with unchanged(trader, stranger):
        for query, given in asked:
            error = trader.error(query, input=given)
            assert error["extensions"] == {"code": "NOT_FOUND"}
            assert error["message"] == f"there is no account {account}"
        for query in (ORDERS, POSITIONS):
            error = trader.error(query, accountId=account)
            assert error["extensions"] == {"code": "NOT_FOUND"}
            words = f"accountId: there is no account {account!r} that you may see"
            assert error["message"] == words
        assert trader.answer(ACCOUNT, id=account) == {"data": {"account": None}}


def test_a_foreign_order_is_as_one_that_is_not_there(trader: Client, stranger: Client) -> None:
    order = stranger.placed(**terms(accountId="foreign"))

    assert trader.answer(FIND, id=order["id"]) == {"data": {"order": None}}
    assert trader.answer(FIND, id="nothing") == {"data": {"order": None}}
    with unchanged(stranger):
        for order_id in (order["id"], "nothing"):
            cancel = {"accountId": "equity", "clOrdId": fresh("x"), "target": {"orderId": order_id}}
            answer = trader.data(CANCEL, input=cancel)
            assert answer["cxlRejReason"] == "UNKNOWN_ORDER"
            assert answer["order"] is None
            assert answer["text"] == f"no order has the orderId {order_id}"


def test_an_account_that_is_only_to_read_is_forbidden(trader: Client) -> None:
    with unchanged(trader):
        error = trader.error(PLACE, input=terms(accountId="watched"))
    assert error["extensions"] == {"code": "FORBIDDEN"}


# --- a request that is none ---


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        ("{", "application/json", "parse request body"),
        ('{"query": NaN}', "application/json", "parse request body"),
        ("[1]", "application/json", "must be a JSON object"),
        ("null", "application/json", "must be a JSON object"),
        ('{"variables": {}}', "application/json", "with a query"),
        ('{"query": ""}', "application/json", "with a query"),
        ('{"query": 1}', "application/json", "must be a string"),
        ('{"query": "{ viewer { userId } }", "variables": 1}', "application/json", "an object"),
        ('{"query": "{ viewer { userId } }"}', "text/plain", "content type"),
        ('{"query": "subscription { tradingState { id } }"}', "application/json", "WebSocket"),
        ('{"query": "query a { viewer { userId } }", "operationName": "b"}',
         "application/json", "operation"),
        ('{"query": "query a { viewer { userId } }", "operationName": [1]}',
         "application/json", "operation"),
    ],
)  # fmt: skip
def test_a_request_that_is_no_request_is_refused(
    trader: Client, body: str, content_type: str, words: str
) -> None:
    response = trader.send(body, content_type)

    assert response.status_code == 400, response.text
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert words in error["message"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ viewer", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{" + "a " * 2000 + "}", "GRAPHQL_PARSE_FAILED"),
    ],
)
def test_a_document_that_is_none_is_refused(trader: Client, query: str, code: str) -> None:
    assert trader.error(query)["extensions"]["code"] == code


# --- and what is right ---


def test_a_market_that_stands_still_fills_at_exactly_its_price(trader: Client) -> None:
    before = trader.account()
    bought = trader.placed(**terms(ordType="MARKET", price=None, orderQty="100"))
    sold = trader.placed(**terms(ordType="MARKET", price=None, orderQty="100", side="SELL"))
    assert trader.finished(bought["id"])["avgPx"] == "230.02"
    assert trader.finished(sold["id"])["avgPx"] == "230"
    assert Decimal(trader.account()["cash"]) == Decimal(before["cash"]) - 2


def test_the_whole_log_is_there_without_a_gap(trader: Client) -> None:
    reports = trader.reports()
    assert [int(report["seq"]) for report in reports] == list(range(1, len(reports) + 1))
