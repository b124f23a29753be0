"""The session: sends what is committed, records what comes, and survives what goes wrong."""

from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import (
    ACCOUNT,
    D,
    amend,
    at_broker,
    cancel_reject,
    halted,
    new,
    report,
    trade,
)
from tests.trading.fakes import settle
from tests.trading.house import House, canceling, working
from trading.command import CommandKind, CommandState
from trading.execution import BrokerUnknown, ExecType, LinkEvent
from trading.ids import WireID
from trading.order import Order, OrdStatus
from trading.ports import InDoubt, RateLimited, Rejected, Unauthorized, Unavailable


async def test_an_order_is_sent_once_and_its_reports_recorded_in_order() -> None:
    async with House().open() as house:
        order = await working(house)
        house.broker.tell(trade("t", 100, wire_id=order.wire_id, cursor="2"))
        await settle()

        assert house.broker.sent == [("NEW", order.wire_id)]
        assert house.told == ["PENDING_NEW", "NEW", "TRADE"]
        assert house.store.state.cursors == {"fake": "2"}
        assert house.bell.rung.count(ACCOUNT) >= 2


async def test_nothing_is_sent_before_its_commit() -> None:
    async with House().open() as house:
        async with house.store.transaction() as blocker:
            await blocker.lock([ACCOUNT])
            await settle()
            assert house.sent == []
        await house.placed()

        assert house.sent == ["NEW"]


@pytest.mark.parametrize("error", [Rejected("no"), InDoubt("timeout")])
async def test_an_answer_that_is_final_or_in_doubt_is_recorded(error: Any) -> None:
    async with House().open() as house:
        house.broker.answers = [error]
        order = house.order(await house.placed())

        assert (order.ord_status is OrdStatus.REJECTED) is isinstance(error, Rejected)
        assert order.in_doubt is isinstance(error, InDoubt)


async def test_an_adapters_defect_leaves_the_order_in_doubt() -> None:
    async with House().open() as house:
        house.broker.answers = [ZeroDivisionError()]  # type: ignore[list-item]
        order = house.order(await house.placed())

        assert order.in_doubt


@pytest.mark.parametrize(
    ("error", "wait"),
    [(RateLimited("slow", 7), 7), (Unavailable("down"), 1), (Unauthorized("token"), 1)],
)
async def test_what_did_not_leave_is_sent_again_when_it_is_due(error: Any, wait: int) -> None:
    async with House().open() as house:
        house.broker.answers = [error]
        order = await house.placed()
        assert house.state(order.wire_id) is CommandState.QUEUED
        await house.clock.advance(wait - 0.1)
        assert house.sent == ["NEW"]
        await house.clock.advance(0.2)

        assert house.broker.sent == [("NEW", order.wire_id)] * 2
        assert house.told == ["PENDING_NEW"]


async def test_a_rate_limit_of_no_time_at_all_is_not_lost() -> None:
    async with House().open() as house:
        house.broker.answers = [RateLimited("now", 0)]
        await house.placed()
        await house.clock.advance(0)

        assert house.sent == ["NEW", "NEW"]


async def test_a_gate_that_closes_before_the_first_byte_keeps_the_order_here() -> None:
    async with House().open() as house:

        async def close() -> None:
            house.permits.hear(halted(ACCOUNT))
            house.gate.withholds = "TRADING_HALTED"

        house.broker.before_first_byte = close
        order = await house.placed()
        assert house.sent == []
        assert house.state(order.wire_id) is CommandState.QUEUED
        await house.clock.advance(1)

        assert house.order(order).ord_status is OrdStatus.REJECTED
        assert house.state(order.wire_id) is CommandState.WITHHELD
        assert house.sent == []


async def test_a_fenced_process_sends_nothing() -> None:
    async with House().open() as house:
        order = await working(house)
        house.permits.close()
        await house.placed("p2")
        await canceling(house, order)

        assert house.sent == ["NEW"]


