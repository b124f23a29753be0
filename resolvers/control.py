"""Trading states: tightening, loosening, following."""

from typing import Annotated

import strawberry

import trading.command
import trading.control
from resolvers.context import Info
from resolvers.stream import Stream
from schema.control import SetTradingStateInput, TradingStateChange
from schema.definition import field, subscription
from schema.outcome import SetTradingStateResult
from trading.ids import AccountID, TenantID
from trading.outcome import TradingStateResult
from trading.permission import Permission


async def set_trading_state(
    info: Info,
    change: Annotated[
        SetTradingStateInput, strawberry.argument(name="input", description="Whose, to what, why.")
    ],
) -> TradingStateResult:
    """Tighten a trading state, or ask to loosen it."""
    account_id, tenant_id = change.scope.account_id, change.scope.tenant_id
    command = trading.command.SetTradingState(
        state=change.state,
        reason=change.reason,
        account_id=AccountID(account_id) if account_id else None,
        tenant_id=TenantID(tenant_id) if tenant_id else None,
    )
    return await info.context.control.set_trading_state(info.context.caller, command)


async def approve_trading_state(
    info: Info,
    request_id: Annotated[strawberry.ID, strawberry.argument(description="The request's id.")],
) -> TradingStateResult:
    """Approve what another person asked for."""
    return await info.context.control.approve_trading_state(info.context.caller, request_id)


async def watch_trading_states(info: Info) -> Stream[trading.control.TradingStateChange]:
    """Follow the trading states of all accounts that the caller may see."""
    accounts, streams = frozenset(info.context.caller.accounts), info.context.streams
    return Stream(scope=accounts, follow=lambda _: streams.trading_states(accounts))


@strawberry.type
class ControlMutation:
    set_trading_state: SetTradingStateResult = field(
        "Set a trading state. Tightening takes effect at once; loosening takes another person's"
        " approval.",
        requires=Permission.TRADING_STATE_WRITE,
        resolver=set_trading_state,
    )
    approve_trading_state: SetTradingStateResult = field(
        "Approve a request to loosen a trading state; nobody approves their own.",
        requires=Permission.TRADING_STATE_WRITE,
        resolver=approve_trading_state,
    )


@strawberry.type
class ControlSubscription:
    trading_state: TradingStateChange = subscription(
        "Changes of the trading state of the accounts that you may see, from now on.",
        requires=Permission.TRADING_STATE_READ,
        resolver=watch_trading_states,
    )
