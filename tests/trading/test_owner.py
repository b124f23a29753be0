"""Owning a broker session: one process at a time, and none that writes after its time."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.trading.builders import ACCOUNT, assert_gapless, cancel, new, place
from tests.trading.fakes import settle
from tests.trading.process import Process, World
from trading.command import CommandState
from trading.order import Order, OrdStatus
from trading.outcome import BrokerUnavailable

TAKEOVER_S = 12


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def owns(process: Process) -> bool:
    return process.owner.owns


def order_of(settled: object) -> Order:
    assert isinstance(settled, Order)
    return settled


async def test_the_first_process_owns_the_session_and_fences_its_accounts(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()

    assert owns(one)
    assert world.store.state.accounts[ACCOUNT].fence == one.owner.epoch == 1


async def test_what_another_process_accepts_is_queued_and_sent_once_by_the_owner(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    other = stack.enter_context(Process(world, "other").running())
    order = order_of((await other.put(place())).decided)

    assert not owns(other)
    assert world.store.state.commands[order.wire_id].state is CommandState.QUEUED
    assert world.bell.sessions == ["fake"]
    one.owner.wake()
    await settle()
    await world.clock.advance(1)

    assert world.broker.sent == [("NEW", order.wire_id)]
    assert world.store.state.commands[order.wire_id].epoch == 1


async def test_the_owner_looks_by_itself_when_nobody_rings(world: World, stack: ExitStack) -> None:
    stack.enter_context(Process(world, "one").running())
    await settle()
    other = stack.enter_context(Process(world, "other", strives=False).running())
    order = order_of((await other.put(place())).decided)
    await world.clock.advance(0.25)

    assert world.broker.sent == [("NEW", order.wire_id)]


async def test_the_brokers_first_word_is_heard_where_it_is_waited_for(
    world: World, stack: ExitStack
) -> None:
    stack.enter_context(Process(world, "one").running())
    await settle()
    other = stack.enter_context(Process(world, "other", strives=False).running())
    settled = await other.put(place(), awaits_broker=True)
    order = order_of(settled.decided)
    assert settled.first_word is not None
    await world.clock.advance(0.5)
    assert not settled.first_word.done()

    world.broker.tell(new(order.wire_id, cursor="1"))
    await settle()
    await world.clock.advance(0.2)

    assert settled.first_word.done()


async def test_a_successor_takes_over_when_the_beats_have_stopped(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    order = order_of((await one.put(place())).decided)
    await settle()
    other = stack.enter_context(Process(world, "other").running())
    await world.clock.advance(3)
    one.kill()
    await world.clock.advance(6)
    assert not owns(other), "the owner's last byte may still be on its way"

    await world.clock.advance(TAKEOVER_S)

    assert owns(other)
    assert other.owner.epoch == 2
    assert world.store.state.accounts[ACCOUNT].fence == 2
    # What was in flight is asked for, and not sent again: the broker has it.
    assert world.broker.sent == [("NEW", order.wire_id)]
    assert world.store.state.commands[order.wire_id].state is CommandState.ACKED
    assert_gapless(world.store.state.reports, ACCOUNT)


async def test_an_owner_that_is_overtaken_writes_nothing_more(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    order = order_of((await one.put(place())).decided)
    await settle()
    await world.store.fence([ACCOUNT], 2)
    before = len(world.store.state.reports)

    world.broker.tell(new(order.wire_id, cursor="1"))
    await settle()

    assert len(world.store.state.reports) == before
    assert not owns(one)
    assert not one.permits.is_open


async def test_an_overtaken_process_queues_what_it_accepts(world: World, stack: ExitStack) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    await world.store.fence([ACCOUNT], 2)
    order = order_of((await one.put(place())).decided)
    await settle()

    assert world.store.state.commands[order.wire_id].state is CommandState.QUEUED
    assert world.broker.sent == []


async def test_an_owner_that_cannot_beat_fences_itself_before_its_term_is_over(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    world.leases.is_down = True
    await world.clock.advance(3)
    assert owns(one)
    await world.clock.advance(1.5)

    assert not one.permits.is_open
    await world.clock.advance(1)
    assert not owns(one)


async def test_it_strives_again_when_the_leases_can_be_had(world: World, stack: ExitStack) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    world.leases.is_down = True
    await world.clock.advance(6)
    world.leases.is_down = False
    await world.clock.advance(TAKEOVER_S)

    assert owns(one)
    assert one.owner.epoch == 2


async def test_a_process_that_leaves_hands_over_at_once(world: World, stack: ExitStack) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    other = stack.enter_context(Process(world, "other").running())
    await settle()
    await one.owner.release()
    await world.clock.advance(1)

    assert owns(other)
    assert not owns(one)


async def test_a_process_alone_takes_nothing_before_its_session_is_open(
    world: World, stack: ExitStack
) -> None:
    alone = Process(world, "alone", strives=False)
    alone.owner._answers = None
    stack.enter_context(alone.running())

    with pytest.raises(BrokerUnavailable):
        await alone.put(place())


async def test_a_cancel_accepted_elsewhere_reaches_the_broker_once(
    world: World, stack: ExitStack
) -> None:
    one = stack.enter_context(Process(world, "one").running())
    await settle()
    order = order_of((await one.put(place())).decided)
    await settle()
    world.broker.tell(new(order.wire_id, cursor="1"))
    await settle()
    other = stack.enter_context(Process(world, "other", strives=False).running())
    canceled = order_of((await other.put(cancel(of=order.cl_ord_id))).decided)
    assert canceled.ord_status is OrdStatus.PENDING_CANCEL
    await world.clock.advance(1)

    assert [kind for kind, _ in world.broker.sent] == ["NEW", "CANCEL"]