async def test_a_doubt_is_settled_by_asking_until_there_is_an_answer() -> None:
    async with House().open() as house:
        house.broker.answers = [InDoubt("timeout")]
        house.broker.found = [Unavailable("down"), InDoubt("again")]
        order = await house.placed()
        await house.clock.advance(1.6)
        assert house.order(order).in_doubt, "a failed query is no evidence"
        await house.clock.advance(2)

        assert not house.order(order).in_doubt
        assert house.order(order).ord_status is OrdStatus.NEW
        assert house.sent == ["NEW"]


async def test_an_order_that_never_arrived_is_sent_again_under_its_id() -> None:
    async with House().open() as house:
        house.broker.answers = [InDoubt("timeout")]
        house.broker.found = [None]
        order = await house.placed()
        await house.clock.advance(1)

        assert house.broker.sent == [("NEW", order.wire_id)] * 2


async def test_silence_after_sending_is_doubted_and_asked_about() -> None:
    async with House().open() as house:
        order = await house.placed()
        await house.clock.advance(10)
        assert house.order(order).in_doubt
        await house.clock.advance(1)

        assert house.order(order).ord_status is OrdStatus.NEW
        assert not house.order(order).in_doubt


# --- restart -------------------------------------------------------------------------------------


async def killed(state: CommandState, kind: CommandKind) -> tuple[House, Order, WireID]:
    """Leave a command in a state, and the process dead."""
    async with House().open() as house:
        order = await (working(house) if kind is not CommandKind.NEW else house.placed())
        wire_id = order.wire_id
        if kind is CommandKind.CANCEL:
            wire_id = await canceling(house, order)
        elif kind is CommandKind.REPLACE:
            await house.put(amend(of="p1", order_qty=D(150)))
            [wire_id] = [c.wire_id for c in house.store.state.commands.values() if c.terms]
    command = replace(house.command(wire_id), state=state)
    house.store.state.commands[wire_id] = command
    if state is CommandState.IN_DOUBT:
        house.store.state.orders[order.id] = replace(house.order(order), in_doubt=True)
    house.broker.sent.clear()
    return house.again(), order, wire_id


@pytest.mark.parametrize("kind", CommandKind)
async def test_what_was_queued_is_sent_after_a_restart(kind: CommandKind) -> None:
    house, _, wire_id = await killed(CommandState.QUEUED, kind)
    async with house.open():
        assert house.broker.sent == [(kind, wire_id)]


@pytest.mark.parametrize("state", [CommandState.SENT, CommandState.IN_DOUBT])
@pytest.mark.parametrize("kind", CommandKind)
async def test_what_was_sent_is_in_doubt_after_a_restart_until_the_broker_shows_it(
    kind: CommandKind, state: CommandState
) -> None:
    house, order, wire_id = await killed(state, kind)
    shown = {
        CommandKind.NEW: at_broker(house.order(order)),
        CommandKind.CANCEL: at_broker(house.order(order), status=OrdStatus.CANCELED),
        CommandKind.REPLACE: at_broker(
            house.order(order), order_qty=D(150), last_request_wire_id=wire_id
        ),
    }[kind]
    house.broker.known[order.wire_id] = shown
    async with house.open():
        assert house.order(order).in_doubt
        assert house.sent == []
        await house.clock.advance(1)

        assert not house.order(order).in_doubt
        assert house.state(wire_id) is CommandState.ACKED
        assert house.sent == []


@pytest.mark.parametrize("state", [CommandState.ACKED, CommandState.REJECTED])
async def test_what_was_settled_is_left_alone_after_a_restart(state: CommandState) -> None:
    house, order, wire_id = await killed(state, CommandKind.NEW)
    before = house.order(order)
    async with house.open():
        await house.clock.advance(1)

        assert house.sent == []
        assert house.state(wire_id) is state
        assert house.order(order) == before


