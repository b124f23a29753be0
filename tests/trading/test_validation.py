"""What is wrong by the input alone is named by its path, all of it at once."""

from typing import Any

import pytest

from tests.trading.builders import ACCOUNT, NOW, D, amend, cancel, place
from trading.account import TradingState
from trading.command import CancelAllOrders, OrderCommand, OrderTarget, SetTradingState, body_hash
from trading.ids import CL_ORD_ID_MAX, ClOrdID, OrderID, base62
from trading.order import OrdType, TimeInForce
from trading.validation import input_errors, state_errors

NO_PRICE: dict[str, Any] = {"ord_type": OrdType.MARKET, "price": None}
STOP: dict[str, Any] = {"ord_type": OrdType.STOP, "price": None}
DATED: dict[str, Any] = {"time_in_force": TimeInForce.GOOD_TILL_DATE}


def found(command: OrderCommand) -> list[tuple[str, str]]:
    return [(each.path[-1], each.code) for each in input_errors(command)]


@pytest.mark.parametrize(
    "command",
    [
        place(),
        place("x" * CL_ORD_ID_MAX),
        place(**NO_PRICE),
        place(**STOP, stop_px=D(1)),
        place(ord_type=OrdType.STOP_LIMIT, stop_px=D(-1), price=D(-1)),
        place(**DATED, expire_time=NOW),
        place(strategy_id="s"),
        amend(),
        amend(order_qty=None, price=D(1)),
        cancel(),
        cancel(target=OrderTarget(order_id=OrderID("o"))),
        CancelAllOrders(account_id=ACCOUNT, cl_ord_id=ClOrdID("m")),
    ],
)
def test_a_sound_command_has_no_errors(command: OrderCommand) -> None:
    assert input_errors(command) == ()


@pytest.mark.parametrize(
    ("command", "errors"),
    [
        (place(""), [("clOrdId", "REQUIRED")]),
        (place("x" * (CL_ORD_ID_MAX + 1)), [("clOrdId", "TOO_LONG")]),
        (place("x\n"), [("clOrdId", "MALFORMED")]),
        (place(" x"), [("clOrdId", "MALFORMED")]),
        (place("\N{GREEK SMALL LETTER PI}"), [("clOrdId", "MALFORMED")]),
        (place(symbol=""), [("symbol", "REQUIRED")]),
        (place(order_qty=D(0)), [("orderQty", "NOT_POSITIVE")]),
        (place(order_qty=D(-1)), [("orderQty", "NOT_POSITIVE")]),
        (place(price=None), [("price", "REQUIRED")]),
        (place(ord_type=OrdType.MARKET), [("price", "NOT_ALLOWED")]),
        (place(stop_px=D(1)), [("stopPx", "NOT_ALLOWED")]),
        (place(**STOP), [("stopPx", "REQUIRED")]),
        (place(**DATED), [("expireTime", "REQUIRED")]),
        (place(expire_time=NOW), [("expireTime", "NOT_ALLOWED")]),
        (place(strategy_id=""), [("strategyId", "REQUIRED")]),
        (place("", price=None), [("clOrdId", "REQUIRED"), ("price", "REQUIRED")]),
        (amend(order_qty=None), [("orderQty", "REQUIRED")]),
        (amend(order_qty=D(0)), [("orderQty", "NOT_POSITIVE")]),
        (cancel(target=OrderTarget()), [("target", "REQUIRED")]),
        (
            cancel(target=OrderTarget(orig_cl_ord_id=ClOrdID("x"), order_id=OrderID("o"))),
            [("target", "REQUIRED")],
        ),
        (
            cancel(target=OrderTarget(orig_cl_ord_id=ClOrdID("\ud800"))),
            [("origClOrdId", "MALFORMED")],
        ),
        (cancel(target=OrderTarget(order_id=OrderID("o\0"))), [("orderId", "MALFORMED")]),
        (
            CancelAllOrders(account_id=ACCOUNT, cl_ord_id=ClOrdID("m"), symbol=""),
            [("symbol", "REQUIRED")],
        ),
    ],
)
def test_each_error_is_found_at_its_place(
    command: OrderCommand, errors: list[tuple[str, str]]
) -> None:
    assert found(command) == errors


def test_the_id_of_a_target_is_named_with_its_whole_path() -> None:
    [error] = input_errors(cancel(target=OrderTarget(order_id=OrderID("\ud800"))))

    assert error.path == ("input", "target", "orderId")


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (" ", "REQUIRED"),
        ("x" * 501, "TOO_LONG"),
        ("half of \ud83d", "MALFORMED"),
        ("ends\0here", "MALFORMED"),
    ],
)
def test_a_change_of_state_needs_a_reason(reason: str, code: str) -> None:
    command = SetTradingState(state=TradingState.HALTED, reason=reason)

    assert [each.code for each in state_errors(command)] == [code]


def test_a_reason_may_have_lines_and_any_script() -> None:
    reason = "Größe\n\t\N{IDEOGRAPHIC SPACE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}"

    assert state_errors(SetTradingState(state=TradingState.HALTED, reason=reason)) == ()


def test_a_body_is_compared_as_parsed() -> None:
    assert body_hash(place(price=D("1.50"))) == body_hash(place(price=D("1.5")))
    assert body_hash(place(price=D("1.51"))) != body_hash(place(price=D("1.5")))


@pytest.mark.parametrize(
    "other",
    [
        cancel(of="p2"),
        cancel(target=OrderTarget(order_id=OrderID("p1"))),
        CancelAllOrders(account_id=ACCOUNT, cl_ord_id=ClOrdID("c1")),
    ],
)
def test_bodies_of_other_kinds_and_targets_differ(other: OrderCommand) -> None:
    assert body_hash(cancel()) != body_hash(other)


def test_ids_keep_their_order_in_their_encoding() -> None:
    numbers = [0, 1, 9, 10, 35, 36, 61, 62, 63, 1 << 64, (1 << 128) - 1]
    encoded = [base62(each) for each in numbers]

    assert encoded == sorted(set(encoded))
    assert {len(each) for each in encoded} == {22}
    for beyond in (-1, 1 << 128):
        with pytest.raises(ValueError, match="128 bits"):
            base62(beyond)
