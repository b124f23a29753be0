"""The main job, end to end: orders of every kind against live quotes, and their reports back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.client import Client, eventually, received
from tests.gateway.documents import (
    APPROVE,
    CANCEL_ALL,
    FILLS,
    FOLLOW,
    PLACE,
    PREVIEW,
    QUOTES,
    SET_STATE,
)
from tests.gateway.market import MONDAY, recorded
from tests.gateway.process import Running, running, token
from tests.gateway.tokens import minted

NUMBERS = count(1)
CASH = Decimal(1_000_000)


@dataclass(slots=True, kw_only=True)
class Goods:
    """What is traded: two symbols of a market, its tick, and the most that an order may be for."""

    first: str = "AAPL"
    second: str = "MSFT"
    mic: str = "XNAS"
    tick: Decimal = Decimal("0.01")
    most: int = 10_000

    def named(self, symbol: str) -> str:
        return f"{symbol}@{self.mic}"


GOODS = Goods()
"""Those of a tour with another broker are put here by its module, for as long as it runs."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a gateway as `make run` does, with simulated quotes."""
    with running(tmp_path_factory.mktemp("tour") / "data") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def trader(gateway: Running) -> Iterator[Client]:
    with Client(gateway.url, token(gateway.data, "trader")) as client:
        yield client


def fresh(word: str) -> str:
    return f"{word}-{next(NUMBERS)}"


def quote(client: Client, symbol: str) -> tuple[Decimal, Decimal]:
    [found] = client.data(QUOTES, symbols=[symbol])
    return Decimal(found["bid"]), Decimal(found["ask"])


