"""The adapter to a paper exchange in a process of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from itertools import batched

from brokers.paper.client import Address, Dialogue, ExchangeLink
from brokers.paper.codec import made
from brokers.paper.messages import Request
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
from brokers.paper.wire import (
    ACCOUNTS_MAX,
    Message,
    ProtocolError,
    decode_event,
    decode_items,
    decode_positions,
    encode_request,
)
from trading.execution import BrokerEvent
from trading.ids import AccountID, InstrumentID, SecondaryOrderID, WireID
from trading.order import ApprovedOrder, ApprovedReplace, Order
from trading.ports import (
    Ack,
    BrokerOrder,
    Capabilities,
    Clock,
    Environment,
    InDoubt,
    Permit,
    Snapshot,
    Unavailable,
)
from trading.quantity import Qty

_CREDIT = 1024
"""How many events may be on their way to the consumer of `events`."""


class RemotePaperBroker:
    """Trades on a paper exchange over a socket, and comes back by itself when that breaks.

    Nothing is sent twice: what was written and not answered is in doubt, and is asked for.
    """

    def __init__(self, *, address: Address, environment: Environment, clock: Clock) -> None:
        """Connect to nothing yet. Raises ValueError for an environment of real money."""
        if environment is Environment.LIVE:
            raise ValueError(
                "the paper exchange belongs to the environments sim and paper, not live"
            )
        self._environment = environment
        self._clock = clock
        self._link = ExchangeLink(
            address=address,
            environment=environment,
            clock=clock,
            ready=self._subscribe,
            push=self._take,
        )
        self._inbox: _Inbox | None = None
        self._heard = 0

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return capabilities(self._environment)

    # --- the session ---

    async def connect(self, resume_from: str | None) -> None:
        """Open the session, and have `events` go on after the cursor given.

        Raises Unavailable if the exchange cannot be reached, is of another environment or version,
        or does not have that cursor.
        """
        exchange, self._heard = read_cursor(resume_from)
        self._inbox = _Inbox()
        try:
            await self._link.open(exchange)
        except Unavailable:
            self._inbox = None
            raise

    async def close(self) -> None:
        """End the session and its stream."""
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None
        await self._link.close()

    def events(self) -> AsyncIterator[BrokerEvent]:
        """Return the exchange's events after the cursor, over as many connections as it takes.

        Raises Unavailable if the session is not open.
        """
        if self._inbox is None:
            raise Unavailable("the session with the paper exchange is not open")
        return self._events(self._inbox)

    async def _events(self, inbox: _Inbox) -> AsyncIterator[BrokerEvent]:
        while (event := await inbox.take()) is not None:
            if inbox.taken >= _CREDIT // 2:
                self._link.tell({"credit": inbox.taken})
                inbox.taken = 0
            yield event

    async def _subscribe(self, dialogue: Dialogue) -> None:
        """Have a new connection go on after what the one before has brought."""
        if self._inbox is not None:
            self._inbox.taken = 0
            terms = {"after": self._heard, "credit": _CREDIT - len(self._inbox)}
            await dialogue.call({"events": terms})

    def _take(self, message: Message, line: bytes) -> None:
        match message:
            case {"event": document, "cursor": int(number)}:
                if self._inbox is None or len(self._inbox) >= _CREDIT:
                    raise ProtocolError("more events came than were asked for")
                self._inbox.put(self._claim(document, number, line))
                self._heard = number
            case {"beat": _} | {"welcome": _}:
                pass
            case _:
                raise ProtocolError(f"something unheard of came: {line[:200]!r}")

    def _claim(self, document: object, number: int, line: bytes) -> BrokerEvent:
        cursor = cursor_of(self._link.exchange or "", number)
        event, at = decode_event(document), self._clock.now()
        if isinstance(event, tuple):
            return unreadable(*event, cursor=cursor, raw=line, received_at=at)
        return claim_of(event, cursor=cursor, raw=line, received_at=at)

    # --- requests ---

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""
        return await self._send(new_order(approved), permit.check)

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace. Raises BrokerError, PermitRefused."""
        return await self._send(replacement(approved), permit.check)

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""
        return await self._send(cancellation(order, wire_id), None)

    async def _send(self, request: Request, check: Callable[[], None] | None) -> Ack:
        match answer := await self._link.command(encode_request(request), check):
            case {"order_id": str(order_id)}:
                return Ack(SecondaryOrderID(order_id))
            case {"order_id": None}:
                return Ack(None)
            case _:
                raise InDoubt(f"the exchange gave an answer that cannot be read: {answer!r:.200}")

    # --- questions ---

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by the wire id of any of its requests; None proves it never came.

        Raises BrokerError.
        """
        match answer := await self._link.ask({"find_order": {"wire_id": wire_id}}):
            case {"order": None}:
                return None
            case {"order": dict(order)}:
                return _readable(lambda: made(BrokerOrder, order))
            case _:
                raise _unreadable(answer)

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return all open orders. Raises BrokerError."""
        given = await self._list("orders", accounts)
        return Snapshot(_readable(lambda: decode_items(BrokerOrder, given)), complete=True)

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return all net positions. Raises BrokerError."""
        given = await self._list("positions", accounts)
        return Snapshot(_readable(lambda: decode_positions(given)), complete=True)

    async def _list(self, kind: str, accounts: Collection[AccountID]) -> Sequence[object]:
        """Ask about accounts, some at a time."""
        found: list[object] = []
        for part in batched(accounts, ACCOUNTS_MAX):
            answer = await self._link.ask({kind: {"accounts": part}})
            if not isinstance(answer, list):
                raise _unreadable(answer)
            found += answer
        return found


class _Inbox:
    """The events that have come and were not taken yet, in their order, with an end."""

    def __init__(self) -> None:
        self._events: deque[BrokerEvent] = deque()
        self._moved = asyncio.Event()
        self._is_closed = False
        self.taken = 0
        """How many were taken since the exchange was last told that it may send more."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: BrokerEvent) -> None:
        self._events.append(event)
        self._moved.set()

    def close(self) -> None:
        self._is_closed = True
        self._moved.set()

    async def take(self) -> BrokerEvent | None:
        """Wait for the next event; None is the end, from which on nothing more is taken."""
        while not self._events and not self._is_closed:
            self._moved.clear()
            await self._moved.wait()
        if self._is_closed:
            return None
        self.taken += 1
        return self._events.popleft()


def _readable[T](read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise _unreadable(error) from error


def _unreadable(what: object) -> Unavailable:
    return Unavailable(f"the exchange gave an answer that cannot be read: {what!r:.200}")
