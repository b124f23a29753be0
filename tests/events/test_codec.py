"""What is written is read back equal, and what is not ours is refused by name."""

from collections.abc import Callable
from dataclasses import fields

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import (
    Message,
    QuoteFrame,
    ReportBatch,
    Reports,
    StateChanges,
    Unreadable,
    decode,
    encode,
)
from tests.events.fakes import AAPL, ONE, OTHER, batch, change, quote, report
from trading.account import TradingState
from trading.control import TradingStateChange
from trading.execution import ExecType, ExecutionReport, OrderCancelReject, Origin, Report
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.quote import Quote
from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy
from trading.scope import ScopeKind

ENUMS = (
    TradingState,
    ExecType,
    Origin,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    RejectedBy,
    OrdRejReason,
    CxlRejReason,
    CxlRejResponseTo,
    ScopeKind,
)
IDS = ("str", "AccountID", "TenantID", "UserID", "OrderID", "ClOrdID", "ExecID", "InstrumentID")
DECIMALS = st.decimals(-(10**15) + 1, 10**15 - 1, places=12, allow_nan=False)

BY_NAME: dict[str, st.SearchStrategy[object]] = {
    "int": st.integers(0, 2**63 - 1),
    "bool": st.booleans(),
    **{each.__name__: st.sampled_from(each) for each in ENUMS},
    **dict.fromkeys((*IDS, "SecondaryOrderID"), st.text(max_size=8)),
    **dict.fromkeys(("Qty", "Px", "Money"), DECIMALS),
}


def members(kind: type) -> st.SearchStrategy[dict[str, object]]:
    """Make the members of a dataclass by the names of their types."""
    chosen = {}
    for field in fields(kind):
        name, _, nullable = str(field.type).partition(" | ")
        strategy = BY_NAME[name]
        chosen[field.name] = st.none() | strategy if nullable else strategy
    return st.fixed_dictionaries(chosen)


def made[T](kind: Callable[..., T], each: dict[str, object], **known: object) -> T:
    return kind(**(each | known))


@st.composite
def batches(draw: st.DrawFn) -> Message:
    first = draw(st.integers(1, 2**62))
    reports: list[Report] = []
    for seq in range(first, first + draw(st.integers(1, 3))):
        if draw(st.booleans()):
            each = draw(members(ExecutionReport))
            reports.append(made(ExecutionReport, each, account_id=ONE, seq=seq))
        else:
            each = draw(members(OrderCancelReject))
            reports.append(made(OrderCancelReject, each, account_id=ONE, seq=seq))
    return batch(*reports)


FRAMES = st.lists(members(Quote), max_size=3).map(
    lambda drawn: QuoteFrame(tuple(made(Quote, each) for each in drawn))
)
CHANGES = st.lists(members(TradingStateChange), max_size=3).map(
    lambda drawn: StateChanges(tuple(made(TradingStateChange, each) for each in drawn))
)


@given(batches() | FRAMES | CHANGES)
def test_what_is_written_is_read_back_equal(message: Message) -> None:
    assert decode(encode(message)) == message
    assert decode(encode(message).decode()) == message


def test_the_form_is_the_documented_one() -> None:
    written = orjson.loads(encode(batch(report(7))))
    assert (written["v"], written["kind"]) == (2, "reports")
    (theirs,) = written["batches"]
    assert theirs["account_id"] == "one"
    (item,) = theirs["reports"]
    assert item["type"] == "ExecutionReport"
    assert (item["seq"], item["price"], item["side"]) == (7, "189.5", "BUY")
    assert item["avg_px"] is None


def test_decimals_are_plain_digits() -> None:
    frame = QuoteFrame((quote(AAPL, "1E+3"),))
    assert orjson.loads(encode(frame))["quotes"][0]["bid"] == "1000"


def test_an_unknown_member_is_ignored() -> None:
    written = orjson.loads(encode(StateChanges((change(1),))))
    written["changes"][0]["later"] = written["later"] = 1
    assert decode(orjson.dumps(written)) == StateChanges((change(1),))


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        ({"seq": "7"}, r"reports\[0\].seq is not an integer"),
        ({"seq": True}, r"reports\[0\].seq is not an integer"),
        ({"in_doubt": 0}, r"reports\[0\].in_doubt is not true or false"),
        ({"price": 1.5}, r"reports\[0\].price is not a string"),
        ({"price": "NaN"}, r"reports\[0\].price: not a plain decimal"),
        ({"order_qty": None}, r"reports\[0\].order_qty is not a string"),
        ({"side": "SHORT"}, r"reports\[0\].side is 'SHORT', which is no Side"),
        ({"type": "News"}, r"reports\[0\].type is 'News'"),
        ({"account_id": "other"}, "reports has one of account other"),
    ],
)
def test_a_spoiled_report_is_refused_by_its_member(spoiled: dict[str, object], words: str) -> None:
    written = orjson.loads(encode(batch(report(7))))
    written["batches"][0]["reports"][0] |= spoiled
    with pytest.raises(Unreadable, match=words):
        decode(orjson.dumps(written))


def test_a_missing_member_is_named() -> None:
    written = orjson.loads(encode(QuoteFrame((quote(AAPL, "1"),))))
    del written["quotes"][0]["ask"]
    with pytest.raises(Unreadable, match=r"quotes\[0\].ask is missing"):
        decode(orjson.dumps(written))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{", "not JSON"),
        ("[]", "the message is not an object"),
        ("{}", "v is None"),
        ('{"v":1}', "v is 1, and this reader knows 2"),
        (
            '{"v":2,"kind":"weather"}',
            "kind is 'weather', which is none of reports, quotes, states, rings",
        ),
        ('{"v":2,"kind":"quotes","quotes":{}}', "quotes is not a list"),
        ('{"v":2,"kind":"quotes","quotes":[1]}', r"quotes\[0\] is not an object"),
        ('{"v":2,"kind":"reports"}', "batches is not a list"),
        ('{"v":2,"kind":"reports","batches":[{}]}', r"batches\[0\].account_id is not a string"),
        (
            '{"v":2,"kind":"reports","batches":[{"account_id":"one","reports":[]}]}',
            r"batches\[0\].reports is empty",
        ),
    ],
)
def test_what_is_not_ours_is_refused(data: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        decode(data)


def test_what_nobody_wants_is_left_unread() -> None:
    written = Reports((ReportBatch(ONE, (report(7),)), ReportBatch(OTHER, (report(2, OTHER),))))

    assert decode(encode(written)) == written
    assert decode(encode(written), {OTHER}.__contains__) == Reports(written.batches[1:])


def test_a_batch_has_no_gap() -> None:
    with pytest.raises(ValueError, match="reports has seq 9 in the place of 8"):
        ReportBatch(ONE, (report(7), report(9)))


def test_a_number_that_no_reader_could_hold_is_not_written() -> None:
    frame = QuoteFrame((quote(AAPL, "1", at=2**64),))
    with pytest.raises(TypeError, match="64-bit"):
        encode(frame)
