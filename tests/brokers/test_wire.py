"""The protocol's messages survive the wire, and nothing else gets through it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.paper import wire
from brokers.paper.codec import REQUESTS, made, tagged, values
from brokers.paper.messages import Cancel, CancelReject, NewOrder, Replace, Report
from brokers.paper.stream import Delivery
from brokers.paper.wire import ProtocolError
from tests.brokers.world import LISTED
from trading.execution import ExecType
from trading.ids import InstrumentID, WireID
from trading.instrument import Instrument
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.ports import (
    BrokerError,
    BrokerOrder,
    InDoubt,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from trading.quote import Quote
from trading.reject import CxlRejReason, OrdRejReason

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
instant = st.integers(0, 2**62)
qty = st.decimals(0, 10**15 - 1, places=12).map(lambda number: number.normalize() + Decimal(0))
px = st.decimals(-(10**9), 10**9, places=6)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
optional = {name: st.none() | px for name in ("price", "stop_px")}
requests = st.one_of(
    st.builds(
        NewOrder,
        wire_id=text,
        account_id=text,
        symbol=text,
        side=st.sampled_from(Side),
        ord_type=st.sampled_from(OrdType),
        time_in_force=st.sampled_from(TimeInForce),
        order_qty=qty,
        expire_time=st.none() | instant,
        **optional,
    ),
    st.builds(Replace, wire_id=text, orig_wire_id=text, order_qty=qty, **optional),
    st.builds(Cancel, wire_id=text, orig_wire_id=text),
)
reports = st.builds(
    Report,
    number=instant,
    wire_id=text,
    exec_type=st.sampled_from(ExecType),
    transact_time=instant,
    order_id=text,
    request_wire_id=st.none() | text,
    exec_id=st.none() | text,
    exec_ref_id=st.none() | text,
    contra_exec_id=st.none() | text,
    last_qty=qty,
    last_px=px,
    order_qty=st.none() | qty,
    expire_time=st.none() | instant,
    ord_rej_reason=st.none() | st.sampled_from(OrdRejReason),
    text=st.none() | text,
    **optional,
)
events = reports | st.builds(
    CancelReject,
    number=instant,
    wire_id=text,
    request_wire_id=text,
    cxl_rej_reason=st.sampled_from(CxlRejReason),
    transact_time=instant,
    text=text,
)
quotes = st.builds(
    Quote,
    symbol=text,
    bid=st.none() | px,
    bid_size=st.none() | st.decimals("1e-25", 10**9, places=25),
    ask=st.none() | px,
    ask_size=st.none() | qty,
    last=st.none() | px,
    last_size=st.none() | qty,
    time=instant,
    received_at=instant,
    source=text,
    delayed=st.booleans(),
)
orders = st.builds(
    BrokerOrder,
    wire_id=text,
    secondary_order_id=text,
    status=st.sampled_from(OrdStatus),
    order_qty=qty,
    cum_qty=qty,
    avg_px=st.none() | px,
    symbol=text,
    side=st.sampled_from(Side),
    last_request_wire_id=st.none() | text,
    **optional,
)


def sent(message: wire.Message) -> Any:
    """Take a message over the wire: one line, and no other end of line in it."""
    line = wire.encode(message)
    assert line.count(b"\n") == 1
    return wire.decode(line.removesuffix(b"\n"))


@given(requests)
def test_a_request_arrives_as_it_was(request: Any) -> None:
    ((kind, body),) = sent(wire.encode_request(request)).items()

    assert wire.decode_request(kind, body) == request


@given(events, instant)
def test_an_event_arrives_as_it_was(event: Any, cursor: int) -> None:
    message = sent(wire.encode_delivery(Delivery(event, cursor, is_readable=True)))

    assert wire.decode_event(message["event"]) == event
    assert message["cursor"] == cursor


@given(events)
def test_of_an_event_that_makes_no_sense_its_order_is_known(event: Any) -> None:
    message = sent(wire.encode_delivery(Delivery(event, 1, is_readable=False)))

    assert wire.decode_event(message["event"]) == (event.number, event.wire_id)


@given(quotes, st.integers(0, 10**12), st.integers(-(10**12), 10**12))
def test_a_quote_arrives_as_old_as_it_was(shown: Quote, age: int, skew: int) -> None:
    now = shown.received_at + age

    arrived = wire.decode_quote(sent(wire.encode_quote(shown, now)), now + skew)

    assert arrived.received_at == shown.received_at + skew
    assert values(arrived) | {"received_at": 0} == values(shown) | {"received_at": 0}


@given(st.lists(orders, max_size=3))
def test_orders_arrive_as_they_were(shown: list[BrokerOrder]) -> None:
    answer = sent({"all": wire.encode_items("orders", shown)})

    assert wire.decode_items(BrokerOrder, answer["all"]) == shown


def test_instruments_and_positions_arrive_as_they_were() -> None:
    instruments = sent({"all": wire.encode_items("instruments", LISTED)})["all"]
    held = [("a", "ABC@XNAS", Decimal("-1.5"))]

    assert tuple(wire.decode_items(Instrument, instruments)) == LISTED
    assert wire.decode_positions(sent({"all": wire.encode_items("positions", held)})["all"]) == held


@pytest.mark.parametrize(
    "error",
    [
        Rejected("no"),
        Unauthorized("no"),
        Unavailable("no"),
        InDoubt("?"),
        RateLimited("wait", 0.25),
    ],
)
def test_an_error_arrives_as_it_was(error: BrokerError) -> None:
    arrived = wire.decode_error(sent(wire.encode_error(error)))

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert getattr(arrived, "retry_after_s", None) == getattr(error, "retry_after_s", None)


@given(json)
def test_an_error_that_cannot_be_read_leaves_a_doubt(given: Any) -> None:
    assert isinstance(wire.decode_error(given), InDoubt)


@given(st.binary(max_size=40))
def test_any_line_is_a_message_or_a_breach(line: bytes) -> None:
    try:
        message = wire.decode(line)
    except ProtocolError:
        return
    assert isinstance(message, dict)


@given(st.sampled_from([*REQUESTS, "explode"]), json)
def test_whatever_a_request_holds_it_is_read_or_rejected(kind: str, body: Any) -> None:
    with pytest.raises(Rejected):
        wire.decode_request(kind, body)


@given(requests, st.data())
def test_a_request_with_one_wrong_field_is_rejected(request: Any, data: st.DataObject) -> None:
    ((kind, body),) = tagged(request).items()
    name = data.draw(st.sampled_from(sorted(body)))
    wrong = data.draw(st.none() | st.booleans() | st.floats() | st.lists(st.text()) | st.just(""))

    with pytest.raises(Rejected):
        wire.decode_request(kind, body | {name: wrong})


@given(json)
def test_what_the_exchange_says_is_understood_or_a_breach(given: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_event(given)
    with pytest.raises(ProtocolError):
        wire.decode_quote(given, 0)


def test_a_page_of_the_longest_ids_fits_in_a_line() -> None:
    longest = "\0" * wire.ID_MAX
    order = BrokerOrder(
        wire_id=WireID(longest),
        secondary_order_id=made(BrokerOrder, SAMPLE).secondary_order_id,
        status=OrdStatus.PARTIALLY_FILLED,
        order_qty=Decimal("999999999999999.999999999999"),
        price=Decimal("-999999999999999.999999999999"),
        stop_px=Decimal("-999999999999999.999999999999"),
        cum_qty=Decimal("999999999999999.999999999999"),
        avg_px=Decimal("-999999999999999.9999999999"),
        symbol=InstrumentID(longest),
        side=Side.SELL,
        last_request_wire_id=WireID(longest),
    )
    page = {"id": 2**63, "part": wire.encode_items("orders", [order] * wire.PAGE)}
    question = {"id": 2**63, "orders": {"accounts": [longest] * wire.ACCOUNTS_MAX}}

    assert len(wire.encode(page)) <= wire.LINE_MAX
    assert len(wire.encode(question)) <= wire.LINE_MAX


SAMPLE = {
    "wire_id": "a",
    "secondary_order_id": "P1",
    "status": "NEW",
    "order_qty": "1",
    "cum_qty": "0",
    "symbol": "ABC@XNAS",
    "side": "BUY",
}
