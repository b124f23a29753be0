"""The adapter to the paper exchange in the same process; the reference for every other adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from brokers.paper.codec import encode_event
from brokers.paper.messages import Request
from brokers.paper.stream import Delivery, LinkBroken
from brokers.paper.translation import (
    cancellation,
    capabilities,
    claim_of,
    cursor_of,
    new_order,
    read_cursor,
    replacement,
    unreadable,
)
from brokers.paper.venue import Route, Venue
from trading.execution import BrokerEvent
from trading.ids import AccountID, InstrumentID, WireID
from trading.order import ApprovedOrder, ApprovedReplace, Order
from trading.ports import (
    Ack,
    BrokerOrder,
    Capabilities,
    Clock,
    Environment,
    Permit,
    Snapshot,
    Unavailable,
)
from trading.quantity import Qty
from trading.quote import Quote


class PaperBroker:
    """Trades on the paper exchange. Quotes come in by `on_quote`, and accounts with their orders.

    A refusal is not the failure of a request: like a fill, it comes in the stream, with its reason.
    """

    def __init__(self, venue: Venue, clock: Clock) -> None:
        """Take the exchange, which is this adapter's to close and to open again."""
        self._venue = venue
        self._clock = clock
        self._route = Route()
        self._after: int | None = None
        self._is_down = False

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return capabilities(Environment.SIM)

    # --- the session ---

    async def connect(self, resume_from: str | None) -> None:
        """Open the session, and have `events` go on after the cursor given.

        Raises Unavailable for a cursor that is not in the journal, and so came from another.
        """
        if self._venue.is_closed:
            self._venue.open()
        exchange, number = read_cursor(resume_from)
        self._venue.check_cursor(exchange, number)
        self._after = number
        self._venue.start(self._venue.keep_time())

    async def close(self) -> None:
        """End the session and its stream, when all that happened is durable."""
        self._after = None
        await self._venue.close()

    def events(self) -> AsyncIterator[BrokerEvent]:
        """Return the exchange's events after the cursor, each when it is durable.

        Raises Unavailable if the session is not open.
        """
        if self._after is None:
            raise Unavailable("the session with the paper exchange is not open")
        return self._events(self._after)

    async def _events(self, after: int) -> AsyncIterator[BrokerEvent]:
        """Yield events, over as many links as it takes, until the close."""
        while not self._venue.is_closed:
            try:
                async for delivery in self._venue.deliveries(after):
                    after = delivery.cursor
                    yield self._claim(delivery)
            except LinkBroken as broken:
                self._is_down = True
                await self._clock.sleep(broken.down_s)
                self._is_down = False

    def _claim(self, delivery: Delivery) -> BrokerEvent:
        event = delivery.event
        cursor, at = cursor_of(self._venue.id, delivery.cursor), self._clock.now()
        raw = encode_event(event)
        if delivery.is_readable:
            return claim_of(event, cursor=cursor, raw=raw, received_at=at)
        return unreadable(event.number, event.wire_id, cursor=cursor, raw=raw, received_at=at)

    # --- requests ---

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""
        return await self._send(new_order(approved), permit.check)

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace. Raises BrokerError, PermitRefused."""
        return await self._send(replacement(approved), permit.check)

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""
        return await self._send(cancellation(order, wire_id), lambda: None)

    async def _send(self, request: Request, check: Callable[[], None]) -> Ack:
        def leave() -> None:
            self._check_link()
            check()

        self._check_link()
        return Ack(await self._venue.carry_out(request, self._route, leave))

    def _check_link(self) -> None:
        if self._after is None:
            raise Unavailable("the session with the paper exchange is not open")
        if self._is_down:
            raise Unavailable("the link to the paper exchange is down")

    # --- questions ---

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by the wire id of any of its requests; None proves it never came.

        Raises Unavailable.
        """
        self._check_link()
        return await self._venue.find_order(wire_id)

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return all open orders. Raises Unavailable."""
        self._check_link()
        return Snapshot(await self._venue.orders(accounts), complete=True)

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return all net positions. Raises Unavailable."""
        self._check_link()
        return Snapshot(await self._venue.positions(accounts), complete=True)

    # --- the market ---

    def on_quote(self, quote: Quote) -> None:
        """Take in a quote, in the order of the market. Needs a running event loop."""
        self._venue.on_quote(quote)
