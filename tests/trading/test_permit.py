"""Permits: what was approved leaves only while nobody has tightened since."""

import pytest

from tests.trading.builders import ACCOUNT, OTHER
from trading.account import TradingState
from trading.permit import Permits
from trading.ports import PermitRefused

ACTIVE, REDUCING, HALTED = TradingState


@pytest.mark.parametrize("approved", TradingState)
@pytest.mark.parametrize("heard", TradingState)
def test_a_permit_holds_while_the_state_is_no_stricter(
    approved: TradingState, heard: TradingState
) -> None:
    permits = Permits()
    permit = permits.permit(ACCOUNT, approved)
    permits.hear(ACCOUNT, heard)

    if heard is HALTED or (approved is ACTIVE and heard is REDUCING):
        with pytest.raises(PermitRefused, match=heard):
            permit.check()
    else:
        permit.check()


def test_accounts_are_halted_one_by_one() -> None:
    permits = Permits()
    permits.hear(OTHER, HALTED)

    permits.permit(ACCOUNT, ACTIVE).check()


def test_a_fenced_process_permits_nothing() -> None:
    permits = Permits()
    permit = permits.permit(ACCOUNT, ACTIVE)
    permits.is_open = False

    with pytest.raises(PermitRefused):
        permit.check()
