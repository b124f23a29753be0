"""The simulator: the paper exchange behind Alpaca's words. What carries them is in `app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

from brokers.alpaca.fence import Credentials
from brokers.alpaca.simulator import terms
from brokers.alpaca.simulator.account import ACCOUNT, SimulatedAccount
from brokers.alpaca.simulator.book import Book, SimulatedOrder
from brokers.alpaca.simulator.terms import Refused, malformed, not_found, unprocessable
from brokers.paper.messages import Cancel, Replace, Request
from brokers.paper.venue import Route, Venue
from trading.ids import InstrumentID, WireID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.ports import Clock, Rejected
from trading.quantity import Px
from trading.quote import Quote

REQUESTS_MAX = 200
"""How many requests Alpaca takes in a minute."""

_TRADED = frozenset({SecurityType.COMMON_STOCK, SecurityType.CRYPTO_SPOT})


class Simulator:
    """One account at Alpaca, on a paper exchange with one journal."""

    def __init__(
        self,
        venue: Venue,
        catalogue: Catalogue,
        clock: Clock,
        credentials: Credentials,
        *,
        replays: bool = True,
        rate_limit: int = REQUESTS_MAX,
    ) -> None:
        """Take the exchange. `replays` says whether keys are let into the replaying stream.

        `rate_limit` is in requests a minute.
        """
        self.venue = venue
        self.catalogue = catalogue
        self.clock = clock
        self.accepted = {credentials}
        self.replays = replays
        self.rate_limit = rate_limit
        self.book = Book(venue.id, catalogue, venue.paper_order)
        self.account = SimulatedAccount(self.book, catalogue, self._mark)
        self.quotes: dict[InstrumentID, Quote] = {}
        self.quoted = asyncio.Event()
        self.opened_at = venue.market.now()
        self._route = Route()
        self._fresh = count(venue.last_number)

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

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What Alpaca trades of the exchange's instruments."""
        return [each for each in self.catalogue if each.security_type in _TRADED]

    # --- requests ---

    async def create(self, given: Mapping[str, Any]) -> SimulatedOrder:
        """Place an order. Raises Refused, and what the exchange raises."""
        fresh_id = f"sim-{self.venue.id}-{next(self._fresh)}"
        request = terms.new_order(given, self.catalogue, ACCOUNT, fresh_id)
        # Looked for again as the request arrives: another of the same id may be ahead of it.
        self._check_unused(request.wire_id)
        await self._carry_out(request, lambda: self._check_unused(request.wire_id))
        return self.by_client(request.wire_id)

    async def replace(self, order_id: str, given: Mapping[str, Any]) -> SimulatedOrder:
        """Put another order in place of one. Raises Refused, and what the exchange raises."""
        old = self.order(order_id)
        instrument = self.catalogue.get(old.request.symbol)
        if not old.is_open or instrument is None:
            raise unprocessable(f"order is not replaceable: it is {old.status}")
        qty = terms.qty(given, "qty", instrument) or old.qty
        fresh_id = f"sim-{self.venue.id}-{next(self._fresh)}"
        request = Replace(
            wire_id=WireID(terms.client_order_id(given) or fresh_id),
            orig_wire_id=old.root,
            # A successor works its whole quantity, whatever was traded before it.
            order_qty=self.book.filled_before(old) + old.filled_qty + qty,
            price=terms.px(given, "limit_price", instrument) or old.limit_px,
            stop_px=terms.px(given, "stop_price", instrument) or old.stop_px,
        )
        self._check_unused(request.wire_id)
        await self._carry_out(request, lambda: self._check_unused(request.wire_id))
        self._check_taken(request.wire_id)
        return self.by_client(request.wire_id)

    async def cancel(self, order_id: str) -> None:
        """End an order. Raises Refused, and what the exchange raises."""
        order = self.order(order_id)
        if not order.is_open:
            raise unprocessable(f"order is already in {order.status} state")
        wire_id = WireID(f"cancel-{self.venue.id}-{next(self._fresh)}")
        await self._carry_out(Cancel(wire_id=wire_id, orig_wire_id=order.root), lambda: None)
        self._check_taken(wire_id)

    async def _carry_out(self, request: Request, leave: Callable[[], None]) -> None:
        try:
            await self.venue.carry_out(request, self._route, leave)
        except Rejected as refusal:
            raise malformed(str(refusal)) from None
        await self.book.reached(self.venue.last_number)

    def _check_unused(self, wire_id: WireID) -> None:
        if wire_id in self.book.by_client or self.venue.paper_order(wire_id) is not None:
            raise malformed("client_order_id must be unique")

    def _check_taken(self, wire_id: WireID) -> None:
        if (refusal := self.venue.refusal_of(wire_id)) is not None:
            raise unprocessable(refusal.text)

    # --- questions ---

    def order(self, order_id: str) -> SimulatedOrder:
        """Find an order by Alpaca's id. Raises Refused."""
        if (order := self.book.orders.get(order_id)) is None:
            raise not_found("order")
        return order

    def by_client(self, client_order_id: str) -> SimulatedOrder:
        """Find an order by its client's id. Raises Refused."""
        if (order := self.book.by_client.get(client_order_id)) is None:
            raise not_found("order")
        return order

    def instrument(self, symbol: str) -> Instrument:
        """Find an instrument by Alpaca's name. Raises Refused."""
        try:
            return terms.tradable(self.catalogue, symbol)
        except Refused:
            raise not_found(f"asset {symbol}") from None
