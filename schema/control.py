"""Trading states: who may trade, and who said so."""

import strawberry
from strawberry import UNSET

import trading.closing
import trading.control
from schema.definition import enum, field, noun
from schema.order import Order
from schema.scalar import Instant, Sequence
from trading.account import TradingState
from trading.control import MassAction
from trading.permission import Permission
from trading.scope import ScopeKind

__all__ = [
    "Acknowledgement",
    "ApprovalRequest",
    "MassAction",
    "ScopeKind",
    "ScopeState",
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

enum(
    ScopeKind,
    "What a trading state is set for.",
    ALL="Everything.",
    BROKER="All accounts at a broker.",
    TENANT="All accounts of a tenant.",
    USER="What a user asks for.",
    ACCOUNT="An account.",
    STRATEGY="Orders of a strategy.",
    INSTRUMENT="Orders in an instrument.",
)
enum(
    MassAction,
    "What is done about the orders and positions of a scope.",
    NONE="Nothing: working orders go on.",
    CANCEL_ORDERS="Working orders are canceled, until the broker shows none.",
    FLATTEN="That, and positions are closed at the market. It takes REDUCING, and a person.",
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
    scope_kind: ScopeKind | None = field("What it was set for; null where that is the account.")
    scope_id: str | None = field(
        "Which one. For a user, strategy or instrument the states are those of its orders alone."
    )


@noun(
    "A state in force for a scope. Of all scopes that an order is in, the strictest counts.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.control.ScopeState,
)
class ScopeState:
    epoch: Sequence = field("Its number: changes of all scopes are counted in their order.")
    scope_kind: ScopeKind = field("What it is set for.")
    scope_id: str = field("Which one; empty for ALL.")
    state: TradingState = field("The state.")
    action: MassAction = field("What is done about orders and positions.")
    reason: str = field("Why.")
    changed_by: strawberry.ID = field("The user who asked for it, or the monitor that set it.")
    approved_by: strawberry.ID | None = field("The user who approved it, where it took two.")
    changed_at: Instant = field("When.")
    clean_at: Instant | None = field(
        "When the broker first showed no order any more that was to be canceled; null until then."
    )


@noun(
    "That a trading state is in force: nothing leaves any more that it forbids.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.closing.Acknowledgement,
)
class Acknowledgement:
    epoch: Sequence = field("The state's number.")
    confirmed: list[str] = field("Brokers whose session's owner has confirmed it.")
    unconfirmed: list[str] = field(
        "Brokers whose session's owner has not answered: it may be gone, and its lease runs out."
    )
    in_flight: list[Order] = field(
        "Orders whose NEW or REPLACE was sent, or may have been, and is not answered: they may"
        " still appear at the broker. Those of accounts that you may see."
    )
    in_flight_count: int = field("How many these are, with those of other accounts.")
    working: list[Order] = field("Orders that are open. Those of accounts that you may see.")
    working_count: int = field("How many these are, with those of other accounts.")


@noun(
    "A request to loosen a trading state, which another person than the requester must approve.",
    requires=Permission.TRADING_STATE_READ,
    of=trading.control.ApprovalRequest,
)
class ApprovalRequest:
    id: strawberry.ID = field("Its id, for `approveTradingState`.")
    account_id: strawberry.ID | None = field("The account; null where it is another scope.")
    scope_kind: ScopeKind = field("What it is asked for.")
    scope_id: str = field("Which one; empty for ALL.")
    state: TradingState = field("The state that is asked for.")
    action: MassAction = field("What is to be done about orders and positions.")
    reason: str = field("Why.")
    requested_by: strawberry.ID = field("The user who asks.")
    requested_at: Instant = field("When it was asked.")
    expires_at: Instant = field("Until when it can be approved.")


@strawberry.input(description="Whose trading state to set.", one_of=True)
class TradingScopeInput:
    account_id: strawberry.ID | None = field("One account.", default=UNSET)
    tenant_id: strawberry.ID | None = field("All accounts of a tenant.", default=UNSET)
    broker: str | None = field("Your tenant's accounts at one broker.", default=UNSET)
    user_id: strawberry.ID | None = field(
        "Orders and replaces that one user of your tenant asks for.", default=UNSET
    )
    strategy_id: str | None = field("Your tenant's orders of one strategy.", default=UNSET)
    symbol: str | None = field("Your tenant's orders in one instrument.", default=UNSET)
    all: bool | None = field(
        "Everything, of all tenants, if true. It takes `trading-state:write-all`.", default=UNSET
    )


@strawberry.input(description="A change of trading state.")
class SetTradingStateInput:
    scope: TradingScopeInput = field("Whose.")
    state: TradingState = field("The state to set: tightening takes effect at once.")
    reason: str = field("Why, for the record.")
    action: MassAction = field(
        "What to do about orders and positions, beside the state.", default=MassAction.NONE
    )
