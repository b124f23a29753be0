"""Winding down: cancel until the broker shows none, then close what is held."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    ES,
    OTHER,
    TENANT,
    D,
    account,
    cancel_reject,
    place,
    principal,
    report,
    trade,
)
from tests.trading.fakes import settle
from tests.trading.house import House, working
from trading.account import Position, TradingState
from trading.command import CommandKind, SetTradingState
from trading.control import MassAction, ScopeState
from trading.decision import Check, RiskDecision, Verdict
from trading.execution import ExecType
from trading.ids import UserID
from trading.order import Order, OrdStatus, OrdType, Side
from trading.outcome import TradingStateSet
from trading.permission import Entitlement
from trading.scope import Scope, ScopeKind
from trading.winddown import REFUSALS_MAX

ACTIVE, REDUCING, HALTED = TradingState
EVERYTHING = Scope(ScopeKind.ALL)
OFFICER = principal("officer", accounts={ACCOUNT: Entitlement.READ, OTHER: Entitlement.READ})


@asynccontextmanager
async def opened(*accounts: Any) -> AsyncIterator[House]:
    async with House(*accounts, winds_down=True).open() as house:
        yield house


async def set_(
    house: House,
    scope: Scope = EVERYTHING,
    state: TradingState = HALTED,
    action: MassAction = MassAction.CANCEL_ORDERS,
) -> None:
    command = SetTradingState(state=state, reason="a drill", scope=scope, action=action)
    answer = asyncio.create_task(house.control.set_trading_state(OFFICER, command))
    await house.clock.advance(2)
    assert isinstance(await answer, TradingStateSet)


def the_row(house: House) -> ScopeState:
    [row] = [each for each in house.store.state.scope_states.values() if each.ended_epoch is None]
    return row


def canceled(house: House, order: Order) -> None:
    """Have the broker tell that an order is canceled, and show it no more."""
    house.broker.known.pop(order.wire_id, None)
    house.broker.tell(report(ExecType.CANCELED, order.wire_id, cursor="9"))


async def test_working_orders_are_canceled_until_the_broker_shows_none() -> None:
    async with opened() as house:
        order = await working(house)
        await set_(house)
        assert house.sent == ["NEW", "CANCEL"]
        assert house.order(order).ord_status is OrdStatus.PENDING_CANCEL
        assert the_row(house).clean_at is None

        canceled(house, order)
        await house.clock.advance(2)

        assert house.order(order).ord_status is OrdStatus.CANCELED
        assert the_row(house).clean_at is not None


async def test_what_the_broker_still_shows_is_not_clean() -> None:
    async with opened() as house:
        order = await working(house)
        await set_(house)
        shown = dict(house.broker.known)
        canceled(house, order)
        house.broker.known |= shown
        await house.clock.advance(5)
        assert house.order(order).ord_status is OrdStatus.CANCELED
        assert the_row(house).clean_at is None

        house.broker.known.clear()
        await house.clock.advance(2)

        assert the_row(house).clean_at is not None


async def test_a_refused_cancel_is_asked_for_again() -> None:
    async with opened() as house:
        order = await working(house)
        await set_(house)
        [command] = [
            each for each in house.store.state.commands.values() if each.kind is CommandKind.CANCEL
        ]
        house.broker.tell(cancel_reject(command.wire_id, order.wire_id, cursor="5"))
        await house.clock.advance(2)

        assert house.sent == ["NEW", "CANCEL", "CANCEL"]


@pytest.mark.parametrize(
    "scope",
    [
        Scope(ScopeKind.STRATEGY, "momentum", TENANT),
        Scope(ScopeKind.USER, "alice", TENANT),
        Scope(ScopeKind.ACCOUNT, ACCOUNT),
    ],
    ids=str,
)
async def test_orders_of_other_scopes_go_on(scope: Scope) -> None:
    async with opened(account(), account("b")) as house:
        mine, other = await _two(house)
        await set_(house, scope)

        assert house.order(mine).pending_cancel
        assert not house.order(other).pending_cancel


async def _two(house: House) -> tuple[Order, Order]:
    """Have an order in each of the scopes, and one in none of them."""
    mine = await working(house, "mine")
    other = await house.put(replace(place("theirs"), account_id=OTHER, strategy_id="other"))
    assert isinstance(other.decided, Order)
    await settle()
    orders = house.store.state.orders
    orders[mine.id] = replace(orders[mine.id], user_id=UserID("alice"), strategy_id="momentum")
    return mine, other.decided


async def held(house: House, qty: int = 100) -> None:
    """Have the account hold a position."""
    order = await working(house)
    house.broker.tell(trade("opened", qty, 100, order.wire_id, cursor="2"))
    house.broker.known.clear()
    await settle()


def closing(house: House) -> list[Order]:
    return [
        each
        for each in house.store.state.orders.values()
        if (each.cl_ord_id or "").startswith("FLATTEN")
    ]


async def test_flattening_places_one_reduce_only_order_that_is_recorded_like_any() -> None:
    async with opened() as house:
        await held(house)
        await set_(house, state=REDUCING, action=MassAction.FLATTEN)
        await house.clock.advance(5)

        [order] = closing(house)
        assert (order.side, order.order_qty, order.reduce_only) == (Side.SELL, D(100), True)
        assert (order.ord_type, order.user_id) == (OrdType.MARKET, "officer")
        assert house.sent == ["NEW", "NEW"]
        assert house.store.state.reports[-1].order_id == order.id
        assert the_row(house).clean_at is None

        house.broker.tell(trade("closed", 100, 100, order.wire_id, cursor="3"))
        house.broker.known.clear()
        await house.clock.advance(2)

        assert house.store.state.positions[ACCOUNT, AAPL].net_qty == 0
        assert the_row(house).clean_at is not None


async def test_what_works_is_canceled_before_a_position_is_closed() -> None:
    async with opened() as house:
        await held(house)
        resting = await working(house, "resting")
        await set_(house, state=REDUCING, action=MassAction.FLATTEN)
        assert closing(house) == []

        canceled(house, resting)
        await house.clock.advance(2)

        assert len(closing(house)) == 1


async def test_a_refused_closing_order_is_tried_with_half_and_in_the_end_left_to_people(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as house:
        await held(house)
        refusal = Check(name="X", verdict=Verdict.REFUSE, inputs={}, text="too much")
        house.gate.refuses = RiskDecision(checks=(refusal,), limits_version=1, decided_at=1)
        await set_(house, state=REDUCING, action=MassAction.FLATTEN)
        await house.clock.advance(REFUSALS_MAX + 5)

        sizes = [order.order_qty for order in closing(house)]
        assert sizes[:4] == [D(100), D(50), D(25), D(12)]
        assert min(sizes) == 1
        assert len(sizes) == REFUSALS_MAX + 1
        assert "could not be closed" in caplog.text


async def test_flattening_one_instrument_leaves_the_others() -> None:
    async with opened() as house:
        await held(house)
        house.store.state.positions[ACCOUNT, ES] = Position(
            account_id=ACCOUNT, symbol=ES, net_qty=D(2)
        )
        await set_(house, Scope(ScopeKind.INSTRUMENT, AAPL, TENANT), REDUCING, MassAction.FLATTEN)

        assert {order.symbol for order in closing(house)} == {AAPL}


async def test_nothing_is_closed_where_another_scope_is_halted() -> None:
    async with opened() as house:
        await held(house)
        await set_(house, Scope(ScopeKind.ACCOUNT, ACCOUNT), HALTED, MassAction.NONE)
        await set_(house, state=REDUCING, action=MassAction.FLATTEN)

        assert closing(house) == []


async def test_it_goes_on_after_a_restart() -> None:
    async with opened() as house:
        order = await working(house)
        house.store.scopes.owners.clear()
        command = SetTradingState(
            state=HALTED, reason="x", scope=EVERYTHING, action=MassAction.CANCEL_ORDERS
        )
        await house.control.set_trading_state(OFFICER, command)
        house.kill()
        await settle()
    again = House(store=house.store, broker=house.broker, ids=house.ids, winds_down=True)
    async with again.open():
        await again.clock.advance(2)

        assert again.order(order).pending_cancel
