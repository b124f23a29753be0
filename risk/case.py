"""One order before the gate: the state that its checks take their inputs from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from risk import checks
from risk.control import CONTROLS, Value
from trading.account import Account, Position, Reservation, TradingState, reservation
from trading.books import Books
from trading.decision import RiskDecision
from trading.ids import InstrumentID, UserID
from trading.instrument import Instrument
from trading.limits import LimitName, Limits
from trading.order import Order, Side
from trading.ports import Capabilities
from trading.quantity import ONE, ZERO, Money, Px, Qty
from trading.quote import Quote
from trading.valuation import gains, requirement

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An order with the terms to be judged, and the books without it."""

    order: Order
    instrument: Instrument
    account: Account
    position: Position
    limits: Limits
    quote: Quote | None
    books: Books
    capabilities: Capabilities
    market_time: int
    at: int
    user_id: UserID | None = None
    """Who asks for a replace."""

    @classmethod
    def of(
        cls,
        order: Order,
        instrument: Instrument,
        books: Books,
        capabilities: Capabilities,
        market_time: int,
        at: int,
        user_id: UserID | None = None,
    ) -> Case:
        """Take the case from the books, the order's own reservation out of its position."""
        account = books.accounts[order.account_id]
        held = reservation(books.orders.get(order.id), instrument.multiplier)
        position = books.position(order.account_id, order.symbol)
        quote = books.references.get(order.symbol)
        unset = Limits(account_id=account.id, version=0, values={})
        return cls(
            order=order,
            instrument=instrument,
            account=account,
            position=position.reserve(order.side, held, Reservation()),
            limits=books.limits.get(account.id, unset),
            quote=quote,
            books=books,
            capabilities=capabilities,
            # A process that hears nothing of the market is behind, and its reference price is not.
            market_time=max(market_time, quote.time) if quote else market_time,
            at=at,
            user_id=user_id,
        )

    @property
    def trading_state(self) -> TradingState:
        """The strictest state of all scopes that the order is in."""
        return self.account.state_for(self.order, self.user_id)

    def limit(self, name: LimitName) -> Qty | None:
        """Return the limit for this instrument."""
        return self.limits.get(name, self.order.symbol)

    @property
    def reference_px(self) -> Px | None:
        """The price to judge against: between bid and ask."""
        return self.quote.mid if self.quote else None

    @property
    def age_ms(self) -> int | None:
        """Milliseconds since the reference was received; a clock gone back counts as no time."""
        return max(self.at - self.quote.received_at, 0) // NS_PER_MS if self.quote else None

    def reserve_px(self) -> Px | None:
        """Return the price at which each unit is reserved: the worst that the order may cost.

        A market order, or the stop that becomes one, may cost the collar beyond the reference.
        """
        order, collar = self.order, self.limit(LimitName.PRICE_COLLAR)
        market = self._market_px()
        if order.ord_type.has_price and order.price is not None:
            better = market if order.side is Side.SELL and market is not None else ZERO
            return max(abs(order.price), better)
        start = order.stop_px if order.ord_type.has_stop_px else market
        if start is None or collar is None:
            return None
        return abs(start) * (ONE + collar)

    def _market_px(self) -> Px | None:
        if self.quote is None:
            return None
        px = self.quote.ask if self.order.side is Side.BUY else self.quote.bid
        return px if px is not None else self.quote.mid

    @property
    def closing_qty(self) -> Qty:
        """What other open orders on this side already close."""
        return self._open_qty

    @property
    def _open_qty(self) -> Qty:
        match self.order.side:
            case Side.BUY:
                return self.position.open_buy_qty
            case Side.SELL:
                return self.position.open_sell_qty

    def funds(self) -> Money | None:
        """Return cash and the unrealized gains of margined positions; None where a mark is."""
        mine = (p for p in self.books.positions.values() if p.account_id == self.account.id)
        gained = gains(mine, self.books.catalogue, self._mark)
        return None if gained is None else self.account.cash + gained

    def tied_up(self, *, with_order: bool) -> Money | None:
        """Return what all positions and open orders tie up, the order as held or at its terms."""
        mine = {
            p.symbol: p for p in self.books.positions.values() if p.account_id == self.account.id
        }
        if with_order:
            mine[self.order.symbol] = self._position_with_order()
        total = ZERO
        for position in mine.values():
            instrument = self.books.catalogue.get(position.symbol)
            tied = (
                requirement(position, instrument, self._mark(position.symbol))
                if instrument
                else None
            )
            if tied is None:
                return None
            total += tied
        return total

    def _position_with_order(self) -> Position:
        wanted = replace(self.order, reserve_px=self.reserve_px() or ZERO)
        added = reservation(wanted, self.instrument.multiplier)
        return self.position.reserve(self.order.side, Reservation(), added)

    def _mark(self, symbol: InstrumentID) -> Px | None:
        """Return a mark that is fresh enough; a stale one is as good as none."""
        quote = self.books.references.get(symbol)
        longest = self.limits.get(LimitName.REFERENCE_MAX_AGE_MS, symbol)
        if quote is None or longest is None or self.at - quote.received_at > longest * NS_PER_MS:
            return None
        return quote.mid


