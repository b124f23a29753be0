"""Whose a scope is decides who may set its state, and who sees it."""

import pytest

from tests.trading.builders import ACCOUNT, OTHER, principal
from tests.trading.process import World
from tests.trading.test_scopes import OFFICER, command, control_of
from trading.outcome import NotFound
from trading.permission import Entitlement, Permission
from trading.scope import Scope, ScopeKind


async def test_a_scope_that_is_not_there_is_not_set() -> None:
    world = World()
    nowhere = Scope(ScopeKind.USER, "nowhere", OFFICER.tenant_id)

    with pytest.raises(NotFound, match="there is no"):
        await control_of(world).set_trading_state(OFFICER, command(nowhere))
    assert not world.store.state.scope_states


async def test_the_state_of_an_account_is_shown_to_who_sees_the_account() -> None:
    world = World()
    control = control_of(world)
    await control.set_trading_state(OFFICER, command(Scope(ScopeKind.ACCOUNT, ACCOUNT)))

    for account_id, count in ((ACCOUNT, 1), (OTHER, 0)):
        caller = principal(
            "caller",
            permissions=frozenset({Permission.TRADING_STATE_READ}),
            accounts={account_id: Entitlement.READ},
        )
        assert len(await control.trading_states(caller)) == count
