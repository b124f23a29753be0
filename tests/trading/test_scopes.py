"""Scopes: what a trading state holds for, up to the first byte of an order."""

import asyncio
from collections.abc import AsyncIterator, Collection
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
    account,
    order,
    place,
    principal,
    set_for,
)
from tests.trading.house import House, working
from tests.trading.memory import MemoryTransaction
from tests.trading.process import Process, World
from trading.account import TradingState
from trading.closing import CONFIRM_WITHIN_S
from trading.command import CommandState, SetTradingState
from trading.control import (
    Confirmation,
    MassAction,
    TradingStates,
    subject_of,
    subject_of_order,
)
from trading.controller import ControlDesk
from trading.following import followed
from trading.ids import AccountID, TenantID, UserID
from trading.order import Order, OrdStatus
from trading.outcome import ApprovalRequired, Forbidden, InvalidInput, NotFound, TradingStateSet
from trading.permission import Entitlement, Permission
from trading.permit import Permits
from trading.ports import InDoubt, PermitRefused, Unavailable
from trading.reject import RejectedBy
from trading.scope import Scope, ScopeKind
from trading.store import StoreBusy

ACTIVE, REDUCING, HALTED = TradingState
BOTH = {ACCOUNT: Entitlement.READ, OTHER: Entitlement.READ}
EVERYTHING = frozenset(Permission)
OFFICER = principal("officer", accounts=BOTH, permissions=EVERYTHING)
SECOND = principal("second", accounts=BOTH, permissions=EVERYTHING)
ALICE = UserID("alice")

SCOPES = [
    Scope(ScopeKind.ALL),
    Scope(ScopeKind.BROKER, "fake"),
    Scope(ScopeKind.BROKER, "fake", TENANT),
    Scope(ScopeKind.TENANT, TENANT),
    Scope(ScopeKind.USER, ALICE, TENANT),
    Scope(ScopeKind.ACCOUNT, ACCOUNT),
    Scope(ScopeKind.STRATEGY, "momentum", TENANT),
    Scope(ScopeKind.INSTRUMENT, AAPL, TENANT),
    Scope(ScopeKind.INSTRUMENT, AAPL),
]
BESIDE = [
    Scope(ScopeKind.BROKER, "another"),
    Scope(ScopeKind.BROKER, "fake", TenantID("another")),
    Scope(ScopeKind.TENANT, "another"),
    Scope(ScopeKind.USER, "bob", TENANT),
    Scope(ScopeKind.ACCOUNT, OTHER),
    Scope(ScopeKind.STRATEGY, "reversal", TENANT),
    Scope(ScopeKind.STRATEGY, "momentum", TenantID("another")),
    Scope(ScopeKind.INSTRUMENT, ES, TENANT),
]
MINE = order(user_id=ALICE, strategy_id="momentum")
ids = str


def command(scope: Scope, state: TradingState = HALTED, **fields: Any) -> SetTradingState:
    return SetTradingState(state=state, reason="a drill", scope=scope, **fields)


async def acknowledged(house: House, asked: SetTradingState) -> TradingStateSet:
    """Set a state, with the time that its acknowledgement takes."""
    answer = asyncio.create_task(house.control.set_trading_state(OFFICER, asked))
    await house.clock.advance(0.5)
    result = await answer
    assert isinstance(result, TradingStateSet)
    return result


async def released(house: House, asked: SetTradingState) -> None:
    answer = await house.control.set_trading_state(OFFICER, asked)
    assert isinstance(answer, ApprovalRequired)
    await house.control.approve_trading_state(SECOND, answer.request.id)


@pytest.mark.parametrize("scope", SCOPES, ids=ids)
@pytest.mark.parametrize("state", [REDUCING, HALTED])
def test_an_order_is_under_the_states_of_all_its_scopes(scope: Scope, state: TradingState) -> None:
    states = TradingStates.of_rows([set_for(scope, state)])

    assert states.over(subject_of_order(MINE, "fake")) is state
    assert followed(account(), states).state_for(MINE) is state


@pytest.mark.parametrize("scope", BESIDE, ids=ids)
def test_an_order_is_not_under_those_of_others(scope: Scope) -> None:
    states = TradingStates.of_rows([set_for(scope, HALTED)])

    assert states.over(subject_of_order(MINE, "fake")) is ACTIVE
    assert followed(account(), states).state_for(MINE) is ACTIVE


