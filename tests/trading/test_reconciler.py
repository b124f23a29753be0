"""The reconciler compares positions: what differs and stays so is a break, what passes is none."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from tests.trading.builders import AAPL, ACCOUNT, ES, D, bust, trade
from tests.trading.fakes import settle
from tests.trading.house import House, working
from trading.execution import BreakKind
from trading.ids import AccountID, InstrumentID
from trading.order import Order

HELD = (ACCOUNT, AAPL)


class Traded(House):
    """A house whose account bought 40 of 100, as both sides know."""

    bought: Order

    async def buy(self) -> None:
        self.bought = await working(self)
        self.broker.held = {HELD: D(0)}
        await self.fill("f1", 40)

    async def fill(self, name: str, qty: int, *, at_broker: int | None = None) -> None:
        """Tell of a fill; the broker's own books have so much of it already."""
        assert self.broker.held is not None
        self.broker.held[HELD] += D(qty if at_broker is None else at_broker)
        self.broker.tell(trade(name, qty, wire_id=self.bought.wire_id, key=name))
        await settle()

    async def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            await self.session._reconciler.look([ACCOUNT])

    @property
    def breaks(self) -> list[str]:
        found = self.store.state.breaks
        return [each.detail for each in found if each.kind is BreakKind.POSITION]


@pytest.fixture
async def house() -> AsyncIterator[Traded]:
    house = Traded()
    async with house.open():
        await house.buy()
        yield house


async def test_positions_that_agree_are_left_alone(house: Traded) -> None:
    await house.rounds(3)

    assert house.breaks == []


async def test_a_difference_that_two_rounds_have_seen_is_a_break_once(house: Traded) -> None:
    house.broker.held = {HELD: D(41)}
    await house.rounds()
    assert house.breaks == []
    await house.rounds(3)

    assert house.breaks == [f"POSITION: symbol={AAPL} ours=40 broker=41"]
    house.broker.held = {HELD: D(42)}
    await house.rounds(3)
    assert house.breaks[1:] == [f"POSITION: symbol={AAPL} ours=40 broker=42"]


async def test_one_that_went_and_came_again_is_told_again(house: Traded) -> None:
    for held in (41, 40, 41):
        house.broker.held = {HELD: D(held)}
        await house.rounds(2)

    assert len(house.breaks) == 2


@pytest.mark.parametrize("shown", [{}, {HELD: D(40), (ACCOUNT, ES): D(1)}])
async def test_what_only_one_side_has_is_one_too(
    house: Traded, shown: dict[tuple[AccountID, InstrumentID], Decimal]
) -> None:
    house.broker.held = shown
    await house.rounds(2)

    assert len(house.breaks) == 1


async def test_fills_on_their_way_are_none_though_they_differ_alike_each_time(
    house: Traded,
) -> None:
    assert house.broker.held is not None
    house.broker.held[HELD] += 1
    await house.rounds()
    # That one arrives, one is undone, and when the next round looks another one is on its way.
    await house.fill("f2", 1, at_broker=0)
    house.broker.held[HELD] -= 1
    house.broker.tell(bust("b", "f2", house.bought.wire_id, key="b"))
    await settle()
    assert house.store.state.positions[HELD].net_qty == D(40)
    house.broker.held[HELD] += 1
    await house.rounds()

    assert house.breaks == []


async def test_an_answer_that_is_not_complete_says_nothing(house: Traded) -> None:
    house.broker.held, house.broker.shows_all = {}, False
    await house.rounds(3)

    assert house.breaks == []
