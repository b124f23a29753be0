"""Emergency cancels: they leave while the store is down, and are recorded when it is back."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from tests.trading.builders import ACCOUNT, assert_gapless, cancel, order, place, principal, report
from tests.trading.fakes import ScriptedBroker, settle
from tests.trading.house import House, working
from tests.trading.memory import Failure
from trading.command import CommandKind, CommandState
from trading.desk import OrderDesk
from trading.emergency import EmergencyCancel, EmergencyDesk, KnownOrders, read_in
from trading.execution import ExecType, ExecutionReport, OrderCancelReject
from trading.ids import ClOrdID, OrderID
from trading.order import Order, OrdStatus
from trading.outcome import OutcomeUnknown, WaitFor
from trading.ports import Unavailable
from trading.reject import CxlRejReason


class MemoryJournal:
    """A journal that notes whether anything was sent before its line was written."""

    def __init__(self, broker: ScriptedBroker) -> None:
        self.lines: list[EmergencyCancel] = []
        self.sent_before: list[int] = []
        self._broker = broker

    async def append(self, entry: EmergencyCancel) -> None:
        self.sent_before.append(len(self._broker.sent))
        self.lines.append(entry)

    async def entries(self) -> Sequence[EmergencyCancel]:
        return list(self.lines)

    async def forget(self, entries: Collection[EmergencyCancel]) -> None:
        self.lines = [line for line in self.lines if line not in entries]


class Emergency:
    """A house whose desk can cancel in an emergency."""

    def __init__(self, house: House) -> None:
        self.house, self.broker = house, ScriptedBroker()
        self.journal, self.known = MemoryJournal(self.broker), KnownOrders()
        house.desk._emergency = EmergencyDesk(
            journal=self.journal,
            known=self.known,
            open_broker=lambda: self.broker,
            clock=house.clock,
        )
        self.desk: OrderDesk = house.desk

    async def working(self) -> Order:
        placed = await working(self.house)
        self.known.remember([placed])
        self.house.desk._brokers[ACCOUNT] = "fake"
        return placed

    def break_store(self) -> None:
        self.house.store.failures = [Failure.BEFORE_COMMIT] * 20

    def mend_store(self) -> None:
        self.house.store.failures = []

    async def cancel(self, placed: Order) -> object:
        return await self.desk.cancel(principal(), cancel(of=placed.cl_ord_id), WaitFor.COMMIT)


async def test_a_cancel_leaves_while_the_store_is_down_after_its_line_is_written() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        answer = await emergency.cancel(placed)

        assert isinstance(answer, Order)
        assert answer.ord_status is OrdStatus.PENDING_CANCEL
        assert [kind for kind, _ in emergency.broker.sent] == ["CANCEL"]
        assert emergency.journal.sent_before == [0]
        assert [line.order_id for line in emergency.journal.lines] == [placed.id]


async def test_a_store_that_falls_silent_is_not_waited_for_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trading.desk._ANSWERS_WITHIN_S", 0.01)
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        house.store.failures = [Failure.AT_BEGIN]
        async with asyncio.timeout(30), house.store.silent():
            answer = await emergency.cancel(placed)

        assert isinstance(answer, Order)
        assert [kind for kind, _ in emergency.broker.sent] == ["CANCEL"]


@pytest.mark.parametrize("failure", Failure)
async def test_one_lost_connection_is_no_emergency(failure: Failure) -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        house.store.failures = [failure]
        answer = await emergency.cancel(placed)

        assert isinstance(answer, Order)
        assert answer.ord_status is OrdStatus.PENDING_CANCEL
        assert emergency.broker.sent == []


async def test_asking_again_is_the_same_cancel() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        await emergency.cancel(placed)
        await emergency.cancel(placed)

        assert len({wire_id for _, wire_id in emergency.broker.sent}) == 1


async def test_what_left_is_recorded_when_the_store_is_back() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        await emergency.cancel(placed)
        emergency.mend_store()

        assert await read_in(house.store, emergency.journal, house.clock) == 1
        [command] = [
            each for each in house.store.state.commands.values() if each.kind is CommandKind.CANCEL
        ]
        assert (command.state, command.wire_id) == (
            CommandState.SENT,
            emergency.broker.sent[0][1],
        )
        assert house.order(placed).ord_status is OrdStatus.PENDING_CANCEL
        assert await read_in(house.store, emergency.journal, house.clock) == 0
        assert_gapless(house.store.state.reports, ACCOUNT)


async def test_a_cancel_that_was_recorded_after_all_is_not_recorded_twice() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        await emergency.cancel(placed)
        emergency.mend_store()
        await emergency.cancel(placed)
        await settle()
        await read_in(house.store, emergency.journal, house.clock)

        kinds = [each.kind for each in house.store.state.commands.values()]
        assert kinds.count(CommandKind.CANCEL) == 1


@pytest.mark.parametrize("exec_type", [ExecType.CANCELED, ExecType.EXPIRED])
async def test_an_order_that_ends_before_its_cancel_is_read_in_is_answered_all_the_same(
    exec_type: ExecType,
) -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        await emergency.cancel(placed)
        emergency.mend_store()
        house.broker.tell(report(exec_type, placed.wire_id))
        await settle()
        ended = house.order(placed)
        await read_in(house.store, emergency.journal, house.clock)

        assert house.order(placed) == replace(ended, last_seq=ended.last_seq + 1)
        answer = house.store.state.reports[-1]
        assert (answer.cl_ord_id, answer.ord_status) == ("c1", ended.ord_status)
        if exec_type is ExecType.CANCELED:
            assert isinstance(answer, ExecutionReport)
            assert answer.exec_type is ExecType.RESTATED
        else:
            assert isinstance(answer, OrderCancelReject)
            assert answer.cxl_rej_reason is CxlRejReason.TOO_LATE_TO_CANCEL
        assert_gapless(house.store.state.reports, ACCOUNT)


async def test_a_cancel_beside_one_that_is_pending_is_answered_as_refused() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        await emergency.cancel(placed)
        emergency.mend_store()
        other = cancel("c2", of=placed.cl_ord_id)
        await emergency.desk.cancel(principal(), other, WaitFor.COMMIT)
        await read_in(house.store, emergency.journal, house.clock)

        answer = house.store.state.reports[-1]
        assert isinstance(answer, OrderCancelReject)
        assert answer.cl_ord_id == "c1"
        assert answer.cxl_rej_reason is CxlRejReason.ORDER_ALREADY_IN_PENDING_STATUS
        assert house.order(placed).ord_status is OrdStatus.PENDING_CANCEL


async def test_an_order_that_is_not_known_here_cannot_be_canceled_in_an_emergency() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await working(house)
        emergency.break_store()

        with pytest.raises(OutcomeUnknown):
            await emergency.cancel(placed)
        assert emergency.broker.sent == []
        assert emergency.journal.lines == []


async def test_a_cancel_that_cannot_be_sent_is_told_as_unknown() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        placed = await emergency.working()
        emergency.break_store()
        emergency.broker.answers = [Unavailable("no way to the broker")]

        with pytest.raises(OutcomeUnknown):
            await emergency.cancel(placed)


async def test_new_orders_do_not_leave_while_the_store_is_down() -> None:
    async with House().open() as house:
        emergency = Emergency(house)
        await emergency.working()
        emergency.break_store()

        with pytest.raises(OutcomeUnknown):
            await emergency.desk.place(principal(), place("p2"), WaitFor.COMMIT)
        assert emergency.broker.sent == []


def test_an_order_that_has_ended_is_forgotten() -> None:
    known, working_order = KnownOrders(), order(status=OrdStatus.NEW)
    known.remember([working_order])
    assert known.find(cancel(of=working_order.cl_ord_id)) is not None
    known.remember([order(status=OrdStatus.FILLED)])

    assert known.find(cancel(of=working_order.cl_ord_id)) is None


def test_one_that_is_known_stays_so_when_there_is_no_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trading.emergency._KNOWN_MAX", 1)
    known, working_order = KnownOrders(), order(status=OrdStatus.NEW)
    known.remember([working_order])
    another = replace(working_order, id=OrderID("another"), cl_ord_id=ClOrdID("another"))
    known.remember([replace(working_order, cl_ord_id=ClOrdID("replaced")), another])

    assert known.find(cancel(of="replaced")) is not None
    assert known.find(cancel(of="another")) is None
