"""Trading states: tightening, loosening, following."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import strawberry

import trading.command
import trading.control
from resolvers.context import Info
from resolvers.stream import Stream
from schema.control import (
    ScopeState,
    SetTradingStateInput,
    TradingScopeInput,
    TradingStateChange,
)
from schema.definition import field, subscription
from schema.outcome import SetTradingStateResult
from trading.ids import AccountID, TenantID
from trading.instrument import Catalogue, UnknownSymbol
from trading.outcome import BadUserInput, InvalidInput, TradingStateResult
from trading.permission import Permission
from trading.reject import InputError
from trading.scope import Scope, ScopeKind


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
        action=change.action,
        reason=change.reason,
        account_id=AccountID(account_id) if account_id else None,
        tenant_id=TenantID(tenant_id) if tenant_id else None,
    )
    if not (account_id or tenant_id):
        try:
            scope = _scope(change.scope, info.context.caller.tenant_id, info.context.catalogue)
        except UnknownSymbol as unknown:
            path = ("input", "scope", "symbol")
            return InvalidInput((InputError(path, "UNKNOWN_SYMBOL", str(unknown)),))
        command = dataclasses.replace(command, scope=scope)
    return await info.context.control.set_trading_state(info.context.actor, command)


def _scope(given: TradingScopeInput, tenant_id: TenantID, catalogue: Catalogue) -> Scope:
    """Return the scope that is named, within the tenant. Raises UnknownSymbol, BadUserInput."""
    if given.all:
        return Scope(ScopeKind.ALL)
    if given.symbol:
        return Scope(ScopeKind.INSTRUMENT, catalogue.resolve(given.symbol).id, tenant_id)
    named = (
        (ScopeKind.BROKER, given.broker),
        (ScopeKind.USER, given.user_id),
        (ScopeKind.STRATEGY, given.strategy_id),
    )
    for kind, name in named:
        if name:
            return Scope(kind, name, tenant_id)
    raise BadUserInput("input.scope names nothing: say an id, or `all: true`")


async def approve_trading_state(
    info: Info,
    request_id: Annotated[strawberry.ID, strawberry.argument(description="The request's id.")],
) -> TradingStateResult:
    """Approve what another person asked for."""
    return await info.context.control.approve_trading_state(info.context.actor, request_id)


async def list_trading_states(info: Info) -> Sequence[trading.control.ScopeState]:
    """List what is not ACTIVE."""
    return await info.context.control.trading_states(info.context.caller)


async def watch_trading_states(info: Info) -> Stream[trading.control.TradingStateChange]:
    """Follow the trading states of all accounts that the caller may see."""
    accounts, streams = frozenset(info.context.caller.accounts), info.context.streams
    return Stream(scope=accounts, follow=lambda _: streams.trading_states(accounts))


@strawberry.type
class ControlQuery:
    trading_states: list[ScopeState] = field(
        "The scopes that are not ACTIVE and hold for what you may see.",
        requires=Permission.TRADING_STATE_READ,
        resolver=list_trading_states,
    )


@strawberry.type
class ControlMutation:
    set_trading_state: SetTradingStateResult = field(
        "Set a trading state. Tightening takes effect at once, and is answered when the owners of"
        " all sessions have confirmed it; loosening takes another person's approval.",
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
