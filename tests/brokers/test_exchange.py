"""The exchange by example: who trades with whom, at what price, and what is refused."""

import pytest

from brokers.paper.exchange import DuplicateWireID, Exchange
from tests.brokers.world import (
    FUT,
    NOON,
    SECOND,
    cancel,
    catalogue,
    exchange_at,
    new,
    positions,
    quote,
    replace,
    said,
    trades,
)
from trading.ids import AccountID, InstrumentID, WireID
from trading.order import OrdStatus, Side, TimeInForce

BUY, SELL = Side.BUY, Side.SELL
DAY = TimeInForce.DAY
IOC = TimeInForce.IMMEDIATE_OR_CANCEL
FOK = TimeInForce.FILL_OR_KILL
GTD = TimeInForce.GOOD_TILL_DATE


def test_an_aggressor_trades_at_the_quote_and_rests_with_what_is_left() -> None:
    exchange = exchange_at(99, 5, 100, 3)

    assert said(exchange.handle(new("a", BUY, 10, 101), NOON)) == ["a NEW", "a TRADE 3@100"]
    assert said(exchange.quote(quote(99, 5, 100.5, 2))) == ["a TRADE 2@101"]
    assert said(exchange.quote(quote(99, 5, 101.5, 9))) == []


def test_displayed_size_stays_used_until_the_next_quote() -> None:
    exchange = exchange_at(99, 5, 100, 3)

    assert said(exchange.handle(new("a", BUY, 2, 100), NOON)) == ["a NEW", "a TRADE 2@100"]
    assert said(exchange.handle(new("b", BUY, 2, 100), NOON)) == ["b NEW", "b TRADE 1@100"]
    assert said(exchange.handle(new("c", BUY, 1, 100), NOON)) == ["c NEW"]
    assert said(exchange.quote(quote(99, 5, 100, 9))) == ["b TRADE 1@100", "c TRADE 1@100"]


def test_an_empty_size_fills_any_quantity() -> None:
    exchange = exchange_at(99, None, 100, None)

    assert said(exchange.handle(new("a", BUY, 10**6), NOON))[1:] == ["a TRADE 1000000@100"]
    assert said(exchange.handle(new("b", SELL, 10**6), NOON))[1:] == ["b TRADE 1000000@99"]


def test_a_size_that_is_no_whole_lot_trades_in_lots() -> None:
    exchange = exchange_at(99, 5, 100, "27.5", symbol=FUT)

    assert said(exchange.handle(new("a", BUY, 30, 100, symbol=FUT), NOON)) == [
        "a NEW",
        "a TRADE 20@100",
    ]


def test_orders_match_one_another_at_the_makers_price_by_price_then_time() -> None:
    exchange = exchange_at(90, 5, 110, 5)
    for wire_id, price in (("late", 101), ("best", 100), ("later", 101)):
        exchange.handle(new(wire_id, SELL, 2, price, account="m"), NOON)

    entry = exchange.handle(new("t", BUY, 5, 105), NOON)

    assert said(entry) == [
        "t NEW",
        "t TRADE 2@100",
        "best TRADE 2@100",
        "t TRADE 2@101",
        "late TRADE 2@101",
        "t TRADE 1@101",
        "later TRADE 1@101",
    ]
    assert positions(exchange, "a", "m") == {"a ABC@XNAS": 5, "m ABC@XNAS": -5}


def test_at_one_price_the_quote_stands_before_orders_and_a_better_order_before_the_quote() -> None:
    exchange = exchange_at(99, 5, 100, 1)
    exchange.handle(new("x", SELL, 1, 100), NOON)
    exchange.handle(new("y", SELL, 1, 99.5), NOON)

    assert said(exchange.handle(new("t", BUY, 3, 100), NOON)) == [
        "t NEW",
        "t TRADE 1@99.5",
        "y TRADE 1@99.5",
        "t TRADE 1@100",
        "t TRADE 1@100",
        "x TRADE 1@100",
    ]


def test_a_market_order_goes_on_at_the_next_quotes() -> None:
    exchange = exchange_at(99, 5, 100, 3)

    assert said(exchange.handle(new("a", BUY, 10), NOON)) == ["a NEW", "a TRADE 3@100"]
    assert said(exchange.quote(quote(99, 5, 120, 4))) == ["a TRADE 4@120"]
    assert said(exchange.quote(quote(99, 5, None, None))) == []
    assert said(exchange.handle(new("b", SELL, 1, 130), NOON)) == [
        "b NEW",
        "a TRADE 1@130",
        "b TRADE 1@130",
    ]
    assert said(exchange.quote(quote(99, 5, 101, 4))) == ["a TRADE 2@101"]


def test_a_market_order_without_a_market_is_refused() -> None:
    exchange = Exchange(catalogue())

    assert said(exchange.handle(new("a", BUY, 1), NOON)) == [
        "a REJECTED REFERENCE_PRICE_NOT_AVAILABLE"
    ]
    exchange.quote(quote(99, 5, None, None))
    assert said(exchange.handle(new("b", BUY, 1), NOON)) == [
        "b REJECTED REFERENCE_PRICE_NOT_AVAILABLE"
    ]
    assert said(exchange.handle(new("c", SELL, 1), NOON)) == ["c NEW", "c TRADE 1@99"]