def test_the_strictest_of_its_scopes_counts() -> None:
    rows = [
        set_for(Scope(ScopeKind.ALL), REDUCING, 1),
        set_for(Scope(ScopeKind.STRATEGY, "momentum", TENANT), HALTED, 2),
        set_for(Scope(ScopeKind.ACCOUNT, ACCOUNT), ACTIVE, 3),
    ]
    states = TradingStates.of_rows(rows)

    assert states.over(subject_of_order(MINE, "fake")) is HALTED
    assert followed(account(), states).state_for(MINE) is HALTED
    assert followed(account(), states).state_for(order()) is REDUCING


def test_who_replaces_an_order_is_asked_for_as_well_as_who_entered_it() -> None:
    states = TradingStates.of_rows([set_for(Scope(ScopeKind.USER, "bob", TENANT), HALTED)])

    assert states.over(subject_of_order(MINE, "fake", UserID("bob"))) is HALTED
    assert followed(account(), states).state_for(MINE, UserID("bob")) is HALTED


def test_an_account_is_not_loosened_without_a_release() -> None:
    halted = account(trading_state=HALTED)
    unsaid = TradingStates.of_rows([set_for(Scope(ScopeKind.ALL), REDUCING)])
    said = TradingStates.of_rows(
        [set_for(Scope(ScopeKind.ACCOUNT, ACCOUNT), REDUCING, approved_by=UserID("second"))]
    )

    assert followed(halted, unsaid).trading_state is HALTED
    assert followed(halted, said).trading_state is REDUCING
    # One that was said before it last followed is no release of what was latched since.
    assert followed(replace(halted, scope_epoch=1), said).trading_state is HALTED


@pytest.mark.parametrize("scope", SCOPES, ids=ids)
async def test_one_word_halts_what_it_names_and_two_release_it(scope: Scope) -> None:
    async with House(account(), account("b")).open() as house:
        subject = subject_of_order(MINE, "fake")
        answer = await acknowledged(house, command(scope))
        assert answer.acknowledgement is not None
        assert answer.acknowledgement.confirmed == ("fake",)
        assert answer.acknowledgement.unconfirmed == ()
        with pytest.raises(PermitRefused):
            house.permits.permit(subject, ACTIVE).check()
        assert house.store.state.accounts[ACCOUNT].state_for(MINE) is HALTED
        assert {change.scope_kind for change in answer.changes} == {scope.kind}

        await released(house, command(scope, ACTIVE))

        house.permits.permit(subject, ACTIVE).check()
        assert house.store.state.accounts[ACCOUNT].state_for(MINE) is ACTIVE


@pytest.mark.parametrize("scope", SCOPES, ids=ids)
async def test_a_halt_is_latched_across_a_restart(scope: Scope) -> None:
    async with House().open() as house:
        await acknowledged(house, command(scope))
    async with house.again().open() as again:
        with pytest.raises(PermitRefused):
            again.permits.permit(subject_of_order(MINE, "fake"), ACTIVE).check()


def control_of(world: World) -> ControlDesk:
    return ControlDesk(
        store=world.store,
        permits=Permits(world.clock),
        doorbell=world.bell,
        clock=world.clock,
        ids=world.ids,
    )


@pytest.mark.parametrize("scope", [SCOPES[0], SCOPES[5], SCOPES[8]], ids=ids)
async def test_what_is_queued_is_withheld_and_recorded_as_refused_by_us(scope: Scope) -> None:
    world = World()
    with Process(world, "accepts", strives=False).running() as process:
        order = (await process.put(place())).decided
        assert isinstance(order, Order)
        assert world.store.state.commands[order.wire_id].state is CommandState.QUEUED

        answer = await control_of(world).set_trading_state(OFFICER, command(scope))

    assert isinstance(answer, TradingStateSet)
    refused = world.store.state.orders[order.id]
    assert (refused.ord_status, refused.rejected_by) == (OrdStatus.REJECTED, RejectedBy.GATEWAY)
    assert world.store.state.commands[order.wire_id].state is CommandState.WITHHELD


