"""The fault script, as it is read, as it counts, and as the paper exchange plays it."""

import asyncio
import json
from pathlib import Path

import pytest

from brokers.documents import DocumentError
from brokers.faults import STRIKES, FaultKind, FaultRun, FaultScript, Operation
from brokers.paper.broker import PaperBroker
from tests.brokers.test_paper_broker import held, paper
from tests.brokers.world import (
    ABC,
    FUT,
    FakeClock,
    Permit,
    approved,
    approved_replace,
    new,
    order,
    quote,
    replace,
    settle,
    take,
    types,
)
from trading.execution import BrokerReport, BrokerUnknown, ExecType
from trading.ids import WireID
from trading.order import Side
from trading.ports import InDoubt, RateLimited, Unavailable


def script(tmp_path: Path, *faults: dict[str, object]) -> FaultScript:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"faults": faults}))
    return FaultScript.load(path)


async def opened(
    tmp_path: Path, *faults: dict[str, object], clock: FakeClock | None = None
) -> PaperBroker:
    broker = paper(tmp_path, clock, faults=script(tmp_path, *faults))
    await broker.connect(None)
    broker.on_quote(quote(99, 5, 100, 3))
    return broker


# --- the script ---


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({}, "kind is missing"),
        ({"kind": "explode"}, 'kind must be one of drop_request, .*, and is "explode"'),
        ({"kind": "duplicate"}, "operation is missing"),
        ({"kind": "duplicate", "operation": "submit", "nth": 1}, "operation must be one of event"),
        ({"kind": "duplicate", "operation": "event"}, "exactly one of nth and every"),
        ({"kind": "duplicate", "operation": "event", "nth": 1, "every": 2}, "exactly one of nth"),
        ({"kind": "duplicate", "operation": "event", "nth": 0}, "nth must be an integer from 1"),
        ({"kind": "duplicate", "operation": "event", "nth": True}, "nth must be an integer from 1"),
        ({"kind": "duplicate", "operation": "event", "nth": "1"}, "nth must be an integer from 1"),
        ({"kind": "delay", "operation": "event", "nth": 1, "delay_ms": -5}, "delay_ms must be"),
        ({"kind": "delay", "operation": "event", "nth": 1, "dealy_ms": 5}, "no such field: dealy"),
        ({"kind": "delay", "operation": "event", "nth": 1, "symbol": "ABC"}, "symbol must be a"),
        ({"kind": "delay", "operation": "submit", "nth": 1, "exec_type": "NEW"}, "exec_type"),
        ({"kind": "trade_correct", "operation": "trade", "nth": 1}, "last_qty or last_px belongs"),
        (
            {"kind": "trade_cancel", "operation": "trade", "nth": 1, "last_px": "1"},
            "last_qty or last_px belongs",
        ),
        (
            {"kind": "trade_correct", "operation": "trade", "nth": 1, "last_qty": "NaN"},
            'last_qty is "NaN": not a plain decimal number',
        ),
        (
            {"kind": "trade_correct", "operation": "trade", "nth": 1, "last_qty": 0},
            "last_qty must be above zero",
        ),
    ],
)
def test_a_wrong_entry_is_named_by_file_entry_and_field(
    tmp_path: Path, fault: dict[str, object], problem: str
) -> None:
    good = {"kind": "duplicate", "operation": "event", "nth": 1}

    with pytest.raises(DocumentError, match=rf"{tmp_path}/faults.json, faults entry 2: {problem}"):
        script(tmp_path, good, fault)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("[]", r'must be an object with one list: \{"faults"'),
        ('{"faults": {}}', "must be an object with one list"),
        ('{"faults": [1]}', "faults entry 1: must be an object, and is 1"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)

    with pytest.raises(DocumentError, match=problem):
        FaultScript.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.json cannot be read: No such file"):
        FaultScript.load(tmp_path / "none.json")