def test_immediate_or_cancel_cancels_what_is_left() -> None:
    exchange = exchange_at(99, 5, 100, 3)

    assert said(exchange.handle(new("a", BUY, 10, 100, tif=IOC), NOON)) == [
        "a NEW",
        "a TRADE 3@100",
        "a CANCELED",
    ]


def test_fill_or_kill_fills_all_or_nothing() -> None:
    exchange = exchange_at(99, 5, 100, 3)
    exchange.handle(new("m", SELL, 2, 100.5), NOON)

    assert said(exchange.handle(new("a", BUY, 6, 101, tif=FOK), NOON)) == ["a NEW", "a CANCELED"]
    assert said(exchange.handle(new("b", BUY, 5, 100, tif=FOK), NOON)) == ["b NEW", "b CANCELED"]
    assert said(exchange.handle(new("c", BUY, 5, 101, tif=FOK), NOON)) == [
        "c NEW",
        "c TRADE 3@100",
        "c TRADE 2@100.5",
        "m TRADE 2@100.5",
    ]


def test_stops_trigger_when_the_quote_reaches_them() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    triggered = "TRIGGERED_OR_ACTIVATED_BY_SYSTEM"

    assert said(exchange.handle(new("up", BUY, 2, stop=102), NOON)) == ["up NEW"]
    assert said(exchange.handle(new("down", SELL, 2, 97.5, stop=97), NOON)) == ["down NEW"]
    assert said(exchange.quote(quote(101, 5, 101.5, 5))) == []
    assert said(exchange.quote(quote(101, 5, 102, 5))) == [f"up {triggered}", "up TRADE 2@102"]
    assert said(exchange.quote(quote(97, 5, 98, 5))) == [f"down {triggered}"]
    assert said(exchange.quote(quote(98, 5, 98.5, 5))) == ["down TRADE 2@97.5"]


def test_a_stop_that_is_reached_already_triggers_at_once() -> None:
    exchange = exchange_at(99, 5, 100, 5)

    assert said(exchange.handle(new("a", BUY, 2, stop=100), NOON)) == [
        "a NEW",
        "a TRIGGERED_OR_ACTIVATED_BY_SYSTEM",
        "a TRADE 2@100",
    ]


def test_a_day_order_ends_with_the_session_and_a_dated_one_at_its_time() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    soon = NOON + 60 * SECOND
    exchange.handle(new("day", BUY, 1, 98, tif=DAY), NOON)
    exchange.handle(new("gtd", BUY, 1, 98, tif=GTD, expire_time=soon), NOON)
    exchange.handle(new("gtc", BUY, 1, 98), NOON)

    assert said(exchange.advance(soon - 1)) == []
    assert said(exchange.advance(soon)) == ["gtd EXPIRED"]
    nine_pm = NOON + 9 * 3600 * SECOND
    assert said(exchange.advance(nine_pm - 1)) == []
    entry = exchange.quote(quote(97, 5, 98, 5, at=nine_pm))
    assert said(entry) == ["day EXPIRED", "gtc TRADE 1@98"]
    assert entry is not None
    assert entry.events[0].transact_time == nine_pm


def test_nothing_outlives_its_instrument() -> None:
    exchange = exchange_at(99, 50, 100, 50, symbol=FUT)
    exchange.handle(new("gtc", BUY, 10, 98, symbol=FUT), NOON)
    expiry = NOON + 3600 * SECOND

    assert said(exchange.advance(expiry)) == ["gtc EXPIRED"]
    assert said(exchange.handle(new("b", BUY, 10, 98, symbol=FUT), expiry)) == [
        "b REJECTED EXCHANGE_CLOSED"
    ]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (new("a", BUY, 1, 100, symbol=InstrumentID("NO@XNAS")), "UNKNOWN_SYMBOL"),
        (new("a", BUY, 1, "100.3"), "INVALID_PRICE_INCREMENT"),
        (new("a", BUY, 1, stop="100.3"), "INVALID_PRICE_INCREMENT"),
        (new("a", BUY, "1.5", 100), "INCORRECT_QUANTITY"),
        (new("a", BUY, 0, 100), "INCORRECT_QUANTITY"),
        (new("a", BUY, -1, 100), "INCORRECT_QUANTITY"),
        (new("a", BUY, 5, 100, symbol=FUT), "INCORRECT_QUANTITY"),
        (new("a", BUY, 1, 100, tif=GTD), "UNSUPPORTED_ORDER_CHARACTERISTIC"),
        (new("a", BUY, 1, 100, expire_time=NOON + 1), "UNSUPPORTED_ORDER_CHARACTERISTIC"),
        (new("a", BUY, 1, 100, tif=GTD, expire_time=NOON), "UNSUPPORTED_ORDER_CHARACTERISTIC"),
    ],
)
def test_what_the_exchange_cannot_take_is_rejected(request_: object, reason: str) -> None:
    exchange = exchange_at(99, 5, 100, 5)

    assert said(exchange.handle(request_, NOON)) == [f"a REJECTED {reason}"]  # type: ignore[arg-type]
    assert exchange.open_orders([AccountID("a")]) == []