async def test_the_stream_goes_on_where_it_was_recorded_to() -> None:
    async with House().open() as house:
        order = await working(house)
    again = house.again()
    async with again.open():
        again.broker.tell(new(order.wire_id, cursor="again"))
        await settle()

        assert again.broker.resumed_from == [None, f"{order.wire_id}-1"]
        assert again.told.count("NEW") == 1


async def test_a_stream_that_ends_closes_the_session() -> None:
    async with House().open() as house:
        house.broker.stream.put_nowait(None)
        await settle()

        assert not house.session.is_open


async def test_a_stop_records_what_is_on_its_way() -> None:
    async with House().open() as house:
        order = await house.placed()
        house.broker.tell(new(order.wire_id))
        await settle()
        await house.session.stop()

        assert house.order(order).ord_status is OrdStatus.NEW
        assert not house.permits.is_open


# --- comparison ----------------------------------------------------------------------------------


async def test_what_differs_twice_is_applied() -> None:
    async with House().open() as house:
        order = await working(house)
        house.broker.known[order.wire_id] = at_broker(order, cum_qty=D(30), avg_px=D(99))
        await house.clock.advance(10)
        assert house.order(order).cum_qty == 0
        await house.clock.advance(10)

        assert house.order(order).cum_qty == 30


async def test_an_order_that_the_broker_does_not_list_is_not_taken_for_gone() -> None:
    async with House().open() as house:
        order = await working(house)
        house.broker.known.clear()
        await house.clock.advance(40)

        assert house.order(order).ord_status is OrdStatus.NEW


async def test_a_message_that_cannot_be_read_makes_the_session_ask() -> None:
    async with House().open() as house:
        order = await working(house)
        house.broker.known[order.wire_id] = at_broker(order, status=OrdStatus.EXPIRED)
        house.broker.tell(
            BrokerUnknown(
                key="k", cursor=None, wire_id=order.wire_id, received_at=1, text="status 99"
            )
        )
        await settle()

        assert house.order(order).ord_status is OrdStatus.EXPIRED


async def test_a_refused_cancel_leaves_the_order_working() -> None:
    async with House().open() as house:
        order = await working(house)
        wire_id = await canceling(house, order)
        house.broker.tell(cancel_reject(wire_id, order.wire_id))
        await settle()

        assert house.order(order).ord_status is OrdStatus.NEW
        assert house.told[-1] == "CancelReject"


async def test_many_events_arrive_in_order_and_without_a_gap() -> None:
    async with House().open() as house:
        order = await working(house)
        for number in range(100):
            house.broker.tell(trade(f"t{number}", 1, wire_id=order.wire_id))
        house.broker.tell(report(ExecType.CANCELED, order.wire_id))
        await settle()

        assert [each.exec_id for each in house.store.state.fills] == [f"t{n}" for n in range(100)]
        assert house.order(order).ord_status is OrdStatus.FILLED


async def test_after_a_gap_in_the_stream_what_was_missed_is_found_within_a_second() -> None:
    async with House().open() as house:
        order = await working(house)
        missed = at_broker(house.order(order), status=OrdStatus.FILLED, cum_qty=D(100), avg_px=D(9))
        house.broker.known[order.wire_id] = missed
        house.broker.tell(LinkEvent(received_at=1, text="the stream was mute"))
        await settle()
        await house.clock.advance(1)

        assert house.order(order).status is OrdStatus.FILLED


async def test_a_report_that_counts_more_than_was_told_has_the_order_looked_up() -> None:
    async with House().open() as house:
        order = await working(house)
        at = at_broker(house.order(order), status=OrdStatus.CANCELED, cum_qty=D(40), avg_px=D(9))
        house.broker.known[order.wire_id] = at
        house.broker.tell(report(ExecType.CANCELED, order.wire_id, cum_qty=D(40)))
        await settle()

        after = house.order(order)
        assert [after.status, after.cum_qty] == [OrdStatus.CANCELED, 40]
