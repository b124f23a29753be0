"""The simulator: the paper exchange behind Tradovate's words. What carries them is in `app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from itertools import count
from typing import Any

from brokers.paper.messages import Cancel, NewOrder, Replace, Request
from brokers.paper.venue import Route, Venue
from brokers.tradovate.simulator import book as books
from brokers.tradovate.simulator import terms
from brokers.tradovate.simulator.account import NAMES, Accounts, named
from brokers.tradovate.simulator.book import Book, SimulatedOrder
from brokers.tradovate.simulator.contracts import Library
from brokers.tradovate.simulator.entities import Entities
from brokers.tradovate.simulator.maintenance import Maintenance
from brokers.tradovate.simulator.sessions import LIFE_S, Login, Sessions
from brokers.tradovate.simulator.terms import Document, failure
from brokers.tradovate.simulator.window import REQUESTS_MAX, Window
from trading.ids import AccountID, InstrumentID, WireID
from trading.instrument import Catalogue
from trading.order import OrdType
from trading.ports import Clock, Rejected
from trading.quantity import Px
from trading.quote import Quote


class Simulator:
    """One user at Tradovate with two accounts, on a paper exchange with one journal."""

    def __init__(
        self,
        venue: Venue,
        catalogue: Catalogue,
        clock: Clock,
        login: Login,
        fresh: Callable[[], str],
        *,
        token_life_s: float = LIFE_S,
        rate_limit: int = REQUESTS_MAX,
        maintenance: Maintenance | None = None,
    ) -> None:
        """Take the exchange. `fresh` makes what nobody guesses: tokens and tickets.

        `rate_limit` is in requests an hour.
        """
        self.venue = venue
        self.clock = clock
        self.library = Library(catalogue, venue.market.now())
        self.sessions = Sessions(clock, login, fresh, token_life_s)
        self.window = Window(clock, fresh, rate_limit)
        self.maintenance = maintenance or Maintenance(clock)
        self.entities = Entities()
        self.accounts = Accounts(
            self.entities, self.library, catalogue, self._mark, venue.market.now()
        )
        self.book = Book(self.entities, self.library, self.accounts, venue.paper_order)
        self.quotes: dict[InstrumentID, Quote] = {}
        self.quoted = asyncio.Event()
        self._route = Route()
        self._fresh = count(venue.last_number)
        self._claimed: set[WireID] = set()

    async def follow(self) -> None:
        """Keep the books beside the exchange, from its first event on, until its close."""
        async with aclosing(self.venue.history()) as deliveries:
            async for delivery in deliveries:
                self.book.take(delivery.event)

    def on_quote(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market."""
        self.venue.on_quote(quote)
        self.quotes[quote.symbol] = quote
        self.look_again()

    def look_again(self) -> None:
        """Have every stream of quotes look for what it has not told."""
        moved, self.quoted = self.quoted, asyncio.Event()
        moved.set()

    def _mark(self, symbol: InstrumentID) -> Px | None:
        return self.quotes[symbol].mid if symbol in self.quotes else None

    # --- requests ---

    async def place(self, given: Mapping[str, Any]) -> Document:
        """Place an order. Raises Answered, Refused, and what the exchange raises."""
        request = self._new_order(given)
        await self._carry_out(request)
        return {"orderId": self.book.by_wire_id[request.wire_id].id}

    async def modify(self, given: Mapping[str, Any]) -> Document:
        """Change an order's terms, of which all are given. Raises as `place` does."""
        order = self._open_order(given)
        self._check_unchanged(order, given)
        price, stop_px = _prices(given, order.request.ord_type)
        request = Replace(
            wire_id=self._wire_id(terms.text(given, "clOrdId"), "Modify"),
            orig_wire_id=order.wire_id,
            order_qty=terms.qty(given, "orderQty"),
            price=price,
            stop_px=stop_px,
        )
        await self._carry_out(request)
        return {"commandId": self.book.commands[request.wire_id]}

    async def cancel(self, given: Mapping[str, Any]) -> Document:
        """End an order. Raises as `place` does."""
        order = self._open_order(given)
        wire_id = self._wire_id(terms.text(given, "clOrdId"), "Cancel")
        await self._carry_out(Cancel(wire_id=wire_id, orig_wire_id=order.wire_id))
        return {"commandId": self.book.commands[wire_id]}

    def account(self, given: Mapping[str, Any]) -> AccountID:
        """Find the account of a request by its number or name. Raises Answered."""
        number, name = given.get("accountId"), given.get("accountSpec")
        found = AccountID(str(name)) if number is None else named(terms.number(given, "accountId"))
        if found not in NAMES:
            raise terms.violation("accountId", number or name, "there is no such account")
        return found

    def _new_order(self, given: Mapping[str, Any]) -> NewOrder:
        account_id = self.account(given)
        if (instrument := self.library.find(given.get("symbol"))) is None:
            raise failure("InvalidContract", f"no contract {given.get('symbol')}")
        in_force = {"timeInForce": given.get("timeInForce") or "Day"}
        ord_type, label = (
            terms.member(given, "orderType", terms.ORDER_TYPES),
            terms.text(given, "clOrdId"),
        )
        price, stop_px = _prices(given, ord_type)
        return NewOrder(
            account_id=account_id,
            symbol=instrument.id,
            side=terms.member(given, "action", terms.ACTIONS),
            ord_type=ord_type,
            time_in_force=terms.member(in_force, "timeInForce", terms.TIMES_IN_FORCE),
            order_qty=terms.qty(given, "orderQty"),
            price=price,
            stop_px=stop_px,
            expire_time=terms.instant(given, "expireTime"),
            wire_id=self._wire_id(label, "New"),
        )

    def _wire_id(self, label: str | None, command_type: str) -> WireID:
        """Return the label of a new order where no other has it: it identifies nothing."""
        plain = WireID(label or "")
        fits = label and command_type == "New" and books.label(plain) == label
        if fits and plain not in self._claimed and self.venue.paper_order(plain) is None:
            self._claimed.add(plain)
            return plain
        return books.wire_id(label, command_type, next(self._fresh))

    def _open_order(self, given: Mapping[str, Any]) -> SimulatedOrder:
        order_id = terms.number(given, "orderId")
        if (order := self.book.orders.get(order_id)) is None:
            raise terms.not_found(f"order {order_id}")
        paper = self.venue.paper_order(order.wire_id)
        if paper is None or not paper.is_open:
            raise failure("TooLate", "the order is already at its end")
        return order

    def _check_unchanged(self, order: SimulatedOrder, given: Mapping[str, Any]) -> None:
        ord_type = terms.member(given, "orderType", terms.ORDER_TYPES)
        if ord_type is not order.request.ord_type:
            raise failure("Unsupported", "the type of an order cannot be modified here")

    async def _carry_out(self, request: Request) -> None:
        try:
            await self.venue.carry_out(request, self._route, lambda: None)
        except Rejected as refusal:
            raise failure("OtherExecutionRelated", str(refusal)) from None
        await self.book.reached(self.venue.last_number)


def _prices(given: Mapping[str, Any], ord_type: OrdType) -> tuple[Px | None, Px | None]:
    """Return price and stop price; a Stop's may come in either field, as Tradovate's pages do."""
    price, stop_px = terms.px(given, "price"), terms.px(given, "stopPrice")
    if ord_type is OrdType.STOP and stop_px is None:
        return None, price
    return price, stop_px