def test_a_fault_strikes_the_nth_or_every_nth_of_what_it_selects(tmp_path: Path) -> None:
    run = FaultRun(
        script(
            tmp_path,
            {"kind": "duplicate", "operation": "event", "nth": 2, "symbol": ABC},
            {"kind": "delay", "operation": "event", "every": 2, "exec_type": "TRADE"},
        )
    )

    struck = [
        set(run.strike(operation, symbol, exec_type))
        for operation, symbol, exec_type in [
            (Operation.EVENT, ABC, ExecType.NEW),
            (Operation.EVENT, FUT, ExecType.TRADE),
            (Operation.SUBMIT, ABC, None),
            (Operation.EVENT, ABC, ExecType.TRADE),
            (Operation.EVENT, ABC, ExecType.TRADE),
            (Operation.EVENT, FUT, ExecType.TRADE),
        ]
    ]

    both = {FaultKind.DUPLICATE, FaultKind.DELAY}
    assert struck == [set(), set(), set(), both, set(), {FaultKind.DELAY}]


def test_every_kind_of_fault_says_what_it_strikes() -> None:
    assert set(STRIKES) == set(FaultKind)


# --- as the paper exchange plays it ---


async def test_a_dropped_request_is_in_doubt_and_never_came(tmp_path: Path) -> None:
    broker = await opened(
        tmp_path,
        {"kind": "drop_request", "operation": "submit", "nth": 1},
        {"kind": "drop_request", "operation": "replace", "nth": 1},
        {"kind": "drop_request", "operation": "cancel", "nth": 1},
    )
    placed = new("a", Side.BUY, 1, 90)

    with pytest.raises(InDoubt):
        await broker.submit(approved(placed), Permit())
    assert await broker.find_order(WireID("a")) is None
    await broker.submit(approved(placed), Permit())
    with pytest.raises(InDoubt):
        await broker.replace(approved_replace(placed, replace("r", "a", 2, 90)), Permit())
    with pytest.raises(InDoubt):
        await broker.cancel(order(placed), WireID("c"))

    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert (int(shown.order_qty), shown.last_request_wire_id) == (1, None)
    await broker.close()


async def test_a_dropped_answer_is_in_doubt_and_took_effect(tmp_path: Path) -> None:
    broker = await opened(
        tmp_path,
        {"kind": "drop_answer", "operation": "submit", "every": 1},
        {"kind": "drop_answer", "operation": "cancel", "nth": 1},
    )

    placed = new("a", Side.BUY, 5, 100)
    with pytest.raises(InDoubt):
        await broker.submit(approved(placed), Permit())
    with pytest.raises(InDoubt):
        await broker.submit(approved(placed), Permit())
    with pytest.raises(InDoubt):
        await broker.cancel(order(placed), WireID("c"))

    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert shown.last_request_wire_id == "c"
    assert await held(broker) == [("a", ABC, 3)]
    await broker.close()


async def test_a_rate_limit_says_how_long_to_wait_and_nothing_is_sent(tmp_path: Path) -> None:
    broker = await opened(
        tmp_path,
        {"kind": "rate_limit", "operation": "submit", "nth": 1, "retry_after_ms": 250},
    )

    with pytest.raises(RateLimited) as limited:
        await broker.submit(approved(new("a", Side.BUY, 1, 90)), permit := Permit())

    assert limited.value.retry_after_s == 0.25
    assert permit.asked == 0
    assert await broker.find_order(WireID("a")) is None
    await broker.close()


async def test_a_delay_holds_a_request_or_an_event_back(tmp_path: Path) -> None:
    clock = FakeClock()
    broker = await opened(
        tmp_path,
        {"kind": "delay", "operation": "submit", "nth": 1, "delay_ms": 100},
        {"kind": "delay", "operation": "event", "nth": 1, "delay_ms": 200},
        clock=clock,
    )
    sending = asyncio.create_task(
        broker.submit(approved(new("a", Side.BUY, 1, 90)), permit := Permit())
    )
    await clock.advance(0.09)
    assert permit.asked == 0
    await clock.advance(0.01)
    await sending
    hearing = asyncio.create_task(take(broker.events(), 1))
    await clock.advance(0.19)
    assert not hearing.done()
    await clock.advance(0.01)

    (event,) = await hearing
    assert event.received_at == clock.now()
    await broker.close()


async def test_a_duplicate_comes_twice_under_one_key(tmp_path: Path) -> None:
    broker = await opened(tmp_path, {"kind": "duplicate", "operation": "event", "nth": 2})
    await broker.submit(approved(new("a", Side.BUY, 5, 100)), Permit())
    await broker.cancel(order(new("a", Side.BUY, 5, 100)), WireID("c"))

    events = await take(broker.events(), 4)

    assert [event.key for event in events] == ["paper:1", "paper:2", "paper:2", "paper:3"]
    assert events[1] == events[2]
    await broker.close()


