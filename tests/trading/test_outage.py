"""The store fails at any point: nothing is lost, and nothing is recorded or sent twice."""

from typing import Any

import pytest

from tests.trading.builders import (
    new,
    trade,
)
from tests.trading.fakes import settle
from tests.trading.house import House, canceling, working
from tests.trading.memory import Failure
from trading.execution import BreakKind


async def test_events_wait_for_the_store_and_are_recorded_in_order() -> None:
    async with House().open() as house:
        order = await working(house)
        house.store.is_down = True
        for number in range(1, 6):
            cursor = str(number)
            house.broker.tell(trade(f"t{number}", 10, wire_id=order.wire_id, cursor=cursor))
            await settle()
        await house.clock.advance(3)
        assert house.told == ["PENDING_NEW", "NEW"]
        house.store.is_down = False
        await house.clock.advance(1)

        assert [each.exec_id for each in house.store.state.fills] == [f"t{n}" for n in range(1, 6)]
        assert house.store.state.cursors == {"fake": "5"}


@pytest.mark.parametrize("failure", Failure)
async def test_news_are_recorded_once_wherever_the_store_fails(failure: Failure) -> None:
    async with House().open() as house:
        order = await working(house)
        house.store.failures = [failure]
        house.broker.tell(trade("t", 10, wire_id=order.wire_id))
        await house.clock.advance(1)

        assert house.told == ["PENDING_NEW", "NEW", "TRADE"]
        assert house.order(order).cum_qty == 10


@pytest.mark.parametrize("failure", Failure)
async def test_what_follows_is_sent_once_wherever_the_store_fails(failure: Failure) -> None:
    async with House().open() as house:
        order = await house.placed()
        await canceling(house, order)
        house.store.failures = [failure]
        house.broker.tell(new(order.wire_id))
        await house.clock.advance(1)

        assert house.sent == ["NEW", "CANCEL"]


async def test_an_event_that_cannot_be_recorded_is_kept_and_spoils_no_other() -> None:
    async with House().open() as house:
        order = await working(house)
        poison = trade("bad", 10, wire_id=order.wire_id, key="poison", raw=b"\xff raw", cursor="8")
        house.store.poison = {"poison"}
        house.broker.tell(poison, trade("t", 10, wire_id=order.wire_id, cursor="9"))
        await settle()

        assert [each.exec_id for each in house.store.state.fills] == ["t"]
        [kept] = house.store.state.breaks
        assert (kept.kind, kept.detail) == (BreakKind.UNREADABLE, "\ufffd raw")
        assert house.store.state.cursors == {"fake": "9"}
        assert house.session.is_open


async def test_a_store_that_fails_while_it_keeps_a_bad_event_does_not_end_the_session() -> None:
    async with House().open() as house:
        order = await working(house)
        house.store.poison = {"poison"}
        house.broker.tell(trade("bad", 10, wire_id=order.wire_id, key="poison"))
        real = house.store.transaction

        def second_fails(**_: Any) -> Any:
            house.store.failures = [Failure.BEFORE_COMMIT]
            house.store.transaction = real  # type: ignore[method-assign]
            return real()

        def first(**_: Any) -> Any:
            house.store.transaction = second_fails  # type: ignore[method-assign]
            return real()

        house.store.transaction = first  # type: ignore[method-assign]
        await house.clock.advance(1)

        assert len(house.store.state.breaks) == 1
        assert house.session.is_open
