"""One order before the gate: the state that its checks take their inputs from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from risk.control import Facts
from risk.facts import (
    AccountFacts,
    ConductFacts,
    InstrumentFacts,
    OrderFacts,
    PositionFacts,
    ReferenceFacts,
)
from risk.opposite import in_doubt_side, opposite
from trading.account import UNRESERVED, Account, Position, TradingState, reservation
from trading.books import Books
from trading.calendar import Period, calendar
from trading.ids import UserID
from trading.instrument import Instrument
from trading.limits import LimitName, Limits
from trading.losses import fresh_mark
from trading.order import Order, Side
from trading.portfolio import Portfolio
from trading.ports import Capabilities
from trading.quantity import ONE, ZERO, Px, Qty
from trading.quote import Quote
from trading.record import record
from trading.valuation import NOTHING, Burden, burden

NS_PER_MS = 1_000_000
_NO_LIMITS: Facts = dict.fromkeys(LimitName)


@record
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
    period: Period | None
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
        if quote is not None:
            # A process that hears nothing of the market is behind, and its reference price is not.
            market_time = max(market_time, quote.time)
        return cls(
            order=order,
            instrument=instrument,
            account=account,
            position=position.reserve(order.side, held, UNRESERVED) if held.qty else position,
            limits=books.limits_of(account.id),
            quote=quote,
            books=books,
            capabilities=capabilities,
            period=_period(instrument, market_time),
            market_time=market_time,
            at=at,
            user_id=user_id,
        )

    @property
    def trading_state(self) -> TradingState:
        """The strictest state of all scopes that the order is in."""
        return self.account.state_for(self.order, self.user_id)

    def limit(self, name: LimitName) -> Qty | None:
        """Return the strictest limit over all scopes that apply to the order, or None."""
        order = self.order
        return self.limits.get(name, order.symbol, order.strategy_id, at=self.at)

    @property
    def is_new(self) -> bool:
        """Whether the order is not recorded yet, as one under a replace is."""
        return self.order.id not in self.books.orders

    def reserve_px(self) -> Px | None:
        """Return the price at which each unit is reserved: the worst that the order may cost.

        A market order, or the stop that becomes one, may cost the collar beyond the reference.
        """
        order = self.order
        market = self._market_px()
        if order.ord_type.has_price and order.price is not None:
            better = market if order.side is Side.SELL and market is not None else ZERO
            return max(abs(order.price), better)
        start = order.stop_px if order.ord_type.has_stop_px else market
        collar = self.limit(LimitName.PRICE_COLLAR)
        if start is None or collar is None:
            return None
        return abs(start) * (ONE + collar)

    def _market_px(self) -> Px | None:
        if self.quote is None:
            return None
        px = self.quote.ask if self.order.side is Side.BUY else self.quote.bid
        return px if px is not None else self.quote.mid

    def facts(self) -> Facts:
        """Return all that a control may ask about this case, and every limit by its name."""
        reserve_px = self.reserve_px()
        order = self.order
        limits = self.limits.in_force(order.symbol, order.strategy_id, at=self.at)
        facts: dict[str, object] = dict(_NO_LIMITS)
        facts.update((name, limit.value) for name, limit in limits.items())
        facts.update(self._order_facts(reserve_px))
        facts.update(self._instrument_facts())
        facts.update(self._reference_facts())
        facts.update(self._position_facts())
        facts.update(self._account_facts(self._position_with_order(reserve_px)))
        facts.update(self._conduct_facts())
        return facts

    def _order_facts(self, reserve_px: Px | None) -> OrderFacts:
        order = self.order
        return {
            "side": order.side,
            "ord_type": order.ord_type,
            "time_in_force": order.time_in_force,
            "expire_time": order.expire_time,
            "order_qty": order.order_qty,
            "leaves_qty": order.leaves_qty,
            "price": order.price,
            "stop_px": order.stop_px,
            "reserve_px": reserve_px,
            "reduce_only": order.reduce_only,
            "strategy_id": order.strategy_id,
        }

    @property
    def _is_traded(self) -> bool:
        return self.instrument.security_type in self.capabilities.security_types

    def _instrument_facts(self) -> InstrumentFacts:
        instrument, period = self.instrument, self.period
        return {
            "lot": instrument.lot,
            "tick": instrument.tick,
            "multiplier": instrument.multiplier,
            "expiry": instrument.expiry,
            "instrument_currency": instrument.currency,
            "is_margined": instrument.is_margined,
            "must_borrow": instrument.must_be_borrowed,
            "shortable": instrument.shortable is not False,
            "market_time": self.market_time,
            "opens_at": period.opens_at if period else None,
            "closes_at": period.closes_at if period else None,
            # None at all, where the broker does not trade this kind of instrument.
            "ord_types": _names(self.capabilities.ord_types if self._is_traded else ()),
            "times_in_force": _names(self.capabilities.times_in_force),
        }

    def _reference_facts(self) -> ReferenceFacts:
        """Return what the reference says; a clock gone back counts as no time."""
        quote = self.quote
        return {
            "reference_px": quote.mid if quote else None,
            "earlier_px": self.books.earlier.get(self.order.symbol),
            "bid": quote.bid if quote else None,
            "ask": quote.ask if quote else None,
            "delayed": quote.delayed if quote else None,
            "age_ms": max(self.at - quote.received_at, 0) // NS_PER_MS if quote else None,
        }

    def _position_facts(self) -> PositionFacts:
        order, net_qty = self.order, self.position.net_qty
        open_qty, leaves_qty = self._open_qty, order.leaves_qty
        sells = order.side is Side.SELL and self.instrument.must_be_borrowed
        return {
            "net_qty": net_qty,
            "open_qty": open_qty,
            "closing_qty": open_qty,
            "sells_short": sells and net_qty - open_qty < leaves_qty,
            "reduces": reduces(order.side, net_qty, open_qty, leaves_qty),
        }

    def _account_facts(self, after: Position) -> AccountFacts:
        account, burdened = self.account, self._burden(after)
        without, with_order = self._burdens(burdened)
        equity = None if without.worth is None else account.cash + without.worth
        conduct = account.conduct.observed(equity, self.at)
        return {
            "account_currency": account.currency,
            "state": self.trading_state,
            "open_orders": account.open_orders + self.is_new,
            "funds": None if without.gain is None else account.cash + without.gain,
            "equity": equity,
            "session_equity": conduct.session_equity,
            "peak_equity": conduct.peak_equity,
            "tied_up_before": without.tied_up,
            "tied_up_after": with_order.tied_up,
            "initial_before": without.initial,
            "initial_after": with_order.initial,
            "maintenance_before": without.maintenance,
            "maintenance_after": with_order.maintenance,
            "gross_after": with_order.gross,
            "open_notional": with_order.open_notional,
            "position_value": burdened.gross,
        }

    def _conduct_facts(self) -> ConductFacts:
        order, conduct = self.order, self.account.conduct
        found = opposite(self.books, order, self.account)
        placed = conduct.strategy_orders(order.strategy_id) if order.strategy_id else 0
        return {
            "opposite_px": found.px,
            "opposite_unpriced": found.is_unpriced,
            "opposite_order_id": found.order_id,
            "duplicates": conduct.duplicates(order, self.at) + 1 if self.is_new else 0,
            "strategy_orders": placed + (self.is_new and order.is_automated),
            "messages": conduct.rate(self.at) + ONE,
            "in_doubt": self.books.in_doubt.get(self.account.id, 0),
            "in_doubt_side": in_doubt_side(self.books, order),
        }

    @property
    def _open_qty(self) -> Qty:
        """What other open orders on this side add to the position, or close of it."""
        match self.order.side:
            case Side.BUY:
                return self.position.open_buy_qty
            case Side.SELL:
                return self.position.open_sell_qty

    def _burdens(self, burdened: Burden) -> tuple[Burden, Burden]:
        """Return what the account's positions come to, without the order and with it."""
        rest = self._portfolio().without(self.order.symbol)
        # What is held now has the old terms reserved, where the order is under a replace.
        held = self.books.position(self.account.id, self.order.symbol)
        return rest.plus(self._burden(held)), rest.plus(burdened)

    def _portfolio(self) -> Portfolio:
        """Take the account's portfolio at this instant, weighed for the first order of a batch."""
        account_id = self.account.id
        known = self.books.portfolios.get(account_id)
        if known is not None and known.at == self.at:
            return known
        mine = (p for (owner, _), p in self.books.positions.items() if owner == account_id)
        made = Portfolio(self.at, mine, _scales(self.books, self.limits, self.at))
        self.books.portfolios[account_id] = made
        return made

    def _burden(self, position: Position) -> Burden:
        return self._portfolio().weigh(position)

    def _position_with_order(self, reserve_px: Px | None) -> Position:
        added = reservation(self.order, self.instrument.multiplier, reserve_px or ZERO)
        return self.position.reserve(self.order.side, UNRESERVED, added)


def reduces(side: Side, net_qty: Qty, closing_qty: Qty, leaves_qty: Qty) -> bool:
    """Whether an order only closes, other closing orders counted: it must not turn round."""
    return net_qty * side.sign < ZERO and leaves_qty <= abs(net_qty) - closing_qty


def _scales(books: Books, limits: Limits, at: int) -> Callable[[Position], Burden]:
    """Return what weighs a position at the marks of this instant.

    It holds neither case nor books, which hold the portfolio that holds it: in a ring of references
    all that a batch has read would stay until the garbage collector comes round.
    """
    catalogue, references = books.catalogue, books.references

    def weigh(position: Position) -> Burden:
        if not position.is_exposed:
            return NOTHING
        symbol = position.symbol
        mark = fresh_mark(references.get(symbol), limits, symbol, at)
        return burden(position, catalogue.get(symbol), mark)

    return weigh


def _period(instrument: Instrument, market_time: int) -> Period | None:
    try:
        return calendar(instrument.calendar).period(market_time)
    except LookupError:
        return None


@cache
def _names(members: Iterable[StrEnum]) -> str:
    return " ".join(sorted(members))