async def test_what_is_queued_in_another_scope_stays() -> None:
    world = World()
    with Process(world, "accepts", strives=False).running() as process:
        order = (await process.put(place())).decided
        await control_of(world).set_trading_state(
            OFFICER, command(Scope(ScopeKind.INSTRUMENT, ES, TENANT))
        )

    assert isinstance(order, Order)
    assert world.store.state.commands[order.wire_id].state is CommandState.QUEUED


async def test_an_owner_that_does_not_answer_is_named_when_the_wait_is_over() -> None:
    world = World()
    world.store.scopes.owners["fake"] = Confirmation(broker="fake", epoch=1, scope_epoch=0)
    setting = control_of(world).set_trading_state(OFFICER, command(SCOPES[0]))
    answer = asyncio.create_task(setting)
    await world.clock.advance(CONFIRM_WITHIN_S - 0.1)
    assert not answer.done()
    await world.clock.advance(0.2)

    result = await answer
    assert isinstance(result, TradingStateSet)
    assert result.acknowledgement is not None
    assert result.acknowledgement.unconfirmed == ("fake",)
    assert world.store.state.accounts[ACCOUNT].trading_state is HALTED


async def test_the_acknowledgement_lists_what_may_still_appear() -> None:
    async with House().open() as house:
        known = await working(house)
        house.broker.answers = [InDoubt("no answer")]
        house.broker.found = [Unavailable("later")] * 20
        doubted = await house.placed("p2")
        answer = await acknowledged(house, command(SCOPES[0]))

    assert answer.acknowledgement is not None
    assert [each.id for each in answer.acknowledgement.in_flight] == [doubted.id]
    assert {each.id for each in answer.acknowledgement.working} == {known.id, doubted.id}


async def test_orders_of_accounts_that_one_may_not_read_only_count() -> None:
    async with House().open() as house:
        await working(house)
        house.broker.answers = [InDoubt("no answer")]
        house.broker.found = [Unavailable("later")] * 20
        await house.placed("p2")
        blind = principal("blind", accounts={}, permissions=EVERYTHING)
        answer = asyncio.create_task(house.control.set_trading_state(blind, command(SCOPES[0])))
        await house.clock.advance(0.5)
        result = await answer

    assert isinstance(result, TradingStateSet)
    told = result.acknowledgement
    assert told is not None
    assert (told.working, told.working_count) == ((), 2)
    assert (told.in_flight, told.in_flight_count) == ((), 1)


async def test_a_state_of_a_broker_waits_for_its_own_owner_alone() -> None:
    world = World()
    world.store.scopes.owners["another"] = Confirmation(broker="another", epoch=1, scope_epoch=0)
    answer = await control_of(world).set_trading_state(OFFICER, command(SCOPES[1]))

    assert isinstance(answer, TradingStateSet)


async def test_going_further_takes_one_person_and_going_less_far_changes_nothing() -> None:
    world = World()
    control, scope = control_of(world), SCOPES[0]
    await control.set_trading_state(OFFICER, command(scope))
    further = await control.set_trading_state(
        OFFICER, command(scope, action=MassAction.CANCEL_ORDERS)
    )
    less = await control.set_trading_state(OFFICER, command(scope))
    [row] = await control.trading_states(OFFICER)

    assert isinstance(further, TradingStateSet)
    assert further.acknowledgement is not None
    assert isinstance(less, TradingStateSet)
    assert less.changes == ()
    assert less.acknowledgement == further.acknowledgement
    assert (row.state, row.action) == (HALTED, MassAction.CANCEL_ORDERS)


async def test_a_release_that_was_overtaken_is_asked_for_anew() -> None:
    world = World()
    control, scope = control_of(world), SCOPES[8]
    await control.set_trading_state(OFFICER, command(scope, REDUCING))
    asked = await control.set_trading_state(OFFICER, command(scope, ACTIVE))
    assert isinstance(asked, ApprovalRequired)
    await world.clock.advance(1)
    await control.set_trading_state(SECOND, command(scope, HALTED))

    with pytest.raises(NotFound, match="ask anew"):
        await control.approve_trading_state(SECOND, asked.request.id)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (command(SCOPES[0], ACTIVE, action=MassAction.CANCEL_ORDERS), "NOT_ALLOWED"),
        (command(SCOPES[0], HALTED, action=MassAction.FLATTEN), "NOT_ALLOWED"),
        (command(SCOPES[4], REDUCING, action=MassAction.FLATTEN), "NOT_ALLOWED"),
        (command(SCOPES[6], REDUCING, action=MassAction.FLATTEN), "NOT_ALLOWED"),
        (command(Scope(ScopeKind.STRATEGY, "", TENANT)), "REQUIRED"),
    ],
)
async def test_what_makes_no_sense_is_told(asked: SetTradingState, code: str) -> None:
    answer = await control_of(World()).set_trading_state(OFFICER, asked)

    assert isinstance(answer, InvalidInput)
    assert [each.code for each in answer.errors] == [code]