type InputsOf = Callable[[Case], dict[str, Value]]


def _closing(case: Case) -> dict[str, Value]:
    return {
        "side": case.order.side,
        "net_qty": case.position.net_qty,
        "closing_qty": case.closing_qty,
        "leaves_qty": case.order.leaves_qty,
    }


INPUTS: dict[str, InputsOf] = {
    checks.instrument_expiry.name: lambda c: {
        "market_time": c.market_time,
        "expiry": c.instrument.expiry,
    },
    checks.expire_time.name: lambda c: {
        "market_time": c.market_time,
        "expire_time": c.order.expire_time,
    },
    checks.capability.name: lambda c: {
        "ord_type": c.order.ord_type,
        "ord_types": " ".join(sorted(c.capabilities.ord_types)),
        "time_in_force": c.order.time_in_force,
        "times_in_force": " ".join(sorted(c.capabilities.times_in_force)),
    },
    checks.lot_size.name: lambda c: {"order_qty": c.order.order_qty, "lot": c.instrument.lot},
    checks.tick_size.name: lambda c: {
        "price": c.order.price,
        "stop_px": c.order.stop_px,
        "tick": c.instrument.tick,
    },
    checks.currency.name: lambda c: {
        "instrument_currency": c.instrument.currency,
        "account_currency": c.account.currency,
    },
    checks.trading_state.name: lambda c: {"state": c.trading_state} | _closing(c),
    checks.reduce_only.name: lambda c: {"reduce_only": c.order.reduce_only} | _closing(c),
    checks.reference_price.name: lambda c: {
        "reference_px": c.reference_px,
        "age_ms": c.age_ms,
        "limit": c.limit(LimitName.REFERENCE_MAX_AGE_MS),
    },
    checks.max_order_qty.name: lambda c: {
        "order_qty": c.order.order_qty,
        "limit": c.limit(LimitName.MAX_ORDER_QTY),
    },
    checks.max_order_notional.name: lambda c: {
        "order_qty": c.order.order_qty,
        "reserve_px": c.reserve_px(),
        "multiplier": c.instrument.multiplier,
        "limit": c.limit(LimitName.MAX_ORDER_NOTIONAL),
    },
    checks.price_collar.name: lambda c: {
        "price": c.order.price,
        "stop_px": c.order.stop_px,
        "reference_px": c.reference_px,
        "limit": c.limit(LimitName.PRICE_COLLAR),
    },
    checks.max_position.name: lambda c: {
        "side": c.order.side,
        "net_qty": c.position.net_qty,
        "open_qty": c.closing_qty,
        "leaves_qty": c.order.leaves_qty,
        "limit": c.limit(LimitName.MAX_POSITION_QTY),
    },
    checks.max_open_orders.name: lambda c: {
        "open_orders": c.account.open_orders + (c.order.id not in c.books.orders),
        "limit": c.limit(LimitName.MAX_OPEN_ORDERS),
    },
    checks.buying_power.name: lambda c: {
        "funds": c.funds(),
        "tied_up_before": c.tied_up(with_order=False),
        "tied_up_after": c.tied_up(with_order=True),
        "limit": c.limit(LimitName.MIN_BUYING_POWER),
    },
}
"""Where each control takes its inputs from; a control without a line here is an error at start."""


def decide(case: Case) -> RiskDecision:
    """Evaluate every control, also after a refusal: the decision tells all that is wrong."""
    return RiskDecision(
        checks=tuple(CONTROLS[name].check(**inputs(case)) for name, inputs in INPUTS.items()),
        limits_version=case.limits.version,
        decided_at=case.at,
    )
