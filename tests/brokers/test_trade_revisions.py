"""Trade cancels and corrections at the exchange, on both sides of a trade between orders."""

import pytest

from tests.brokers.world import NOON, exchange_at, new, positions, quote, said, trades
from trading.ids import AccountID, ExecID, WireID
from trading.order import OrdStatus, Side
from trading.quantity import ZERO

BUY, SELL = Side.BUY, Side.SELL


def test_a_bust_puts_the_quantity_back_to_work_while_the_order_works() -> None:
    exchange = exchange_at(99, 5, 100, 3)
    (trade,) = trades(exchange.handle(new("a", BUY, 5, 100), NOON))
    assert trade.exec_id is not None

    assert said(exchange.bust(trade.exec_id, NOON)) == ["a TRADE_CANCEL 3@100"]
    assert said(exchange.quote(quote(99, 5, 100, 9))) == ["a TRADE 5@100"]
    with pytest.raises(LookupError, match="no trade"):
        exchange.bust(trade.exec_id, NOON)


def test_a_bust_never_reopens_a_finished_order() -> None:
    exchange = exchange_at(99, 5, 100, 5)
    (trade,) = trades(exchange.handle(new("a", BUY, 5, 100), NOON))
    assert trade.exec_id is not None

    exchange.bust(trade.exec_id, NOON)

    order = exchange.find(WireID("a"))
    assert order is not None
    assert (order.status, order.cum_qty, order.leaves_qty) == (OrdStatus.CANCELED, ZERO, ZERO)
    assert said(exchange.quote(quote(99, 5, 100, 9))) == []
    assert positions(exchange, "a") == {}


def test_a_bust_undoes_both_sides_of_a_trade_between_orders() -> None:
    exchange = exchange_at(90, 5, 110, 5)
    exchange.handle(new("m", SELL, 2, 100, account="m"), NOON)
    taker, _ = trades(exchange.handle(new("t", BUY, 2, 100), NOON))
    assert taker.exec_id is not None

    assert said(exchange.bust(taker.exec_id, NOON)) == [
        "t TRADE_CANCEL 2@100",
        "m TRADE_CANCEL 2@100",
    ]
    assert positions(exchange, "a", "m") == {}


def test_a_correction_replaces_a_trade_and_can_itself_be_canceled() -> None:
    exchange = exchange_at(90, 5, 110, 5)
    exchange.handle(new("m", SELL, 4, 100, account="m"), NOON)
    taker, maker = trades(exchange.handle(new("t", BUY, 3, 100), NOON))
    assert taker.exec_id is not None
    one, price = taker.last_qty / 3, taker.last_px - 1

    entry = exchange.correct(taker.exec_id, one, price, NOON)

    assert said(entry) == ["t TRADE_CORRECT 1@99", "m TRADE_CORRECT 1@99"]
    assert entry is not None
    ours, theirs = (getattr(event, "exec_id", None) for event in entry.events)
    assert [getattr(event, "exec_ref_id", None) for event in entry.events] == [
        taker.exec_id,
        maker.exec_id,
    ]
    assert positions(exchange, "a") == {"a ABC@XNAS": 1}
    assert said(exchange.bust(ExecID(str(theirs)), NOON)) == [
        "m TRADE_CANCEL 1@99",
        "t TRADE_CANCEL 1@99",
    ]
    assert exchange.execution(ExecID(str(ours))) is None


def test_a_correction_must_fit_the_order() -> None:
    exchange = exchange_at(99, 5, 100, 3)
    (trade,) = trades(exchange.handle(new("a", BUY, 5, 100), NOON))
    assert trade.exec_id is not None

    with pytest.raises(ValueError, match="more than the order"):
        exchange.correct(trade.exec_id, trade.last_qty * 2, trade.last_px, NOON)
    with pytest.raises(ValueError, match="multiple of the lot"):
        exchange.correct(trade.exec_id, trade.last_qty / 2, trade.last_px, NOON)
    assert said(exchange.correct(trade.exec_id, trade.last_qty + 2, trade.last_px, NOON)) == [
        "a TRADE_CORRECT 5@100"
    ]
    assert exchange.open_orders([AccountID("a")]) == []