async def test_what_holds_for_all_tenants_takes_a_permission_of_its_own() -> None:
    world = World()
    bounded = principal(
        "bounded", permissions=EVERYTHING - {Permission.TRADING_STATE_WRITE_ALL}, accounts=BOTH
    )
    control = control_of(world)
    for scope in (SCOPES[0], SCOPES[1], SCOPES[8]):
        with pytest.raises(Forbidden, match="write-all"):
            await control.set_trading_state(bounded, command(scope))
    for foreign in (Scope(ScopeKind.TENANT, "x"), Scope(ScopeKind.ACCOUNT, "x")):
        with pytest.raises(NotFound):
            await control.set_trading_state(OFFICER, command(foreign))
    with pytest.raises(Forbidden):
        await control.set_trading_state(OFFICER, command(BESIDE[1]))
    assert world.store.commits == 0


async def test_a_release_of_all_takes_it_too() -> None:
    world = World()
    control = control_of(world)
    await control.set_trading_state(OFFICER, command(SCOPES[0]))
    asked = await control.set_trading_state(OFFICER, command(SCOPES[0], ACTIVE))
    assert isinstance(asked, ApprovalRequired)
    bounded = principal("bounded", permissions=EVERYTHING - {Permission.TRADING_STATE_WRITE_ALL})
    stranger = principal("stranger", permissions=EVERYTHING, tenant_id=TenantID("other"))

    with pytest.raises(Forbidden):
        await control.approve_trading_state(bounded, asked.request.id)
    with pytest.raises(NotFound, match="awaits approval"):
        await control.approve_trading_state(stranger, asked.request.id)


async def test_an_earlier_snapshot_does_not_undo_a_later_one() -> None:
    house = House()
    subject = subject_of(account())
    house.permits.hear(TradingStates.of_rows([set_for(SCOPES[0], HALTED, 2)]))
    house.permits.hear(TradingStates.of_rows([set_for(SCOPES[0], ACTIVE, 1)]))

    with pytest.raises(PermitRefused):
        house.permits.permit(subject, ACTIVE).check()


async def test_an_account_whose_lock_stays_taken_follows_when_it_is_free() -> None:
    world = World()
    store = world.store
    tries = iter([StoreBusy("locked"), StoreBusy("locked")])
    transaction = store.transaction

    @asynccontextmanager
    async def busy(
        *, urgent: bool = False, brief: bool = False
    ) -> AsyncIterator[MemoryTransaction]:
        async with transaction(urgent=urgent, brief=brief) as each:
            lock = each.lock

            async def locked(accounts: Collection[AccountID]) -> None:
                if accounts and (error := next(tries, None)) is not None:
                    raise error
                await lock(accounts)

            each.lock = locked  # type: ignore[method-assign]
            yield each

    store.transaction = busy  # type: ignore[method-assign]
    answer = asyncio.create_task(control_of(world).set_trading_state(OFFICER, command(SCOPES[0])))
    await world.clock.advance(0.3)
    assert store.state.accounts[ACCOUNT].trading_state is ACTIVE
    await world.clock.advance(0.3)

    assert isinstance(await answer, TradingStateSet)
    assert store.state.accounts[ACCOUNT].trading_state is HALTED


async def test_an_owner_brings_up_to_date_what_whoever_halted_did_not_live_to_reach() -> None:
    async with House().open() as house:
        row = set_for(SCOPES[0], HALTED)
        house.store.state.scope_states[row.epoch] = row
        await house.clock.advance(0.5)

        assert house.store.state.accounts[ACCOUNT].trading_state is HALTED
        assert house.store.scopes.owners["fake"].scope_epoch == row.epoch
