"""A ClOrdID has one meaning, and a cancel or replace that comes to nothing leaves its order be."""

import json
from typing import Any

from tests.gateway.client import Client, received
from tests.gateway.documents import CANCEL_ALL, REPLACE
from tests.gateway.process import Running
from tests.gateway.still import fresh, resting, terms, unchanged
from tests.gateway.tokens import minted

# --- the same ClOrdID again ---


def test_a_cl_ord_id_reused_with_the_same_body_is_the_same_order(trader: Client) -> None:
    order = terms()
    first = trader.placed(**order)
    with unchanged(trader):
        assert trader.place(**order)["id"] == first["id"]
        same = order | {"orderQty": "10.0", "price": "229", "timeInForce": "DAY"}
        assert trader.place(**same)["id"] == first["id"]


def test_a_cl_ord_id_reused_with_another_body_is_a_conflict(trader: Client) -> None:
    placed, other = resting(trader), resting(trader)
    taken = placed["clOrdId"]
    with unchanged(trader):
        answers = [
            trader.place(**terms(clOrdId=taken, orderQty="11")),
            trader.place(**terms(clOrdId=taken, side="SELL", price="231.00")),
            trader.replace(taken, other["clOrdId"], orderQty="12"),
            trader.cancel(taken, other["clOrdId"]),
            trader.cancel(taken, taken),
            trader.data(CANCEL_ALL, input={"accountId": "equity", "clOrdId": taken}),
        ]
    for answer in answers:
        assert answer["__typename"] == "ClOrdIdConflict"
        assert answer["order"] == {"id": placed["id"]}
        assert taken in answer["message"]


def test_a_replace_and_a_cancel_repeated_have_one_effect(trader: Client) -> None:
    order, replaced, canceled = resting(trader), fresh("replace"), fresh("cancel")
    changed = trader.replace(replaced, order["clOrdId"], orderQty="20")
    assert (changed["id"], changed["orderQty"], changed["clOrdId"]) == (order["id"], "20", replaced)
    with unchanged(trader):
        again = trader.replace(replaced, order["clOrdId"], orderQty="20")
        assert again["id"] == order["id"]
        other = trader.replace(replaced, order["clOrdId"], orderQty="21")
        assert other["__typename"] == "ClOrdIdConflict"

    assert trader.cancel(canceled, replaced)["ordStatus"] == "CANCELED"
    with unchanged(trader):
        assert trader.cancel(canceled, replaced)["ordStatus"] == "CANCELED"
        assert trader.cancel(canceled, order["clOrdId"])["__typename"] == "ClOrdIdConflict"
        assert trader.place(**terms(clOrdId=canceled))["__typename"] == "ClOrdIdConflict"


def test_a_mass_cancel_repeated_has_one_effect(trader: Client) -> None:
    cancel = {"accountId": "futures", "clOrdId": fresh("all")}
    first = trader.data(CANCEL_ALL, input=cancel)
    with unchanged(trader):
        assert trader.data(CANCEL_ALL, input=cancel) == first
        other = trader.data(CANCEL_ALL, input=cancel | {"side": "BUY"})
    assert other["__typename"] == "ClOrdIdConflict"


# --- cancels and replaces that come to nothing: OrderCancelReject, the order lives on ---


def refused(trader: Client, answer: Any, reason: str, before: Any) -> None:
    """See that an amendment was refused, on the record, and that its order is as it was."""
    assert answer["__typename"] == "OrderCancelReject"
    assert (answer["cxlRejReason"], answer["cxlRejectedBy"]) == (reason, "GATEWAY")
    assert answer["text"]
    if before is None:
        assert answer["order"] is None
        return
    assert answer["order"] == {"id": before["id"]}
    after = trader.order(before["id"])
    assert after | {"lastSeq": before["lastSeq"]} == before


def test_a_cancel_of_an_unknown_order_is_refused(trader: Client) -> None:
    seq, again = int(trader.account()["lastSeq"]), fresh("cancel")
    answer = trader.cancel(again, "never-placed")

    refused(trader, answer, "UNKNOWN_ORDER", None)
    assert (answer["cxlRejResponseTo"], answer["ordStatus"]) == ("ORDER_CANCEL_REQUEST", "REJECTED")
    assert int(answer["seq"]) == seq + 1 == int(trader.account()["lastSeq"])
    with unchanged(trader):
        assert trader.cancel(again, "never-placed") == answer


def test_a_cancel_of_a_filled_order_is_refused(trader: Client) -> None:
    order = trader.placed(**terms(ordType="MARKET", price=None))
    filled = trader.finished(order["id"])
    assert filled["ordStatus"] == "FILLED"

    answer = trader.cancel(fresh("cancel"), filled["clOrdId"])
    refused(trader, answer, "TOO_LATE_TO_CANCEL", filled)