def terms(symbol: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a market order to buy ten, with these changes."""
    order = {
        "accountId": "equity",
        "clOrdId": fresh("order"),
        "symbol": symbol or GOODS.first,
        "side": "BUY",
        "ordType": "MARKET",
        "orderQty": "10",
    }
    return order | {name: str(value) for name, value in changes.items()}


def below(client: Client, symbol: str | None = None) -> Decimal:
    """Return a price that a buy rests at: within the collar, and out of the market's reach."""
    bid, _ = quote(client, symbol or GOODS.first)
    return bid - 6


def resting(client: Client, **changes: Any) -> Any:
    order = client.placed(**terms(ordType="LIMIT", price=below(client), **changes))
    assert order["ordStatus"] == "NEW"
    return order


def balanced(client: Client, account_id: str, cash: Decimal) -> None:
    """See that positions and cash are exactly what the fills come to, for stocks."""
    net: dict[str, Decimal] = {}
    for report in client.reports(account_id):
        if report["__typename"] == "ExecutionReport" and report["execType"] == "TRADE":
            qty = Decimal(report["lastQty"]) * (1 if report["side"] == "BUY" else -1)
            net[report["symbol"]] = net.get(report["symbol"], Decimal(0)) + qty
            cash -= qty * Decimal(report["lastPx"])
    account = client.account(account_id)
    held = {p["symbol"]: Decimal(p["netQty"]) for p in account["positions"]}
    assert {s: q for s, q in held.items() if q} == {s: q for s, q in net.items() if q}
    assert Decimal(account["cash"]) == cash


# --- orders of every kind ---


def test_a_market_order_fills_at_the_quote(trader: Client) -> None:
    order = trader.finished(trader.placed(**terms())["id"])

    assert (order["ordStatus"], order["cumQty"], order["leavesQty"]) == ("FILLED", "10", "0")
    assert order["symbol"] == GOODS.named(GOODS.first)
    assert sum(Decimal(fill["lastQty"]) for fill in order["fills"]) == 10
    value = sum(Decimal(f["lastQty"]) * Decimal(f["lastPx"]) for f in order["fills"])
    assert Decimal(order["avgPx"]) == value / 10
    assert order["riskDecision"]["accepted"]
    assert {c["verdict"] for c in order["riskDecision"]["checks"]} == {"PASS"}


def test_a_limit_order_that_crosses_fills_no_worse_than_its_price(trader: Client) -> None:
    _, ask = quote(trader, GOODS.first)
    limit = ask + 1
    order = trader.finished(trader.placed(**terms(ordType="LIMIT", price=limit))["id"])

    assert order["ordStatus"] == "FILLED"
    assert all(Decimal(fill["lastPx"]) <= limit for fill in order["fills"])


def test_a_limit_order_below_the_market_rests_is_replaced_and_canceled(trader: Client) -> None:
    order = resting(trader)
    assert trader.account()["openOrders"] == 1

    newer = fresh("replace")
    price = below(trader) - GOODS.tick
    changed = trader.replace(newer, order["clOrdId"], orderQty="20", price=str(price))
    assert changed["id"] == order["id"]
    now = trader.settled(order["id"])
    assert (now["clOrdId"], now["orderQty"], now["ordStatus"]) == (newer, "20", "NEW")
    assert Decimal(now["price"]) == price
    [position] = [
        p for p in trader.account()["positions"] if p["symbol"] == GOODS.named(GOODS.first)
    ]
    assert position["openBuyQty"] == "20"

    assert trader.cancel(fresh("cancel"), newer)["id"] == order["id"]
    done = trader.finished(order["id"])
    assert (done["ordStatus"], done["cumQty"], done["leavesQty"]) == ("CANCELED", "0", "0")
    assert trader.account()["openOrders"] == 0


def test_a_stop_waits_and_one_that_is_reached_fills(trader: Client) -> None:
    _, ask = quote(trader, GOODS.first)
    waiting = trader.placed(**terms(ordType="STOP", stopPx=ask + 6))
    assert waiting["ordStatus"] == "NEW"
    trader.cancel(fresh("cancel"), waiting["clOrdId"])
    assert trader.finished(waiting["id"])["cumQty"] == "0"

    reached = trader.placed(**terms(ordType="STOP", stopPx=ask - 1))
    assert trader.finished(reached["id"])["ordStatus"] == "FILLED"


def test_a_stop_limit_triggers_and_then_works_at_its_limit(trader: Client) -> None:
    _, ask = quote(trader, GOODS.first)
    reached = trader.placed(**terms(ordType="STOP_LIMIT", stopPx=ask - 1, price=ask + 1))
    assert trader.finished(reached["id"])["ordStatus"] == "FILLED"

    triggered = trader.placed(**terms(ordType="STOP_LIMIT", stopPx=ask - 1, price=ask - 6))
    kinds = [r["execType"] for r in trader.reports() if r["orderId"] == triggered["id"]]
    assert kinds == ["PENDING_NEW", "NEW", "TRIGGERED_OR_ACTIVATED_BY_SYSTEM"]
    trader.cancel(fresh("cancel"), triggered["clOrdId"])
    assert trader.finished(triggered["id"])["cumQty"] == "0"


@pytest.mark.parametrize("time_in_force", ["IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"])
def test_what_cannot_trade_at_once_is_canceled(trader: Client, time_in_force: str) -> None:
    order = trader.placed(**terms(ordType="LIMIT", price=below(trader), timeInForce=time_in_force))

    done = trader.finished(order["id"])
    assert (done["ordStatus"], done["cumQty"]) == ("CANCELED", "0")


def test_what_can_trade_at_once_does(trader: Client) -> None:
    """One share: every quote shows at least that much."""
    _, ask = quote(trader, GOODS.first)
    for time_in_force in ("IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"):
        changes: dict[str, Any] = {
            "ordType": "LIMIT",
            "price": ask + 1,
            "timeInForce": time_in_force,
        }
        order = trader.placed(**terms(orderQty=1, **changes))
        assert trader.finished(order["id"])["ordStatus"] == "FILLED"


def test_a_good_till_date_order_expires_on_its_date(trader: Client) -> None:
    now = datetime.fromisoformat(trader.data("{ gateway { marketTime } }")["marketTime"])
    dated = terms(ordType="LIMIT", price=below(trader), timeInForce="GOOD_TILL_DATE")
    order = trader.placed(**dated, expireTime=(now + timedelta(seconds=1)).isoformat())

    done = trader.finished(order["id"])
    assert (done["ordStatus"], done["cumQty"]) == ("EXPIRED", "0")


@pytest.mark.slow
def test_a_good_till_cancel_order_outlives_the_gateway(tmp_path: Path) -> None:
    changes = {"ordType": "LIMIT", "timeInForce": "GOOD_TILL_CANCEL"}
    with (
        running(tmp_path / "data") as first,
        Client(first.url, minted(first.data)) as trader,
    ):
        order = trader.placed(**terms(price=below(trader), **changes))
        before = trader.account()
    with running(tmp_path / "data") as second, Client(second.url, trader.token) as trader:
        assert trader.order(order["id"]) == order
        after = trader.account()
        assert (after["cash"], after["lastSeq"]) == (before["cash"], before["lastSeq"])
        trader.cancel(fresh("cancel"), order["clOrdId"])
        assert trader.finished(order["id"])["ordStatus"] == "CANCELED"


def test_all_orders_are_canceled_by_symbol_by_side_or_at_once(trader: Client) -> None:
    _, ask = quote(trader, GOODS.second)
    orders = [resting(trader) for _ in range(3)]
    sell = trader.placed(**terms(GOODS.second, side="SELL", ordType="LIMIT", price=ask + 6))
    by_symbol = {"accountId": "equity", "clOrdId": fresh("all"), "symbol": GOODS.second}
    report = trader.data(CANCEL_ALL, input=by_symbol)
    assert (report["totalAffectedOrders"], report["orders"][0]["id"]) == (1, sell["id"])
    assert trader.finished(sell["id"])["ordStatus"] == "CANCELED"

    by_side = {"accountId": "equity", "clOrdId": fresh("all"), "side": "SELL"}
    assert trader.data(CANCEL_ALL, input=by_side)["totalAffectedOrders"] == 0
    everything = {"accountId": "equity", "clOrdId": fresh("all")}
    assert trader.data(CANCEL_ALL, input=everything)["totalAffectedOrders"] == 3
    for order in orders:
        assert trader.finished(order["id"])["ordStatus"] == "CANCELED"


def test_a_preview_says_what_risk_would_and_places_nothing(trader: Client) -> None:
    before = trader.account()
    good = trader.data(PREVIEW, input=terms())
    bad = trader.data(PREVIEW, input=terms(orderQty=GOODS.most + 1))

    assert good["accepted"]
    assert not bad["accepted"]
    [check] = [c for c in bad["checks"] if c["name"] == "MAX_ORDER_QTY"]
    assert (check["verdict"], check["limit"], check["used"]) == (
        "REFUSE",
        f"{GOODS.most}",
        f"{GOODS.most + 1}",
    )
    assert check["headroom"] == "-1"
    assert {"name": "order_qty", "value": f"{GOODS.most + 1}"} in check["inputs"]
    assert trader.account()["lastSeq"] == before["lastSeq"]
    assert trader.account()["openOrders"] == before["openOrders"]


def test_positions_and_cash_are_what_the_fills_come_to(trader: Client) -> None:
    for side, qty in (("BUY", 30), ("SELL", 50), ("BUY", 7)):
        trader.finished(trader.placed(**terms("NVDA", side=side, orderQty=qty))["id"])

    balanced(trader, "equity", CASH)


def test_a_currency_pair_trades_by_the_thousand(trader: Client) -> None:
    order = trader.finished(trader.placed(**terms("EURUSD", orderQty=2000))["id"])

    assert (order["ordStatus"], order["cumQty"]) == ("FILLED", "2000")
    balanced(trader, "equity", CASH)


def test_futures_move_cash_by_gains_alone_and_tie_up_margin(trader: Client) -> None:
    query = '{ instruments(search: "ES") { nodes { symbol mic multiplier tick initialMargin } } }'
    found = trader.data(query)["nodes"]
    [es] = [i for i in found if i["symbol"].startswith("ES") and i["mic"] == "XCME"]
    assert (es["multiplier"], es["tick"]) == ("50", "0.25")

    before = Decimal(trader.account("futures")["cash"])
    buy = terms(es["symbol"], accountId="futures", orderQty=2)
    bought = trader.finished(trader.placed(**buy)["id"])
    assert bought["ordStatus"] == "FILLED"
    held = trader.account("futures")
    assert Decimal(held["cash"]) == before
    assert Decimal(held["initialMargin"]) == 2 * Decimal(es["initialMargin"])

    sell = terms(es["symbol"], accountId="futures", orderQty=2, side="SELL")
    sold = trader.finished(trader.placed(**sell)["id"])
    gain = 2 * (Decimal(sold["avgPx"]) - Decimal(bought["avgPx"])) * 50
    flat = trader.account("futures")
    assert Decimal(flat["cash"]) == before + gain
    assert flat["initialMargin"] == "0"


def test_a_future_whose_margin_is_not_there_is_refused(trader: Client) -> None:
    [es] = [
        each
        for each in trader.data('{ instruments(search: "ES") { nodes { symbol mic } } }')["nodes"]
        if each["symbol"].startswith("ES") and each["mic"] == "XCME"
    ]

    too_many = trader.place(**terms(es["symbol"], accountId="futures", orderQty=16))
    assert too_many["ordRejReason"] == "INSUFFICIENT_CREDIT_LIMIT"


# --- the kill switch ---


def test_a_halt_refuses_orders_lets_cancels_pass_and_takes_two_to_lift(
    gateway: Running, trader: Client
) -> None:
    order = resting(trader)
    halt = {"scope": {"accountId": "equity"}, "state": "HALTED", "reason": "a drill"}
    with (
        Client(gateway.url, minted(gateway.data, "risk_officer")) as officer,
        Client(gateway.url, minted(gateway.data, "risk_officer_2")) as second,
    ):
        forbidden = officer.error(PLACE, input=terms())
        assert forbidden["extensions"]["code"] == "FORBIDDEN"

        [change] = officer.data(SET_STATE, input=halt)["changes"]
        assert (change["before"], change["state"]) == ("ACTIVE", "HALTED")
        refused = trader.place(**terms())
        assert (refused["ordStatus"], refused["rejectedBy"]) == ("REJECTED", "GATEWAY")
        replaced = trader.replace(fresh("replace"), order["clOrdId"], orderQty="11")
        assert replaced["__typename"] == "OrderCancelReject"
        trader.cancel(fresh("cancel"), order["clOrdId"])
        assert trader.finished(order["id"])["ordStatus"] == "CANCELED"

        loosen = halt | {"state": "ACTIVE", "reason": "the drill is over"}
        asked = officer.data(SET_STATE, input=loosen)
        assert asked["__typename"] == "ApprovalRequired"
        assert trader.account()["tradingState"] == "HALTED"
        own = officer.error(APPROVE, requestId=asked["request"]["id"])
        assert own["extensions"]["code"] == "FORBIDDEN"
        assert trader.account()["tradingState"] == "HALTED"

        [change] = second.data(APPROVE, requestId=asked["request"]["id"])["changes"]
        assert (change["state"], change["approvedBy"]) == ("ACTIVE", "risk_officer_2")
        assert change["changedBy"] == "risk_officer"
        again = second.error(APPROVE, requestId=asked["request"]["id"])
        assert again["extensions"]["code"] == "NOT_FOUND"
    assert trader.finished(trader.placed(**terms())["id"])["ordStatus"] == "FILLED"


def test_an_account_that_only_reduces_takes_what_closes(gateway: Running, trader: Client) -> None:
    trader.finished(trader.placed(**terms(GOODS.second, orderQty=5))["id"])
    state = {"scope": {"accountId": "equity"}, "state": "REDUCING", "reason": "a drill"}
    with (
        Client(gateway.url, minted(gateway.data, "risk_officer")) as officer,
        Client(gateway.url, minted(gateway.data, "operator")) as operator,
    ):
        assert officer.data(SET_STATE, input=state)["__typename"] == "TradingStateSet"
        assert trader.place(**terms(GOODS.second, orderQty=1))["ordStatus"] == "REJECTED"
        sale = trader.placed(**terms(GOODS.second, side="SELL", orderQty=5))
        assert trader.finished(sale["id"])["ordStatus"] == "FILLED"
        asked = officer.data(SET_STATE, input=state | {"state": "ACTIVE"})
        assert operator.data(APPROVE, requestId=asked["request"]["id"])["__typename"] == (
            "TradingStateSet"
        )
    assert trader.account()["tradingState"] == "ACTIVE"


# --- streams ---


def test_a_stream_from_the_first_report_goes_on_live(trader: Client) -> None:
    past = trader.reports()
    with trader.subscribe(FOLLOW, accountId="equity", afterSeq="0") as reports:
        seen = [next(reports)["seq"] for _ in past]
        order = trader.finished(trader.placed(**terms())["id"])
        until = int(order["lastSeq"])
        seen += [next(reports)["seq"] for _ in range(len(past), until)]
    assert [int(seq) for seq in seen] == list(range(1, until + 1))


def test_a_stream_resumes_where_it_broke_without_a_gap_or_a_repeat(trader: Client) -> None:
    start = int(trader.account()["lastSeq"])
    with trader.subscribe(FOLLOW, accountId="equity", afterSeq=str(start)) as reports:
        trader.finished(trader.placed(**terms())["id"])
        first = [int(report["seq"]) for report in islice(reports, 2)]
    last = trader.finished(trader.placed(**terms())["id"])
    with trader.subscribe(FOLLOW, accountId="equity", afterSeq=str(first[-1])) as reports:
        end = int(last["lastSeq"])
        rest = [int(report["seq"]) for report in islice(reports, end - first[-1])]
    assert first + rest == list(range(start + 1, end + 1))


def test_fills_arrive_for_one_who_only_watches(gateway: Running, trader: Client) -> None:
    with (
        Client(gateway.url, minted(gateway.data, "viewer")) as viewer,
        viewer.subscribe(FILLS, accountId="equity", afterSeq=trader.account()["lastSeq"]) as fills,
    ):
        order = trader.finished(trader.placed(**terms())["id"])
        arrived = [next(fills) for _ in order["fills"]]
    assert [fill["execId"] for fill in arrived] == [fill["execId"] for fill in order["fills"]]
    assert {fill["clOrdId"] for fill in arrived} == {order["clOrdId"]}
    assert arrived[-1]["leavesQty"] == "0"


def test_a_cursor_beyond_the_log_is_refused(trader: Client) -> None:
    with trader.socket() as socket:
        assert received(socket) == {"type": "connection_ack"}
        variables = {"accountId": "equity", "afterSeq": "999999"}
        payload = {"query": FOLLOW, "variables": variables}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        message = received(socket)
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "CURSOR_AHEAD"


def test_positions_accounts_quotes_and_states_can_be_followed(
    gateway: Running, trader: Client
) -> None:
    positions = 'subscription { positions(accountId: "equity") { symbol netQty } }'
    account = 'subscription { account(accountId: "equity") { lastSeq openOrders } }'
    both = json.dumps([GOODS.first, GOODS.second])
    quotes = f"subscription {{ quotes(symbols: {both}) {{ symbol bid ask }} }}"
    states = "subscription { tradingState { accountId state } }"
    with (
        trader.subscribe(positions) as held,
        trader.subscribe(account) as accounts,
        trader.subscribe(quotes) as prices,
        trader.subscribe(states) as changes,
        Client(gateway.url, minted(gateway.data, "risk_officer")) as officer,
        Client(gateway.url, minted(gateway.data, "operator")) as operator,
    ):
        assert {next(prices)["symbol"] for _ in range(8)} == {
            GOODS.named(GOODS.first),
            GOODS.named(GOODS.second),
        }
        order = trader.finished(trader.placed(**terms(orderQty=3))["id"])
        net = {p["symbol"]: p["netQty"] for p in trader.account()["positions"]}[
            GOODS.named(GOODS.first)
        ]
        wanted = {"symbol": GOODS.named(GOODS.first), "netQty": net}
        assert next(position for position in held if position == wanted)
        assert next(each for each in accounts if int(each["lastSeq"]) >= int(order["lastSeq"]))

        halt = {"scope": {"accountId": "futures"}, "state": "HALTED", "reason": "a drill"}
        officer.data(SET_STATE, input=halt)
        assert next(changes) == {"accountId": "futures", "state": "HALTED"}
        asked = officer.data(SET_STATE, input=halt | {"state": "ACTIVE"})
        operator.data(APPROVE, requestId=asked["request"]["id"])
        assert next(changes) == {"accountId": "futures", "state": "ACTIVE"}


# --- replayed quotes ---


@pytest.mark.slow
def test_a_replay_fills_at_the_prices_then_in_the_file(tmp_path: Path) -> None:
    at = [MONDAY + timedelta(milliseconds=n) for n in range(3)]
    quotes = recorded(
        tmp_path / "quotes.csv",
        [
            (at[0], "ESH6", "6000.00,10,6000.25,10"),
            (at[1], "AAPL", "230.00,100,230.02,100"),
            (at[2], "ESH6", "6010.00,3,6010.25,4"),
        ],
    )
    with (
        running(tmp_path / "data", "--quotes", quotes, "--speed", "max") as gateway,
        Client(gateway.url, minted(gateway.data)) as trader,
    ):
        eventually(
            lambda: trader.data(QUOTES, symbols=["ESH6"]),
            lambda found: bool(found) and found[0]["bid"] == "6010",
        )
        time = trader.data("{ gateway { marketTime } }")["marketTime"]
        assert time == "2026-01-05T15:00:00.002Z"
        buy = terms("ESH6", accountId="futures", orderQty=6, ordType="LIMIT", price="6010.25")
        order = trader.placed(**buy)
        # Four were offered, and the recording ends: the rest waits.
        partly = trader.until(order["id"], lambda o: o["cumQty"] == "4")
        assert (partly["avgPx"], partly["leavesQty"]) == ("6010.25", "2")
