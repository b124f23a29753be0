"""The fault script, as it is read, as it counts, and as the paper exchange plays it to adapters."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from brokers.documents import DocumentError
from brokers.faults import STRIKES, FaultKind, FaultRun, FaultScript, Operation
from brokers.paper.translation import read_cursor
from tests.brokers.market import A, Market, Opening, held, patiently
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
from trading.ports import Broker, InDoubt, RateLimited, Unavailable


def script(tmp_path: Path, *faults: dict[str, object]) -> FaultScript:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"faults": faults}))
    return FaultScript.load(path)


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

type Play = Callable[..., Awaitable[Market]]


@pytest.fixture
def play(open_market: Opening, tmp_path: Path) -> Play:
    """Open a market in which these faults strike."""

    async def opened(*faults: dict[str, object]) -> Market:
        market = await open_market(faults=script(tmp_path, *faults))
        market.show(quote(99, 5, 100, 3))
        return market

    return opened


async def test_a_dropped_request_is_in_doubt_and_never_came(play: Play) -> None:
    market = await play(
        {"kind": "drop_request", "operation": "submit", "nth": 1},
        {"kind": "drop_request", "operation": "replace", "nth": 1},
        {"kind": "drop_request", "operation": "cancel", "nth": 1},
    )
    broker, clock, placed = market.broker, market.clock, new("a", Side.BUY, 1, 90)

    with pytest.raises(InDoubt):
        await patiently(clock, broker.submit(approved(placed), Permit()))
    assert await broker.find_order(WireID("a")) is None
    await broker.submit(approved(placed), Permit())
    replaced = approved_replace(placed, replace("r", "a", 2, 90))
    with pytest.raises(InDoubt):
        await patiently(clock, broker.replace(replaced, Permit()))
    with pytest.raises(InDoubt):
        await patiently(clock, broker.cancel(order(placed), WireID("c")))

    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert (int(shown.order_qty), shown.last_request_wire_id) == (1, None)


async def test_a_dropped_answer_is_in_doubt_and_took_effect(play: Play) -> None:
    market = await play(
        {"kind": "drop_answer", "operation": "submit", "every": 1},
        {"kind": "drop_answer", "operation": "cancel", "nth": 1},
    )
    broker, clock, placed = market.broker, market.clock, new("a", Side.BUY, 5, 100)

    with pytest.raises(InDoubt):
        await patiently(clock, broker.submit(approved(placed), Permit()))
    with pytest.raises(InDoubt):
        await patiently(clock, broker.submit(approved(placed), Permit()))
    with pytest.raises(InDoubt):
        await patiently(clock, broker.cancel(order(placed), WireID("c")))

    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert shown.last_request_wire_id == "c"
    assert await held(broker) == [("a", ABC, 3)]


async def test_a_rate_limit_says_how_long_to_wait_and_has_no_effect(play: Play) -> None:
    market = await play(
        {"kind": "rate_limit", "operation": "submit", "nth": 1, "retry_after_ms": 250},
    )

    with pytest.raises(RateLimited) as limited:
        await market.broker.submit(approved(new("a", Side.BUY, 1, 90)), Permit())

    assert limited.value.retry_after_s == 0.25
    assert await market.broker.find_order(WireID("a")) is None


async def test_a_delay_holds_a_request_or_an_event_back(play: Play) -> None:
    market = await play(
        {"kind": "delay", "operation": "submit", "nth": 1, "delay_ms": 100},
        {"kind": "delay", "operation": "event", "nth": 1, "delay_ms": 200},
    )
    broker, clock = market.broker, market.clock
    sending = asyncio.create_task(broker.submit(approved(new("a", Side.BUY, 1, 90)), Permit()))
    await clock.advance(0.09)
    assert market.venue.last_number == 0
    await clock.advance(0.01)
    assert market.venue.last_number == 1
    await sending
    hearing = asyncio.create_task(take(broker.events(), 1))
    await clock.advance(0.19)
    assert not hearing.done()
    await clock.advance(0.01)

    (event,) = await hearing
    assert event.received_at == clock.now()


async def test_a_duplicate_comes_twice_under_one_key(play: Play) -> None:
    market = await play({"kind": "duplicate", "operation": "event", "nth": 2})
    placed = new("a", Side.BUY, 5, 100)
    await market.broker.submit(approved(placed), Permit())
    await market.broker.cancel(order(placed), WireID("c"))

    events = await take(market.broker.events(), 4)

    assert [event.key for event in events] == ["paper:1", "paper:2", "paper:2", "paper:3"]
    assert events[1] == events[2]


async def test_a_link_that_breaks_between_partials_resumes_without_a_gap(play: Play) -> None:
    market = await play(
        {
            "kind": "disconnect",
            "operation": "event",
            "exec_type": "TRADE",
            "every": 1,
            "delay_ms": 500,
        },
    )
    broker, clock = market.broker, market.clock
    for n, size in enumerate((3, 1, 2)):
        await broker.submit(approved(new(f"m{n}", Side.SELL, size, 99.5)), Permit())
    with contextlib.suppress(InDoubt):  # the answer may be lost with the link
        await broker.submit(approved(new("a", Side.BUY, 6, 100)), Permit())
    hearing = asyncio.create_task(take(broker.events(), 10))
    await settle()

    with pytest.raises(Unavailable, match="is down"):
        await broker.submit(approved(new("b", Side.BUY, 1, 90)), Permit())
    assert not hearing.done()

    events = await patiently(clock, hearing)
    assert [event.key for event in events] == [f"paper:{n}" for n in range(1, 11)]
    assert types(events) == ["NEW"] * 4 + ["TRADE"] * 6
    await patiently(clock, until_up(broker, clock))
    await broker.submit(approved(new("b", Side.BUY, 1, 90)), Permit())


async def until_up(broker: Broker, clock: FakeClock) -> None:
    """Wait until the link is there again after its last break."""
    while True:
        with contextlib.suppress(Unavailable):
            await broker.orders([A])
            return
        await clock.sleep(0.1)


async def test_fills_before_the_ack_move_the_cursor_only_when_none_is_missing(play: Play) -> None:
    market = await play({"kind": "fill_before_ack", "operation": "submit", "nth": 2})
    await market.broker.submit(approved(new("m", Side.SELL, 1, 100.5)), Permit())
    await market.broker.submit(approved(new("a", Side.BUY, 9, 101)), Permit())

    events = await take(market.broker.events(), 5)

    assert [(event.key, read_cursor(event.cursor)[1]) for event in events] == [
        ("paper:1", 1),
        ("paper:3", 1),
        ("paper:4", 1),
        ("paper:5", 1),
        ("paper:2", 5),
    ]
    assert types(events) == ["NEW", "TRADE", "TRADE", "TRADE", "NEW"]


async def test_an_unknown_status_is_told_as_such(play: Play) -> None:
    market = await play(
        {"kind": "unknown_status", "operation": "event", "exec_type": "TRADE", "nth": 1},
        {"kind": "unknown_status", "operation": "event", "nth": 3},
    )
    await market.broker.submit(approved(new("a", Side.BUY, 5, 100)), Permit())
    await market.broker.cancel(order(new("z", Side.BUY, 5)), WireID("c"))

    first, second, third = await take(market.broker.events(), 3)

    assert isinstance(first, BrokerReport)
    assert isinstance(second, BrokerUnknown)
    assert (second.key, second.wire_id) == ("paper:2", "a")
    assert isinstance(third, BrokerUnknown)
    assert (third.key, third.wire_id) == ("paper:3", "z")
    assert read_cursor(third.cursor)[1] == 3


async def test_the_nth_trade_is_canceled_and_others_corrected_where_that_fits(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    market = await play(
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
    )
    broker, clock = market.broker, market.clock
    await broker.submit(approved(new("a", Side.BUY, 3, 100)), Permit())
    market.show(quote(99, 5, 100, 3, at=clock.now()))
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
