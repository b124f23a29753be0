"""Limits: what is in force at which scope, who set it, and what awaits a second person."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import strawberry
from strawberry import UNSET

import trading.limitrequest
import trading.limits
import trading.loosening
from schema.context import Info
from schema.definition import enum, field, noun
from schema.scalar import Instant
from trading.ids import InstrumentID
from trading.instrument import SecurityType, UnknownSymbol
from trading.limitrequest import LimitRequestState
from trading.limits import LimitName
from trading.outcome import BadUserInput
from trading.permission import Permission

__all__ = [
    "Limit",
    "LimitRequest",
    "LimitVersion",
    "Limits",
    "LoosenedLimit",
    "SetLimitsInput",
]

enum(
    LimitName,
    "What is limited. Of several that apply the least holds; of those named `MIN`, the most.",
    MAX_ORDER_QTY="Largest quantity of one order, in units of the instrument.",
    MAX_ORDER_NOTIONAL="Largest value of one order, in money of the account's currency.",
    MAX_POSITION_QTY="Largest position on either side, open orders included.",
    MAX_OPEN_ORDERS="Largest number of open orders.",
    PRICE_COLLAR="Largest distance of a price from the reference, as a fraction of it.",
    REFERENCE_MAX_AGE_MS="Longest time since the reference quote was received, in milliseconds.",
    MIN_BUYING_POWER="Buying power that must remain, in money of the account's currency.",
    INSTRUMENT_PERMITTED="Whether an instrument may be traded: 1, or 0 where it is restricted.",
    SHORT_SALE_PERMITTED="Whether more may be sold than is held: 1, or 0.",
    SELF_MATCH_PERMITTED="Whether orders of one owner may trade with one another: 1, or 0.",
    PRICE_COLLAR_TICKS="Largest distance of a price from the reference, in ticks.",
    PRICE_COLLAR_OVER_TIME="As PRICE_COLLAR, from the reference 60 seconds ago.",
    MAX_DUPLICATE_ORDERS="Largest number of orders alike in all terms within a second.",
    MAX_STRATEGY_ORDERS="Largest number of orders of a strategy without a person's.",
    MAX_MESSAGE_RATE="Largest number of messages to the broker in a second; a quarter of them is"
    " kept for cancels.",
    MIN_EXCESS_EQUITY="Equity that must remain beyond initial margin, in money.",
    MIN_INTRADAY_EXCESS="Equity that must remain beyond maintenance margin, in money.",
    MAX_OPEN_NOTIONAL="Largest value of all open orders, in money.",
    MAX_GROSS_NOTIONAL="Largest value of all positions without netting, in money.",
    MAX_LEVERAGE="Largest value of all positions, as a multiple of equity.",
    MAX_CONCENTRATION="Largest value of one instrument's position, as a multiple of equity.",
    MAX_DAILY_LOSS="Largest loss since the session began, in money; beyond it the account only"
    " reduces.",
    MAX_DRAWDOWN="Largest loss since the session's highest equity, in money; beyond it the account"
    " only reduces.",
    MAX_IN_DOUBT_ORDERS="Largest number of orders of which nobody knows whether the broker has"
    " them.",
)

enum(
    LimitRequestState,
    "What became of a request to loosen limits.",
    PENDING="It awaits another person, until it expires.",
    APPROVED="The limits were set.",
    DENIED="Another person said no.",
    WITHDRAWN="The requester took it back.",
)


@noun(
    "Where a limit holds: for whom, and in what; what is null leaves it open.",
    requires=Permission.ACCOUNTS_READ,
    of=trading.limits.LimitScope,
)
class LimitScope:
    broker: str | None = field("The accounts at a broker.")
    tenant_id: strawberry.ID | None = field("A tenant's accounts.")
    strategy_id: str | None = field("A strategy of that tenant.")
    account_id: strawberry.ID | None = field("One account.")
    security_type: SecurityType | None = field("The instruments of one type.")
    symbol: str | None = field("One instrument, as `symbol@MIC`.")


def _symbol(limit: strawberry.Parent[trading.limits.Limit]) -> InstrumentID | None:
    return limit.scope.symbol


@noun("One limit.", requires=Permission.ACCOUNTS_READ, of=trading.limits.Limit)
class Limit:
    name: LimitName = field("What is limited.")
    scope: LimitScope = field("Where.")
    symbol: str | None = field(
        "The instrument; null where it holds for more than one.", resolver=_symbol
    )
    value: Decimal | None = field(
        "The limit, in the unit that its name says; null where it was taken away."
    )
    owner: str = field("Who answers for it.")
    reason: str = field("Why it is what it is.")
    effective_at: Instant | None = field("From when it holds; null for from its version on.")
    expires_at: Instant | None = field("When what was set before it holds again; null for never.")
    version: int = field("The version that set it; 0 for one that is only asked for.")


def _values(
    limits: strawberry.Parent[trading.limits.Limits], info: Info
) -> Sequence[trading.limits.Limit]:
    return list(limits.applying(info.context.gateway.time))


def _in_force(
    limits: strawberry.Parent[trading.limits.Limits],
    info: Info,
    symbol: Annotated[str, strawberry.argument(description="The instrument.")],
    strategy_id: Annotated[
        str | None, strawberry.argument(description="The strategy, if the orders have one.")
    ] = None,
) -> Sequence[trading.limits.Limit]:
    try:
        instrument = info.context.catalogue.resolve(symbol).id
    except UnknownSymbol as unknown:
        raise BadUserInput(f"symbol: {unknown}") from unknown
    found = limits.in_force(instrument, strategy_id, at=info.context.gateway.time)
    return [found[name] for name in sorted(found)]


@noun(
    "An account's limits. A limit that is not set refuses.",
    requires=Permission.ACCOUNTS_READ,
    of=trading.limits.Limits,
)
class Limits:
    version: int = field("The number of the newest version, which risk decisions name.")
    values: list[Limit] = field(
        "Every limit in force that some order of the account comes under.", resolver=_values
    )
    strictest: list[Limit] = field(
        "The limits that orders in one instrument are judged by: of each name the strictest.",
        resolver=_in_force,
    )


@noun(
    "What one change of limits set, all at once.",
    requires=Permission.LIMITS_READ,
    of=trading.limitrequest.LimitVersion,
)
class LimitVersion:
    version: int = field("Its number, which risk decisions name; numbers increase by one.")
    limits: list[Limit] = field("What it set of what you may see.")
    requested_by: strawberry.ID = field("The user who asked for it.")
    approved_by: strawberry.ID | None = field("The user who approved it, where it took two.")
    changed_at: Instant = field("When.")


@noun(
    "A request to loosen limits, which another person than the requester must approve.",
    requires=Permission.LIMITS_READ,
    of=trading.limitrequest.LimitRequest,
)
class LimitRequest:
    id: strawberry.ID = field("Its id, for `approveLimits`.")
    limits: list[Limit] = field("What it asks for.")
    state: LimitRequestState = field("What became of it.")
    version: int = field("The version of the limits that it was asked under.")
    requested_by: strawberry.ID = field("The user who asks.")
    requested_at: Instant = field("When it was asked.")
    expires_at: Instant = field("Until when it can be approved.")
    decided_by: strawberry.ID | None = field("The user who decided.")
    decided_at: Instant | None = field("When it was decided.")
    decision_reason: str | None = field("Why it was denied.")


@noun(
    "A place where a change would permit more than before.",
    requires=Permission.LIMITS_READ,
    of=trading.loosening.Loosened,
)
class LoosenedLimit:
    place: LimitScope = field("Orders of this kind.")
    name: LimitName = field("The limit.")
    before: Limit | None = field("What holds there now; null where nothing is set, which refuses.")
    after: Limit = field("What would hold.")


@strawberry.input(
    description=(
        "Where a limit is to hold: for an account, a strategy, a tenant or a broker, and for a"
        " symbol or a security type; one of each at most. What is left out is left open."
    )
)
class LimitScopeInput:
    broker: str | None = field("The accounts at a broker.", default=UNSET)
    tenant_id: strawberry.ID | None = field("A tenant's accounts.", default=UNSET)
    strategy_id: str | None = field("A strategy of your tenant.", default=UNSET)
    account_id: strawberry.ID | None = field("One account.", default=UNSET)
    security_type: SecurityType | None = field("The instruments of one type.", default=UNSET)
    symbol: str | None = field("One instrument.", default=UNSET)


@strawberry.input(description="One limit to set.")
class LimitInput:
    name: LimitName = field("What is limited.")
    scope: LimitScopeInput = field("Where.")
    value: Decimal | None = field(
        "The limit, in the unit that its name says; null takes it away.", default=UNSET
    )


@strawberry.input(description="Limits to set, all at once or none.")
class SetLimitsInput:
    limits: list[LimitInput] = field("The limits.")
    owner: str = field("Who answers for them, for the record.")
    reason: str = field("Why, for the record.")
    effective_at: Instant | None = field("From when; left out, at once.", default=UNSET)
    expires_at: Instant | None = field(
        "When what was set before holds again; left out, never.", default=UNSET
    )
