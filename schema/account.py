"""Accounts and their positions, and what does not fit."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import strawberry

import trading.account
import trading.execution
import trading.limits
from schema import scalar
from schema.context import Info
from schema.control import TradingState
from schema.definition import enum, field, noun
from schema.instrument import Instrument, instrument_of
from schema.limits import Limits
from schema.scalar import Instant
from trading.execution import BreakKind
from trading.ids import InstrumentID
from trading.permission import Permission
from trading.quantity import Money, Px
from trading.valuation import Valuation, value

enum(
    BreakKind,
    "What does not fit between the broker's word and ours.",
    OVERFILL="More was filled than ordered.",
    LATE_FILL="A fill came after the order's end.",
    UNKNOWN_EXEC_REF_ID="A fill was revised that is not known.",
    UNKNOWN_ORDER="The broker knows an order that we do not.",
    ILLEGAL_TRANSITION="A status came that cannot follow the one before.",
    UNREADABLE="A message could not be read.",
    POSITION="The broker has another position.",
)


def _mark(symbol: InstrumentID, info: Info) -> Px | None:
    quote = info.context.quotes.last(symbol)
    return quote.mid if quote else None


def held(positions: Sequence[trading.account.Position]) -> Sequence[trading.account.Position]:
    """Leave out the flat ones, which matter to a valuation for their open orders alone."""
    return [position for position in positions if position.net_qty]


async def _positions(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> Sequence[trading.account.Position]:
    return held(await info.context.positions.load(account.id))


async def _valuation(account: trading.account.Account, info: Info) -> Valuation:
    positions = await info.context.positions.load(account.id)
    return value(account, positions, info.context.catalogue, lambda symbol: _mark(symbol, info))


async def _equity(account: strawberry.Parent[trading.account.Account], info: Info) -> Money | None:
    return (await _valuation(account, info)).equity


async def _buying_power(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> Money | None:
    return (await _valuation(account, info)).buying_power


async def _initial_margin(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> Money | None:
    return (await _valuation(account, info)).initial_margin


async def _maintenance_margin(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> Money | None:
    return (await _valuation(account, info)).maintenance_margin


async def _limits(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> trading.limits.Limits | None:
    return await info.context.reads.limits(account.id)


BREAKS = 20


async def _breaks(
    account: strawberry.Parent[trading.account.Account], info: Info
) -> Sequence[trading.execution.Break]:
    return await info.context.reads.breaks(account.id, BREAKS)


def _mark_px(position: strawberry.Parent[trading.account.Position], info: Info) -> Px | None:
    return _mark(position.symbol, info)


def _unrealized_pnl(
    position: strawberry.Parent[trading.account.Position], info: Info
) -> Money | None:
    mark = _mark(position.symbol, info)
    instrument = info.context.catalogue.get(position.symbol)
    if mark is None or instrument is None:
        return None
    return position.unrealized_pnl(mark, instrument.multiplier)


async def _account(
    position: strawberry.Parent[trading.account.Position], info: Info
) -> trading.account.Account:
    return await info.context.accounts.load(position.account_id)


@noun(
    "An account's position in one instrument.",
    requires=Permission.ACCOUNTS_READ,
    of=trading.account.Position,
)
class Position:
    account_id: strawberry.ID = field("The account.")
    account: Annotated["Account", strawberry.lazy("schema.account")] = field(
        "The account.", resolver=_account
    )
    symbol: str = field("The instrument, as `symbol@MIC`.")
    instrument: Instrument | None = field("Its definition.", resolver=instrument_of)
    net_qty: Decimal = field("The quantity held; negative when short.")
    avg_px: Decimal | None = field("The average price of it; null when flat.")
    mark_px: Decimal | None = field(
        "The price that it is valued at: the middle of the newest quote, or null before one.",
        resolver=_mark_px,
    )
    realized_pnl: Decimal = field("Gain realized so far, in money of the instrument's currency.")
    unrealized_pnl: Decimal | None = field(
        "Gain at `markPx`, in money; null without one.", resolver=_unrealized_pnl
    )
    open_buy_qty: Decimal = field("What open orders may still buy.")
    open_sell_qty: Decimal = field("What open orders may still sell.")
    as_of_seq: scalar.Sequence = field("The report that last moved it.")


@noun(
    "A difference for a person to look at: kept until it is explained.",
    requires=Permission.ACCOUNTS_READ,
    of=trading.execution.Break,
)
class Break:
    kind: BreakKind = field("What does not fit.")
    order_id: strawberry.ID | None = field("The order, if it is about one.")
    detail: str = field("What was seen.")
    raised_at: Instant = field("When it was seen.")


@noun(
    "An account. Money is in its currency, and null where a mark that it rests on is missing.",
    requires=Permission.ACCOUNTS_READ,
    of=trading.account.Account,
)
class Account:
    id: strawberry.ID = field("Account(1).")
    name: str = field("Its name, for people.")
    currency: str = field("Currency(15), in ISO 4217.")
    broker: str = field("The broker that serves it.")
    owner: str | None = field(
        "Its beneficial owner, among whose accounts orders are matched against one another; null"
        " where it has no other."
    )
    cash: Decimal = field("Money, moved by executions alone.")
    equity: Decimal | None = field("Cash and the value of the positions.", resolver=_equity)
    buying_power: Decimal | None = field(
        "What may still be bought with, open orders considered.", resolver=_buying_power
    )
    initial_margin: Decimal | None = field(
        "Margin that opening the positions and open orders takes.", resolver=_initial_margin
    )
    maintenance_margin: Decimal | None = field(
        "Margin that holding the positions takes.", resolver=_maintenance_margin
    )
    trading_state: TradingState = field("Whether it may trade.")
    last_seq: scalar.Sequence = field("The sequence number of its newest report.")
    open_orders: int = field("How many orders may still trade.")
    positions: list[Position] = field("Its positions, flat ones left out.", resolver=_positions)
    limits: Limits | None = field("The limits in force.", resolver=_limits)
    breaks: list[Break] = field(f"Its {BREAKS} newest breaks.", resolver=_breaks)