def test_a_cancel_ends_an_order_and_comes_too_late_after_that() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    exchange.handle(new("a", BUY, 1, 98), NOON)

    assert said(exchange.handle(cancel("c1", "a"), NOON)) == ["a CANCELED"]
    assert said(exchange.handle(cancel("c2", "a"), NOON)) == ["a CANCEL_REJECT TOO_LATE_TO_CANCEL"]
    assert said(exchange.handle(cancel("c3", "z"), NOON)) == ["z CANCEL_REJECT UNKNOWN_ORDER"]
    assert said(exchange.quote(quote(90, 5, 91, 5))) == []
    order = exchange.find(WireID("a"))
    assert order is not None
    assert (order.status, order.last_request) == (OrdStatus.CANCELED, "c1")


def test_a_replace_keeps_its_place_only_for_less_at_the_same_price() -> None:
    def first_filled(*terms: object) -> str:
        exchange = exchange_at(99, 5, 100, 5)
        exchange.handle(new("a", BUY, 3, 98), NOON)
        exchange.handle(new("b", BUY, 3, 98), NOON)
        assert said(exchange.handle(replace("r", "a", *terms), NOON)) == ["a REPLACED"]
        return said(exchange.quote(quote(97, 5, 98, 1)))[0]

    assert first_filled(2, 98) == "a TRADE 1@98"
    assert first_filled(4, 98) == "b TRADE 1@98"
    assert first_filled(3, 98.5) == "a TRADE 1@98.5"
    assert first_filled(2, 97.5) == "b TRADE 1@98"


def test_a_replace_can_trade_at_once_and_be_found_by_any_id_of_the_chain() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    exchange.handle(new("a", BUY, 3, 98), NOON)
    exchange.handle(replace("r1", "a", 4, 98), NOON)

    assert said(exchange.handle(replace("r2", "r1", 4, 101), NOON)) == [
        "a REPLACED",
        "a TRADE 4@100",
    ]
    assert exchange.find(WireID("r2")) is exchange.find(WireID("a"))


def test_a_replaced_stop_waits_for_its_new_price() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    exchange.handle(new("a", BUY, 3, stop=105), NOON)

    assert said(exchange.handle(replace("r1", "a", 3, stop=110), NOON)) == ["a REPLACED"]
    assert said(exchange.quote(quote(105, 5, 106, 5))) == []
    assert said(exchange.handle(replace("r2", "a", 3, stop=106), NOON)) == [
        "a REPLACED",
        "a TRIGGERED_OR_ACTIVATED_BY_SYSTEM",
        "a TRADE 3@106",
    ]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ((3, 101), "OTHER"),
        ((2, 101), "OTHER"),
        (("4.5", 101), "OTHER"),
        ((5, None), "OTHER"),
        ((5, 101, 102), "OTHER"),
        ((5, "101.3"), "INVALID_PRICE_INCREMENT"),
    ],
)
def test_a_replace_that_cannot_be_is_refused_and_the_order_lives_on(
    terms: tuple[object, ...], reason: str
) -> None:
    exchange = exchange_at(99, 5, 100, 3)
    exchange.handle(new("a", BUY, 6, 101), NOON)

    entry = exchange.handle(replace("r", "a", *terms), NOON)

    assert said(entry) == [f"a CANCEL_REJECT {reason}"]
    order = exchange.find(WireID("a"))
    assert order is not None
    assert (int(order.leaves_qty), order.last_request) == (3, None)


def test_a_triggered_stop_keeps_its_stop_price() -> None:
    exchange = exchange_at(99, 5, 100, 1)
    exchange.handle(new("a", BUY, 3, 101, stop=100), NOON)

    assert said(exchange.handle(replace("r1", "a", 3, 101, 105), NOON)) == ["a CANCEL_REJECT OTHER"]
    assert said(exchange.handle(replace("r2", "a", 2, 101, 100), NOON)) == ["a REPLACED"]


def test_the_same_request_again_has_one_effect_and_another_body_none() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    first = new("a", BUY, 3, 100)
    assert len(trades(exchange.handle(first, NOON))) == 1

    assert exchange.handle(first, NOON) is None
    with pytest.raises(DuplicateWireID, match="the wire id a was used before"):
        exchange.handle(new("a", BUY, 4, 100), NOON)
    assert positions(exchange, "a") == {"a ABC@XNAS": 3}


def test_a_refused_request_again_is_refused_again() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    exchange.handle(new("a", BUY, 3, 100), NOON)
    late = cancel("c", "a")

    first, again = exchange.handle(late, NOON), exchange.handle(late, NOON)

    assert said(first) == said(again) == ["a CANCEL_REJECT TOO_LATE_TO_CANCEL"]
    assert again is not None
    assert again.request is None