def test_a_cancel_of_a_canceled_order_is_refused(trader: Client) -> None:
    order, first = resting(trader), fresh("cancel")
    trader.cancel(first, order["clOrdId"])
    canceled = trader.finished(order["id"])
    assert canceled["ordStatus"] == "CANCELED"

    answer = trader.cancel(fresh("cancel"), order["clOrdId"])
    refused(trader, answer, "TOO_LATE_TO_CANCEL", canceled)


def test_a_replace_below_what_has_traded_is_refused(trader: Client) -> None:
    offer = resting(trader, symbol="MSFT", side="SELL", orderQty="5", price="430.05")
    bid = trader.placed(**terms(symbol="MSFT", orderQty="12", price="430.05"))
    partly = trader.until(bid["id"], lambda order: order["cumQty"] == "5")
    assert (partly["ordStatus"], partly["leavesQty"]) == ("PARTIALLY_FILLED", "7")
    assert trader.finished(offer["id"])["ordStatus"] == "FILLED"

    for qty in ("4", "5"):
        answer = trader.replace(fresh("replace"), partly["clOrdId"], orderQty=qty)
        refused(trader, answer, "OTHER", partly)
        assert answer["cxlRejResponseTo"] == "ORDER_CANCEL_REPLACE_REQUEST"
        assert "cumQty 5" in answer["text"]
    assert trader.replace(fresh("replace"), partly["clOrdId"], orderQty="6")["leavesQty"] == "1"


def test_a_second_replace_while_one_is_pending_is_refused(trader: Client) -> None:
    order = resting(trader, symbol="NVDA", price="139.00")
    answer = trader.data(
        REPLACE,
        waitFor="COMMIT",
        input={
            "accountId": "equity",
            "clOrdId": fresh("replace"),
            "target": {"orderId": order["id"]},
            "orderQty": "20",
        },
    )
    assert answer["ordStatus"] == "PENDING_REPLACE"
    pending = trader.order(order["id"])

    again = trader.replace(fresh("replace"), order["clOrdId"], orderQty="30")
    refused(trader, again, "ORDER_ALREADY_IN_PENDING_STATUS", pending)

    # The cancel goes ahead of the replace, which it supersedes.
    canceled = trader.cancel(fresh("cancel"), order["clOrdId"])
    assert (canceled["id"], canceled["orderQty"]) == (order["id"], "10")
    assert trader.finished(order["id"])["ordStatus"] == "CANCELED"


def test_a_replace_by_a_superseded_cl_ord_id_is_refused(trader: Client) -> None:
    order, newer = resting(trader), fresh("replace")
    changed = trader.replace(newer, order["clOrdId"], orderQty="20")
    assert changed["clOrdId"] == newer

    answer = trader.replace(fresh("replace"), order["clOrdId"], orderQty="30")
    assert answer["cxlRejReason"] == "UNKNOWN_ORDER"
    assert newer in answer["text"]
    assert trader.order(order["id"])["orderQty"] == "20"


def test_a_replace_off_tick_or_beyond_a_limit_is_refused(trader: Client) -> None:
    order = resting(trader)
    for changes, reason in (
        ({"price": "229.001"}, "INVALID_PRICE_INCREMENT"),
        ({"price": "100.00"}, "PRICE_EXCEEDS_CURRENT_PRICE_BAND"),
        ({"orderQty": "10001"}, "OTHER"),
        ({"stopPx": "230.00"}, "OTHER"),
    ):
        answer = trader.replace(fresh("replace"), order["clOrdId"], **changes)
        refused(trader, answer, reason, trader.order(order["id"]))
        assert trader.order(order["id"])["price"] == "229"


# --- what is refused and on record all the same ---

APPROVE = 'mutation { approveTradingState(requestId: "%s") { __typename } }'
ACTS = "{ acts(first: 2) { kind decision subject userId tokenId address clientId } }"


def test_a_refused_act_is_on_record_with_token_and_address(gateway: Running) -> None:
    officer = Client(gateway.url, minted(gateway.data, "risk_officer"))
    auditor = Client(gateway.url, minted(gateway.data, "auditor"))
    with officer, auditor:
        officer.error(APPROVE % "over-http")
        with officer.socket() as socket:
            assert received(socket) == {"type": "connection_ack"}
            payload = {"query": APPROVE % "over-a-socket"}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            assert received(socket)["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"

        acts = auditor.data(ACTS)
        assert [each["subject"] for each in acts] == ["over-a-socket", "over-http"]
        for act in acts:
            assert (act["kind"], act["decision"]) == ("APPROVE_TRADING_STATE", "REFUSED")
            assert (act["userId"], act["address"]) == ("risk_officer", "127.0.0.1")
            assert act["clientId"] == "development"
            assert len(act["tokenId"]) == 22
        assert officer.error(ACTS)["extensions"]["code"] == "FORBIDDEN"
