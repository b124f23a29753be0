"""The control desk: one person tightens at once, two loosen."""

import asyncio
from typing import Any

import pytest

from tests.trading.builders import ACCOUNT, OTHER, TENANT, account, place, principal
from tests.trading.fakes import settle
from tests.trading.house import House
from tests.trading.memory import Failure
from trading.account import TradingState
from trading.command import CommandState, SetTradingState
from trading.control import subject_of
from trading.ids import AccountID, TenantID
from trading.outcome import ApprovalRequired, Forbidden, InvalidInput, NotFound, TradingStateSet
from trading.permission import Entitlement
from trading.store import StoreUnavailable

BOTH = {ACCOUNT: Entitlement.TRADE, OTHER: Entitlement.READ}
OFFICER, SECOND = principal("officer", accounts=BOTH), principal("second", accounts=BOTH)
ACTIVE, REDUCING, HALTED = TradingState


def command(state: TradingState, **scope: Any) -> SetTradingState:
    return SetTradingState(state=state, reason="a drill", **(scope or {"account_id": ACCOUNT}))


def state(house: House, account_id: AccountID = ACCOUNT) -> TradingState:
    return house.store.state.accounts[account_id].trading_state


@pytest.mark.parametrize("to", [REDUCING, HALTED])
async def test_one_person_tightens_at_once(to: TradingState) -> None:
    house = House()
    answer = await house.control.set_trading_state(OFFICER, command(to))

    assert isinstance(answer, TradingStateSet)
    [change] = answer.changes
    assert (change.before, change.state, change.changed_by) == (ACTIVE, to, "officer")
    assert state(house) is to
    assert house.bell.changes == [change]


async def test_tightening_stops_what_is_committed_but_not_yet_written() -> None:
    answers: list[asyncio.Task[object]] = []
    async with House().open() as house:

        async def halt() -> None:
            # The answer waits for what is being sent, which therefore does not wait for it.
            setting = house.control.set_trading_state(OFFICER, command(HALTED))
            answers.append(asyncio.create_task(setting))
            await settle()
            house.gate.withholds = "TRADING_HALTED"

        house.broker.before_first_byte = halt
        order = await house.placed()
        assert house.sent == []
        await house.clock.advance(1)

        assert house.state(order.wire_id) is CommandState.WITHHELD
        assert house.sent == []
        assert all(answer.done() for answer in answers)


async def test_a_state_that_is_already_so_changes_nothing() -> None:
    house = House()
    answer = await house.control.set_trading_state(OFFICER, command(ACTIVE))

    assert answer == TradingStateSet(())


@pytest.mark.parametrize(("before", "to"), [(HALTED, ACTIVE), (HALTED, REDUCING)])
async def test_loosening_takes_a_second_person(before: TradingState, to: TradingState) -> None:
    house = House(account(trading_state=before))
    answer = await house.control.set_trading_state(OFFICER, command(to))
    assert isinstance(answer, ApprovalRequired)
    assert state(house) is before
    with pytest.raises(Forbidden, match="another person"):
        await house.control.approve_trading_state(OFFICER, answer.request.id)
    approved = await house.control.approve_trading_state(SECOND, answer.request.id)

    assert isinstance(approved, TradingStateSet)
    [change] = approved.changes
    assert (change.changed_by, change.approved_by) == ("officer", "second")
    assert state(house) is to


async def test_an_approval_is_good_once() -> None:
    house = House(account(trading_state=HALTED))
    answer = await house.control.set_trading_state(OFFICER, command(ACTIVE))
    assert isinstance(answer, ApprovalRequired)
    await house.control.approve_trading_state(SECOND, answer.request.id)
    await house.control.set_trading_state(OFFICER, command(HALTED))
    with pytest.raises(NotFound):
        await house.control.approve_trading_state(SECOND, answer.request.id)

    assert state(house) is HALTED


@pytest.mark.parametrize("scope", [{"account_id": ACCOUNT}, {"tenant_id": TENANT}])
async def test_an_approval_does_not_undo_a_newer_word(scope: dict[str, Any]) -> None:
    house = House()
    await house.control.set_trading_state(OFFICER, command(REDUCING, **scope))
    asked = await house.control.set_trading_state(OFFICER, command(ACTIVE, **scope))
    assert isinstance(asked, ApprovalRequired)
    await house.clock.advance(1)
    await house.control.set_trading_state(SECOND, command(HALTED))

    with pytest.raises(NotFound, match="ask anew"):
        await house.control.approve_trading_state(SECOND, asked.request.id)

    assert state(house) is HALTED


async def test_a_request_does_not_wait_for_ever() -> None:
    house = House(account(trading_state=HALTED))
    answer = await house.control.set_trading_state(OFFICER, command(ACTIVE))
    assert isinstance(answer, ApprovalRequired)
    await house.clock.advance(3600)
    with pytest.raises(NotFound):
        await house.control.approve_trading_state(SECOND, answer.request.id)

    assert state(house) is HALTED


async def test_a_tenants_accounts_change_together() -> None:
    house = House(account(), account("b"))
    answer = await house.control.set_trading_state(OFFICER, command(HALTED, tenant_id=TENANT))

    assert isinstance(answer, TradingStateSet)
    assert {each.account_id for each in answer.changes} == {ACCOUNT, OTHER}


async def test_what_tightens_does_not_wait_for_what_would_loosen() -> None:
    house = House(account(), account("b", trading_state=HALTED))
    answer = await house.control.set_trading_state(OFFICER, command(REDUCING, tenant_id=TENANT))

    assert isinstance(answer, ApprovalRequired)
    assert (state(house), state(house, OTHER)) == (REDUCING, HALTED)
    assert [each.account_id for each in house.bell.changes] == [ACCOUNT]


@pytest.mark.parametrize(
    "scope",
    [
        {"account_id": AccountID("nowhere")},
        {"tenant_id": TenantID("another")},
        {"account_id": None},
    ],
)
async def test_what_is_not_the_principals_is_not_found(scope: dict[str, Any]) -> None:
    house = House()
    with pytest.raises(NotFound):
        await house.control.set_trading_state(OFFICER, command(HALTED, **scope))

    assert house.store.commits == 0


async def test_it_takes_the_permission_and_a_reason() -> None:
    house = House()
    powerless = principal("powerless", permissions=frozenset())
    for attempt in (
        house.control.set_trading_state(powerless, command(HALTED)),
        house.control.approve_trading_state(powerless, "any"),
    ):
        with pytest.raises(Forbidden):
            await attempt
    silent = SetTradingState(state=HALTED, reason=" ", account_id=ACCOUNT)

    assert isinstance(await house.control.set_trading_state(OFFICER, silent), InvalidInput)
    assert state(house) is ACTIVE


async def test_a_change_that_was_not_recorded_is_not_announced() -> None:
    house = House()
    house.store.failures = [Failure.BEFORE_COMMIT]
    with pytest.raises(StoreUnavailable):
        await house.control.set_trading_state(OFFICER, command(HALTED))

    assert house.bell.changes == []
    house.permits.permit(subject_of(account()), ACTIVE).check()


async def test_orders_are_sent_again_after_the_release() -> None:
    async with House(account(trading_state=HALTED)).open() as house:
        answer = await house.control.set_trading_state(OFFICER, command(ACTIVE))
        assert isinstance(answer, ApprovalRequired)
        await house.control.approve_trading_state(SECOND, answer.request.id)
        await house.put(place())
        await settle()

        assert house.sent == ["NEW"]
