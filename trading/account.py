"""Accounts and positions: folds over executions, and the reservations of open orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique

from trading.conduct import Conduct
from trading.ids import AccountID, InstrumentID, TenantID, UserID
from trading.instrument import Instrument
from trading.order import Order, Side
from trading.quantity import ZERO, Money, Px, Qty, average, share
from trading.record import record, replace
from trading.scope import ScopeKind


@unique
class TradingState(StrEnum):
    """Whether an account may trade: freely, only to reduce its positions, or not at all."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    @property
    def strictness(self) -> int:
        """Rank of the state: a higher one permits less."""
        return _STRICTNESS[self]


_STRICTNESS = {state: rank for rank, state in enumerate(TradingState)}


def strictest(states: Iterable[TradingState]) -> TradingState:
    """Return the state that permits least; ACTIVE where there is none."""
    return max(states, key=_STRICTNESS.__getitem__, default=TradingState.ACTIVE)


type ScopedState = tuple[str, str, TradingState]
"""The kind and id of a scope that takes in some of an account's orders, and its state."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account: its row is the lock under which limits, reservations and sequence change.

    `cash` is money of `currency` (ISO 4217), moved by executions alone. `last_seq` is the sequence
    number of its newest report. `fence` rises when another process takes its broker session over.
    `trading_state` is the strictest of all scopes that the account is in as a whole, and
    `scoped_states` are those of the users, strategies and instruments that are not ACTIVE.
    `scope_epoch` is the newest change of those scopes that the account has followed.
    `owner` is the beneficial owner, whose accounts must not trade with one another; None where it
    has this account alone.
    """

    id: AccountID
    tenant_id: TenantID
    name: str
    currency: str
    broker: str
    cash: Money
    trading_state: TradingState = TradingState.ACTIVE
    last_seq: int = 0
    fence: int = 0
    open_orders: int = 0
    scoped_states: tuple[ScopedState, ...] = ()
    scope_epoch: int = 0
    owner: str | None = None
    conduct: Conduct = field(default_factory=Conduct)

    def state_for(self, order: Order, user_id: UserID | None = None) -> TradingState:
        """Return the strictest state for an order; `user_id` is who asks for a replace of it."""
        if not self.scoped_states:
            return self.trading_state
        named = {
            (ScopeKind.USER, order.user_id),
            (ScopeKind.USER, user_id),
            (ScopeKind.STRATEGY, order.strategy_id),
            (ScopeKind.INSTRUMENT, order.symbol),
        }
        held = (state for kind, name, state in self.scoped_states if (kind, name) in named)
        return strictest((self.trading_state, *held))


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an open order may still add: a quantity, and its value at the reserved price."""

    qty: Qty = ZERO
    notional: Money = ZERO


UNRESERVED = Reservation()
_NONE = (ZERO, ZERO)


def reservation(order: Order | None, multiplier: Qty, reserve_px: Px | None = None) -> Reservation:
    """Return what an order reserves: the larger of its terms and of those of a pending replace.

    `reserve_px` is that of terms which are only being judged.
    """
    if order is None or not order.is_open:
        return UNRESERVED
    qty, px = order.leaves_qty, order.reserve_px if reserve_px is None else reserve_px
    if (wanted := order.replacement) is not None:
        qty = max(qty, wanted.order_qty - order.cum_qty)
        px = max(px, wanted.reserve_px)
    return Reservation(qty, qty * px * multiplier)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An account's position in one instrument, with what its open orders reserve on either side.

    `cost` is the signed value at which the net quantity was bought or sold, before the multiplier.
    `realized_pnl` is money. `as_of_seq` is the report that last moved it.
    """

    account_id: AccountID
    symbol: InstrumentID
    net_qty: Qty = ZERO
    cost: Money = ZERO
    realized_pnl: Money = ZERO
    open_buy_qty: Qty = ZERO
    open_buy_notional: Money = ZERO
    open_sell_qty: Qty = ZERO
    open_sell_notional: Money = ZERO
    as_of_seq: int = 0

    @property
    def is_exposed(self) -> bool:
        """Whether anything is held, or might be when the open orders trade."""
        return bool(self.net_qty or self.open_buy_qty or self.open_sell_qty)

    @property
    def avg_px(self) -> Px | None:
        """Average price of the net quantity, to ten decimals; None when flat."""
        return average(self.cost, self.net_qty)

    @property
    def long_qty(self) -> Qty:
        """The longest position that the open orders can still make of it, at least zero."""
        return max(self.net_qty + self.open_buy_qty, ZERO)

    @property
    def short_qty(self) -> Qty:
        """The shortest position that the open orders can still make of it, as a positive number."""
        return max(self.open_sell_qty - self.net_qty, ZERO)

    def unrealized_pnl(self, mark: Px, multiplier: Qty) -> Money:
        """Gain of the net quantity at a mark, in money."""
        return (self.net_qty * mark - self.cost) * multiplier

    def reserve(self, side: Side, before: Reservation, after: Reservation) -> Position:
        """Exchange one reservation of an order for another."""
        qty, notional = after.qty - before.qty, after.notional - before.notional
        buys, sells = (qty, notional), _NONE
        if side is Side.SELL:
            buys, sells = sells, buys
        return replace(
            self,
            open_buy_qty=self.open_buy_qty + buys[0],
            open_buy_notional=self.open_buy_notional + buys[1],
            open_sell_qty=self.open_sell_qty + sells[0],
            open_sell_notional=self.open_sell_notional + sells[1],
        )

    def trade(self, qty: Qty, px: Px, instrument: Instrument) -> tuple[Position, Money]:
        """Take in an execution of a signed quantity; return the position and the cash it moves.

        What is paid in full moves its whole value; what is margined moves only the gain realized.
        """
        closing = _closing(self.net_qty, qty)
        released = share(self.cost, -closing, self.net_qty) if closing else ZERO
        realized = (-closing * px - released) * instrument.multiplier
        after = replace(
            self,
            net_qty=self.net_qty + qty,
            cost=self.cost - released + (qty - closing) * px,
            realized_pnl=self.realized_pnl + realized,
        )
        paid = -qty * px * instrument.multiplier
        return after, realized if instrument.is_margined else paid

    def undo(self, qty: Qty, px: Px, instrument: Instrument) -> tuple[Position, Money]:
        """Take back an execution of a signed quantity; return the position and the cash it moves.

        What had opened the position leaves it at its own price, and what had closed it comes back
        at the average: where nothing came between, it is as if it had never traded.
        """
        net_qty = self.net_qty - qty
        if self.net_qty == ZERO or self.net_qty * net_qty < ZERO:
            return self.trade(-qty, px, instrument)
        if self.net_qty * qty > ZERO:
            cost = self.cost - qty * px if net_qty else ZERO
        else:
            cost = share(self.cost, net_qty, self.net_qty)
        realized = (cost - self.cost + qty * px) * instrument.multiplier
        after = replace(self, net_qty=net_qty, cost=cost, realized_pnl=self.realized_pnl + realized)
        paid = qty * px * instrument.multiplier
        return after, realized if instrument.is_margined else paid


def _closing(net_qty: Qty, qty: Qty) -> Qty:
    """Return the part of a signed trade that closes a position: opposite in sign, never more."""
    if net_qty == ZERO or (net_qty > ZERO) == (qty > ZERO):
        return ZERO
    return qty if abs(qty) <= abs(net_qty) else -net_qty