async def test_a_link_that_breaks_between_partials_resumes_without_a_gap(tmp_path: Path) -> None:
    clock = FakeClock()
    broker = await opened(
        tmp_path,
        {
            "kind": "disconnect",
            "operation": "event",
            "exec_type": "TRADE",
            "every": 1,
            "delay_ms": 500,
        },
        clock=clock,
    )
    for n, size in enumerate((3, 1, 2)):
        await broker.submit(approved(new(f"m{n}", Side.SELL, size, 99.5)), Permit())
    await broker.submit(approved(new("a", Side.BUY, 6, 100)), Permit())
    hearing = asyncio.create_task(take(broker.events(), 10))
    await settle()

    with pytest.raises(Unavailable, match="link to the paper exchange is down"):
        await broker.submit(approved(new("b", Side.BUY, 1, 90)), Permit())
    assert not hearing.done()
    await clock.advance(5)

    events = await hearing
    assert [event.key for event in events] == [f"paper:{n}" for n in range(1, 11)]
    assert types(events) == ["NEW"] * 4 + ["TRADE"] * 6
    await broker.submit(approved(new("b", Side.BUY, 1, 90)), Permit())
    await broker.close()


async def test_fills_before_the_ack_move_the_cursor_only_when_none_is_missing(
    tmp_path: Path,
) -> None:
    broker = await opened(tmp_path, {"kind": "fill_before_ack", "operation": "submit", "nth": 2})
    await broker.submit(approved(new("m", Side.SELL, 1, 100.5)), Permit())
    await broker.submit(approved(new("a", Side.BUY, 9, 101)), Permit())

    events = await take(broker.events(), 5)

    assert [(event.key, event.cursor) for event in events] == [
        ("paper:1", "1"),
        ("paper:3", "1"),
        ("paper:4", "1"),
        ("paper:5", "1"),
        ("paper:2", "5"),
    ]
    assert types(events) == ["NEW", "TRADE", "TRADE", "TRADE", "NEW"]
    await broker.close()


async def test_an_unknown_status_is_told_as_such(tmp_path: Path) -> None:
    broker = await opened(
        tmp_path, {"kind": "unknown_status", "operation": "event", "exec_type": "TRADE", "nth": 1}
    )
    await broker.submit(approved(new("a", Side.BUY, 5, 100)), Permit())

    first, second = await take(broker.events(), 2)

    assert isinstance(first, BrokerReport)
    assert isinstance(second, BrokerUnknown)
    assert (second.key, second.cursor, second.wire_id) == ("paper:2", "2", "a")
    await broker.close()


async def test_the_nth_trade_is_canceled_and_others_corrected_where_that_fits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    broker = await opened(
        tmp_path,
        {"kind": "trade_cancel", "operation": "trade", "nth": 1, "delay_ms": 1000},
        {
            "kind": "trade_correct",
            "operation": "trade",
            "nth": 2,
            "delay_ms": 2000,
            "last_px": "99.5",
        },
        {
            "kind": "trade_correct",
            "operation": "trade",
            "nth": 3,
            "delay_ms": 2000,
            "last_qty": "100",
        },
        clock=clock,
    )
    await broker.submit(approved(new("a", Side.BUY, 3, 100)), Permit())
    broker.on_quote(quote(99, 5, 100, 3, at=clock.now()))
    await broker.submit(approved(new("b", Side.BUY, 2, 100)), Permit())
    await broker.submit(approved(new("c", Side.BUY, 1, 100)), Permit())

    await clock.advance(4)
    await broker.cancel(order(new("a", Side.BUY, 3)), WireID("end"))

    events = await take(broker.events(), 9)
    assert types(events[:6]) == ["NEW", "TRADE"] * 3
    assert types(events[6:]) == ["TRADE_CANCEL", "TRADE_CORRECT", "BrokerCancelReject"]
    busted, corrected, _ = events[6:]
    assert isinstance(busted, BrokerReport)
    assert isinstance(corrected, BrokerReport)
    assert (busted.wire_id, busted.exec_ref_id) == ("a", events[1].exec_id)  # type: ignore[attr-defined]  # a TRADE
    assert [corrected.last_qty, corrected.last_px] == [2, 99.5]
    assert await held(broker) == [("a", ABC, 3)]
    assert "the trade E6 is not corrected: 100 is more" in caplog.text
    await broker.close()
