"""Decisions: what they keep, and that they can be judged again."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk import control
from risk.control import Control, Finding
from risk.gate import RiskGate, replay
from tests.risk.cases import clear, codes, held, wanted
from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    ES,
    FUTURE,
    NOW,
    STOCK,
    D,
    account,
    books,
    limits,
    quote,
)
from tests.trading.fakes import CAPABILITIES, ManualClock
from trading.account import TradingState
from trading.decision import Verdict
from trading.instrument import SecurityType
from trading.order import (
    OrdType,
    Side,
)
from trading.reject import OrdRejReason


@given(
    qty=st.decimals(-5, 2000, places=3),
    price=st.none() | st.decimals(-10, 300, places=3),
    stop_px=st.none() | st.decimals(1, 300, places=3),
    side=st.sampled_from(Side),
    ord_type=st.sampled_from(OrdType),
    reduce_only=st.booleans(),
    net=st.integers(-50, 50),
    state=st.sampled_from(TradingState),
    age=st.integers(-10, 9000),
    missing=st.sampled_from([None, "PRICE_COLLAR", "MIN_BUYING_POWER", "REFERENCE_MAX_AGE_MS"]),
    expire_time=st.none() | st.integers(NOW - 5, NOW + 5),
)
def test_a_decision_can_be_replayed_from_its_inputs(
    missing: str | None, net: int, state: TradingState, age: int, qty: Decimal, **terms: Any
) -> None:
    of = held(books(account(trading_state=state)), net)
    of.references[AAPL] = quote(received_at=NOW - age * 1_000_000, bid=D("99.97"))
    if missing:
        of.limits[ACCOUNT] = limits(values={missing: None})
    decision = clear(of, wanted(order_qty=qty, **terms)).decision

    assert replay(decision) == decision
    stored = (value for each in decision.checks for value in each.inputs.values())
    assert all(value is None or type(value) is str for value in stored)


def test_a_changed_input_changes_the_verdict() -> None:
    decision = clear(books(), wanted()).decision
    tampered = replace(
        decision,
        checks=tuple(
            replace(each, inputs={**each.inputs, "order_qty": "9999"})
            if each.name == "MAX_ORDER_QTY"
            else each
            for each in decision.checks
        ),
    )

    assert not replay(tampered).accepted


def test_a_gate_with_a_control_that_has_no_inputs_is_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stranger = Control("STRANGER", OrdRejReason.OTHER, Finding, {})
    monkeypatch.setitem(control.CONTROLS, "STRANGER", stranger)
    with pytest.raises(AssertionError, match="STRANGER"):
        RiskGate({"fake": CAPABILITIES}, ManualClock())


def test_an_expired_instrument_and_a_past_date_are_refused_by_the_markets_clock() -> None:
    expired = replace(STOCK, expiry=NOW)

    assert codes(clear(books(), wanted(), expired).decision) == {"INSTRUMENT_EXPIRED"}
    assert codes(clear(books(), wanted(expire_time=NOW)).decision) == {"EXPIRE_TIME_IN_PAST"}
    assert clear(books(), wanted(expire_time=NOW + 1)).decision.accepted


def test_the_first_refusal_gives_the_reason() -> None:
    refusal = clear(books(), wanted(price=D("100.001"))).decision.refusal

    assert refusal is not None
    assert refusal.verdict is Verdict.REFUSE
    assert refusal.reason is OrdRejReason.INVALID_PRICE_INCREMENT


def test_what_a_broker_does_not_trade_is_refused_whatever_the_type_of_the_order() -> None:
    stocks = replace(CAPABILITIES, security_types=frozenset({SecurityType.COMMON_STOCK}))
    gate = RiskGate({"fake": stocks}, ManualClock())

    assert gate.clear(wanted(), STOCK, books(), NOW).approved is not None
    refused = gate.clear(wanted(symbol=ES, price=D(4000)), FUTURE, books(), NOW)
    assert refused.approved is None
    assert "UNSUPPORTED_BY_BROKER" in codes(refused.decision)
