"""Trading states: who may trade, and who said so."""

import strawberry
from strawberry import UNSET

import trading.control
from schema.definition import enum, field, noun
from schema.scalar import Instant
from trading.account import TradingState
from trading.permission import Permission

__all__ = [
    "ApprovalRequest",
    "SetTradingStateInput",
    "TradingScopeInput",
    "TradingState",
    "TradingStateChange",
]

enum(
    TradingState,
    "Whether an account may trade.",
    ACTIVE="Freely, within its limits.",
    REDUCING="Only to make positions smaller.",
    HALTED="Not at all; cancels always pass.",
)


@noun(
    "One change of one account's trading state.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.control.TradingStateChange,
)
class TradingStateChange:
    id: strawberry.ID = field("Its id; ids increase.")
    account_id: strawberry.ID = field("The account.")
    before: TradingState = field("The state until then.")
    state: TradingState = field("The state from then on.")
    reason: str = field("Why.")
    changed_by: strawberry.ID = field("The user who asked for it.")
    approved_by: strawberry.ID | None = field("The user who approved it, where it took two.")
    changed_at: Instant = field("When.")


@noun(
    "A request to loosen a trading state, which another person than the requester must approve.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.control.ApprovalRequest,
)
class ApprovalRequest:
    id: strawberry.ID = field("Its id, for `approveTradingState`.")
    account_id: strawberry.ID | None = field("The account; null for all of the tenant.")
    state: TradingState = field("The state that is asked for.")
    reason: str = field("Why.")
    requested_by: strawberry.ID = field("The user who asks.")
    requested_at: Instant = field("When it was asked.")
    expires_at: Instant = field("Until when it can be approved.")


@strawberry.input(description="Whose trading state to set.", one_of=True)
class TradingScopeInput:
    account_id: strawberry.ID | None = field("One account.", default=UNSET)
    tenant_id: strawberry.ID | None = field("All accounts of a tenant.", default=UNSET)


@strawberry.input(description="A change of trading state.")
class SetTradingStateInput:
    scope: TradingScopeInput = field("Whose.")
    state: TradingState = field("The state to set: tightening takes effect at once.")
    reason: str = field("Why, for the record.")
