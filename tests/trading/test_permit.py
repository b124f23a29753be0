"""Permits: what was approved leaves only while nobody has tightened since."""

import pytest

from tests.trading.builders import ACCOUNT, NS, OTHER, TENANT, set_for
from tests.trading.fakes import ManualClock
from trading.account import TradingState
from trading.control import TradingStates
from trading.ids import AccountID
from trading.permit import Permits
from trading.ports import PermitRefused
from trading.scope import Scope, ScopeKind, Subject

ACTIVE, REDUCING, HALTED = TradingState


def subject(account_id: AccountID = ACCOUNT) -> Subject:
    return Subject(tenant_id=TENANT, broker="fake", account_id=account_id)


def states(state: TradingState, account_id: AccountID = ACCOUNT, epoch: int = 1) -> TradingStates:
    return TradingStates.of_rows([set_for(Scope(ScopeKind.ACCOUNT, account_id), state, epoch)])


def opened(clock: ManualClock | None = None) -> Permits:
    clock = clock or ManualClock()
    permits = Permits(clock)
    permits.extend(clock.monotonic() + 5 * NS)
    return permits


@pytest.mark.parametrize("approved", TradingState)
@pytest.mark.parametrize("heard", TradingState)
def test_a_permit_holds_while_the_state_is_no_stricter(
    approved: TradingState, heard: TradingState
) -> None:
    permits = opened()
    permit = permits.permit(subject(), approved)
    permits.hear(states(heard))

    if heard is HALTED or (approved is ACTIVE and heard is REDUCING):
        with pytest.raises(PermitRefused, match=heard):
            permit.check()
    else:
        permit.check()


def test_accounts_are_halted_one_by_one() -> None:
    permits = opened()
    permits.hear(states(HALTED, OTHER))

    permits.permit(subject(), ACTIVE).check()


def test_a_fenced_process_permits_nothing() -> None:
    permits = opened()
    permit = permits.permit(subject(), ACTIVE)
    permits.close()

    with pytest.raises(PermitRefused):
        permit.check()


async def test_a_process_that_was_stopped_past_its_lease_permits_nothing() -> None:
    clock = ManualClock()
    permit = opened(clock).permit(subject(), ACTIVE)
    await clock.advance(4.9)
    permit.check()
    await clock.advance(0.1)

    with pytest.raises(PermitRefused, match="no longer send"):
        permit.check()


def test_nothing_is_permitted_before_there_is_a_lease() -> None:
    with pytest.raises(PermitRefused):
        Permits(ManualClock()).permit(subject(), ACTIVE).check()
