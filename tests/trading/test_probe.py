"""An order's legs are told to a probe, in the trace that its command came in."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import account, cancel, new, place, trade
from tests.trading.fakes import settle
from tests.trading.house import House, working
from tests.trading.probe import FakeProbe
from trading.command import body_hash
from trading.order import Order
from trading.outcome import BrokerUnavailable
from trading.ports import InDoubt, RateLimited, Rejected
from trading.probe import Leg

TRACE = "00-trace-span-01"
DESK = f"{TRACE}/desk"


async def test_each_leg_of_an_order_is_told_once() -> None:
    probe = FakeProbe()
    async with House(probe=probe).open() as house:
        order = (await house.put(place(traceparent=TRACE))).decided
        assert isinstance(order, Order)
        await settle()
        house.broker.tell(new(order.wire_id, cursor="1"))
        await settle()
        house.broker.tell(trade("t1", 40, wire_id=order.wire_id, cursor="2"))
        await settle()
        # A fill of many tells nothing; the last one does.
        house.broker.tell(trade("t2", 60, wire_id=order.wire_id, cursor="3"))
        await settle()

        assert probe.told() == [
            ("desk", TRACE, "PENDING_NEW"),
            ("transaction", DESK, None),
            ("submit", TRACE, "Taken"),
            ("record", TRACE, "NEW"),
            ("record", TRACE, "FILLED"),
        ]


async def test_what_nobody_traces_is_not_told() -> None:
    probe = FakeProbe()
    async with House(probe=probe).open() as house:
        await working(house)

        assert probe.legs == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(Rejected("no"), "Refused"), (RateLimited("wait", 1), "Returned"), (InDoubt("?"), "Doubted")],
)
async def test_what_a_broker_answered_is_told(answer: Any, outcome: str) -> None:
    probe = FakeProbe()
    async with House(probe=probe).open() as house:
        house.broker.answers = [answer]
        await house.put(place(traceparent=TRACE))
        await settle()

        assert ("submit", TRACE, outcome) in probe.told()


async def test_a_cancel_has_a_trace_of_its_own() -> None:
    probe = FakeProbe()
    async with House(probe=probe).open() as house:
        await working(house)
        await house.put(cancel(traceparent=TRACE))
        await settle()

        [submit] = [each for each in probe.legs if each.leg is Leg.SUBMIT]
        assert (submit.about["command"], submit.parent) == ("CANCEL", TRACE)


async def test_of_a_batch_each_command_tells_the_transaction() -> None:
    probe = FakeProbe()
    async with House(account(), account("b"), probe=probe).open() as house:
        puts = [house.put(place(f"p{n}", traceparent=f"{TRACE}{n}")) for n in range(3)]
        await asyncio.gather(*puts)

        legs = [each for each in probe.legs if each.leg is Leg.TRANSACTION]
        assert [each.parent for each in legs] == [f"{TRACE}{n}/desk" for n in range(3)]
        assert [each.about["commands"] for each in legs] == [3, 3, 3]


async def test_a_failure_is_told_by_its_code() -> None:
    probe = FakeProbe()
    async with House(probe=probe).open() as house:
        house.session.is_open = False
        with pytest.raises(BrokerUnavailable):
            await house.put(place(traceparent=TRACE))
        house.session.is_open = True
        house.store.poison = {"bad"}
        with pytest.raises(ValueError, match="poisoned"):
            await house.put(place("bad", traceparent=TRACE))

        assert [each.leg for each in probe.legs] == ["desk"]
        assert probe.legs[0].ended == 1


async def test_another_process_goes_on_with_the_trace() -> None:
    first, second = FakeProbe(), FakeProbe()
    house = House(probe=first)
    async with house.open():
        house.broker.answers = [InDoubt("the process dies")]
        order = (await house.put(place(traceparent=TRACE))).decided
        assert isinstance(order, Order)
        await settle()
    async with House(store=house.store, broker=house.broker, ids=house.ids, probe=second).open():
        house.broker.tell(new(order.wire_id, cursor="1"))
        await settle()

        assert [each[:2] for each in second.told()] == [("record", TRACE)]


def test_the_trace_is_no_part_of_what_a_client_says() -> None:
    command = place()

    assert body_hash(replace(command, traceparent=TRACE)) == body_hash(command)
    assert replace(command, traceparent=TRACE) == command
