"""A limit that latches: from that commit on the account only reduces, until two release it."""

import asyncio
import logging
from dataclasses import replace

import pytest

from tests.trading.builders import ACCOUNT, NOW, place, principal
from tests.trading.fakes import OpenGate
from tests.trading.house import House
from trading.account import TradingState
from trading.books import Books
from trading.command import SetTradingState
from trading.control import ScopeState
from trading.decision import Check, RiskDecision, Verdict
from trading.instrument import Instrument
from trading.order import ApprovedOrder, Order
from trading.outcome import ApprovalRequired, TradingStateSet
from trading.ports import Cleared
from trading.scope import Scope, ScopeKind

WHY = "LOSS_LIMIT: equity=1 limit=2"
MINE = Scope(ScopeKind.ACCOUNT, ACCOUNT)
OFFICER, SECOND = principal("officer"), principal("second")


class Losing(OpenGate):
    """A gate that finds the account beyond its loss limit with every order."""

    def clear(
        self, order: Order, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedOrder]:
        return replace(super().clear(order, instrument, books, at), reduces=WHY)


def losing() -> House:
    house = House()
    gate = Losing()
    check = Check(name="DAILY_LOSS", verdict=Verdict.REFUSE, inputs={}, text=WHY)
    gate.refuses = RiskDecision(checks=(check,), limits_version=1, decided_at=NOW)
    house.queue._clerk._gate = gate
    return house


def wanted(state: TradingState) -> SetTradingState:
    return SetTradingState(scope=MINE, state=state, reason="looked into")


def in_force(house: House) -> ScopeState:
    [row] = [each for each in house.store.state.scope_states.values() if each.ended_epoch is None]
    return row


async def test_the_account_and_its_scope_reduce_in_the_commit_of_the_refusal() -> None:
    async with losing().open() as house:
        await house.put(place("p1"))
        await house.put(place("p2"))

        row = in_force(house)
        assert (row.scope, row.state, row.changed_by) == (MINE, TradingState.REDUCING, "risk")
        assert row.reason == WHY
        account = house.store.state.accounts[ACCOUNT]
        assert account.trading_state is TradingState.REDUCING
        [change] = house.bell.changes
        assert (change.state, change.scope_kind) == (TradingState.REDUCING, ScopeKind.ACCOUNT)


async def test_it_takes_two_to_release_it() -> None:
    async with losing().open() as house:
        await house.put(place("p1"))
        asked = await house.control.set_trading_state(OFFICER, wanted(TradingState.ACTIVE))
        assert isinstance(asked, ApprovalRequired)
        done = await house.control.approve_trading_state(SECOND, asked.request.id)
        assert isinstance(done, TradingStateSet)
        assert house.store.state.accounts[ACCOUNT].trading_state is TradingState.ACTIVE
        await house.put(place("p3"))

        assert house.store.state.accounts[ACCOUNT].trading_state is TradingState.REDUCING
        assert in_force(house).state is TradingState.REDUCING


async def test_what_is_halted_is_not_loosened_by_it() -> None:
    async with losing().open() as house:
        halting = asyncio.create_task(
            house.control.set_trading_state(OFFICER, wanted(TradingState.HALTED))
        )
        await house.clock.advance(0.5)
        await halting
        await house.put(place("p1"))

        assert house.store.state.accounts[ACCOUNT].trading_state is TradingState.HALTED
        assert in_force(house).state is TradingState.HALTED


async def test_a_refusal_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with losing().open() as house:
        with caplog.at_level(logging.WARNING, "trading.batch"):
            await house.put(place("p1"))

    lines = [each.getMessage() for each in caplog.records if each.name == "trading.batch"]
    assert lines == [f"risk refused account=a clOrdId=p1 control=DAILY_LOSS {WHY}"]
