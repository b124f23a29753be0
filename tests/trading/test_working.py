"""What a session knows of its orders is so, or is found out not to be.

Every transaction of the store in memory compares what is held with what it has.
"""

import pytest

from tests.trading.builders import amend, books, new, order, place, trade
from tests.trading.fakes import settle
from tests.trading.house import House
from tests.trading.memory import Failure
from trading.command import CommandState
from trading.ids import OrderID, WireID
from trading.order import Order, OrdStatus
from trading.ports import RateLimited
from trading.recorder import Due
from trading.session import BrokerSession
from trading.working import WorkingSet


async def test_an_order_is_known_from_its_sending_to_its_end() -> None:
    async with House().open() as house:
        placed = await house.placed()
        wants = await house.session._working.wants(house.store, [new(wire_id=placed.wire_id)])
        assert wants.held[placed.wire_id].order == house.order(placed)

        house.broker.tell(new(wire_id=placed.wire_id, cursor="1"))
        await settle()
        house.broker.tell(trade("t", 100, wire_id=placed.wire_id, cursor="2"))
        await settle()
        assert house.order(placed).status is OrdStatus.FILLED
        wants = await house.session._working.wants(house.store, [Due(placed.wire_id)])
        assert not wants.held
        assert wants.accounts == {placed.account_id}


@pytest.mark.parametrize("failure", [Failure.BEFORE_COMMIT, Failure.AFTER_COMMIT])
async def test_nothing_is_known_after_a_commit_of_unknown_outcome(failure: Failure) -> None:
    """A command that is taken up changes without a report, so that nothing else would tell."""
    async with House().open() as house:
        house.broker.answers = [RateLimited("slow", 7)]
        placed = await house.placed()
        assert house.state(placed.wire_id) is CommandState.QUEUED

        house.store.failures = [failure]
        await house.clock.advance(8)
        assert house.store.failures == []
        assert house.session.is_open
        assert house.state(placed.wire_id) is CommandState.SENT
        assert house.sent == ["NEW", "NEW"]


async def test_those_known_for_longest_make_room() -> None:
    async with House().open() as house:
        known, ids = WorkingSet(room=2), [WireID(f"w{number}") for number in range(3)]
        for each in ids:
            learned = books()
            learned.orders[OrderID(each)] = order(id=OrderID(each), wire_id=each)
            known.learn(learned)

        wants = await known.wants(house.store, [Due(each) for each in ids])
        assert set(wants.held) == set(ids[1:])


class Elsewhere:
    """The session as a process sees it that does not own it, and so queues what it takes."""

    epoch = None
    is_open = True

    def __init__(self, session: BrokerSession) -> None:
        self.dispatch, self.take_back = session.dispatch, session.take_back
        self.expect = session.expect


async def test_what_was_queued_with_an_order_is_sent_after_it() -> None:
    async with House().open() as house:
        house.queue._sessions = {"fake": Elsewhere(house.session)}
        placed = await house.put(place())
        await house.put(amend())
        assert isinstance(placed.decided, Order)
        await house.clock.advance(1)
        assert house.sent == ["NEW"]

        house.broker.tell(new(wire_id=placed.decided.wire_id, cursor="1"))
        await settle()
        assert house.sent == ["NEW", "REPLACE"]
