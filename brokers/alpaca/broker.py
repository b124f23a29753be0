"""The adapter to Alpaca: one key, and so one account, over REST and a stream of trades."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

from brokers.alpaca.chains import Chain, Chains
from brokers.alpaca.claims import Claims
from brokers.alpaca.fence import check_account
from brokers.alpaca.link import AlpacaLink, AlpacaSettings
from brokers.alpaca.messages import (
    ORD_TYPES,
    SIDES,
    TIMES_IN_FORCE,
    Unreadable,
    cursor_time,
    instant,
    time_cursor,
)
from brokers.alpaca.requests import Requests
from brokers.alpaca.shown import Shown
from brokers.alpaca.stream import Stream
from brokers.alpaca.symbols import Symbols
from brokers.alpaca.watermark import Watermark
from trading.execution import BrokerEvent, LinkEvent
from trading.ids import AccountID, InstrumentID, SecondaryOrderID, WireID
from trading.instrument import Catalogue, SecurityType
from trading.order import ApprovedOrder, ApprovedReplace, Order
from trading.ports import (
    Ack,
    BrokerAccount,
    BrokerError,
    BrokerOrder,
    Capabilities,
    Clock,
    Environment,
    InDoubt,
    Permit,
    Rejected,
    ReplaceModel,
    Replay,
    Snapshot,
    Unauthorized,
    Unavailable,
)
from trading.quantity import ZERO, Px, Qty, plain

WIRE_LOG = "alpaca.jsonl"
_LINK_S = 15.0


class AlpacaBroker:
    """Trades at Alpaca. What cannot be shown to have failed before its first byte is in doubt."""

    def __init__(self, settings: AlpacaSettings, catalogue: Catalogue, clock: Clock) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._clock = clock
        self._symbols = Symbols(catalogue)
        self._stream: Stream | None = None
        self._is_admitted = False

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return Capabilities(
            broker="alpaca",
            environment=self._settings.environment,
            ord_types=frozenset(ORD_TYPES),
            times_in_force=frozenset(TIMES_IN_FORCE),
            replace=ReplaceModel.NEW_ID,
            dedupes_wire_id=True,
            proves_absence=True,
            trade_cancels=True,
            replay=Replay.FILLS,
            security_types=frozenset({SecurityType.COMMON_STOCK, SecurityType.CRYPTO_SPOT}),
        )

    # --- the session ---

    async def connect(self, resume_from: str | None) -> None:
        """Ask who we are, and have `events` go on after the cursor given.

        Raises Unauthorized for an account of another environment, blocked, or in another currency
        than it can be used with; Unavailable.
        """
        if resume_from is not None:
            _check_cursor(resume_from)
        self._open()
        try:
            _admit(await self._client.account(), self._settings.environment)
            cursor = resume_from or time_cursor(await self._server_time())
        except BaseException:
            await self._link.close()
            raise
        self._is_admitted = True
        self._stream = Stream(
            client=self._client,
            feed=self._feed,
            chains=self._chains,
            claims=Claims(self._chains, self._requests, self._clock),
            watermark=Watermark(self._client, self._clock, self._settings.watermark_s),
            clock=self._clock,
            cursor=cursor,
            resumes=resume_from is not None,
        )
        await self._until_linked(self._stream)

    async def _until_linked(self, stream: Stream) -> None:
        """Wait for the stream: what is sent before it is open might be told to nobody."""
        linked = asyncio.create_task(stream.linked())
        patience = asyncio.create_task(self._clock.sleep(_LINK_S))
        try:
            await asyncio.wait({linked, patience}, return_when=asyncio.FIRST_COMPLETED)
            if not linked.done():
                await self.close()
                raise Unavailable(f"Alpaca's stream was not open within {_LINK_S:g} s")
        finally:
            linked.cancel()
            patience.cancel()

    def _open(self) -> None:
        link = AlpacaLink(self._settings, self._clock, WIRE_LOG)
        self._link, self._client, self._feed = link, link.client, link.feed
        self._chains = Chains(self._client)
        self._requests = Requests(self._clock)
        self._shown = Shown(self._symbols, self._requests)

    async def _server_time(self) -> int:
        try:
            return instant(await self._client.clock(), "timestamp")
        except ValueError as error:
            raise Unavailable(f"Alpaca's clock cannot be read: {error}") from error

    async def close(self) -> None:
        """End the session and its stream."""
        self._is_admitted = False
        if self._stream is not None:
            await self._stream.close()
            self._stream = None
            await self._link.close()

    def events(self) -> AsyncIterator[BrokerEvent | LinkEvent]:
        """Return Alpaca's events after the cursor. Raises Unavailable if no session is open."""
        if self._stream is None:
            raise Unavailable("the session with Alpaca is not open")
        return self._stream.events()

    # --- requests ---

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""
        order = approved.order
        self._check_account(order.account_id)
        body = {
            "symbol": self._symbols.theirs(order.symbol),
            "qty": plain(order.order_qty),
            "side": SIDES[order.side],
            "type": ORD_TYPES[order.ord_type],
            "time_in_force": _time_in_force(order),
            "client_order_id": order.wire_id,
            **_prices(order.price, order.stop_px),
        }
        try:
            placed = await self._client.create(body, self._leaving(order.wire_id, permit))
        except Rejected as refusal:
            return await self._refused(order, refusal)
        return Ack(SecondaryOrderID(placed.id))

    def _leaving(self, wire_id: WireID, permit: Permit) -> Callable[[], None]:
        def leave() -> None:
            permit.check()
            self._requests.sending(wire_id)

        return leave

    async def _refused(self, order: Order, refusal: Rejected) -> Ack:
        """Look a refused order up once: Alpaca refuses ids that it has, and has refused others.

        A 422 for an order that exists was reported in alpaca-trade-api-js, issue 255.
        """
        try:
            found = await self._client.order_of_client(order.wire_id)
        except BrokerError as error:
            raise InDoubt(f"refused, and not to be looked up ({error}): {refusal}") from error
        if found is None:
            raise refusal
        if (found.side, found.symbol) != (order.side, self._symbols.theirs(order.symbol)):
            raise Rejected(f"Alpaca has another order with the id {order.wire_id}")
        return Ack(SecondaryOrderID(found.id))

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace: Alpaca's successor is given what is left. Raises BrokerError.

        A fill between our question and Alpaca's replace makes the total larger by as much; the
        report of the replace then says so. Raises PermitRefused.
        """
        order, terms = approved.order, approved.terms
        self._check_account(order.account_id)
        chain = await self._chain(order)
        left = terms.order_qty - chain.cum_qty
        if left <= ZERO:
            raise Rejected(f"{plain(chain.cum_qty)} have traded, and nothing would be left")
        body = {
            "qty": plain(left),
            "client_order_id": approved.wire_id,
            **_prices(terms.price, terms.stop_px),
        }
        self._requests.replacing(chain.leaf.id, approved.wire_id)
        successor = await self._client.replace(chain.leaf.id, body, permit.check)
        return Ack(SecondaryOrderID(successor.id))

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""
        self._check_open()
        if (target := order.secondary_order_id) is None:
            target = SecondaryOrderID((await self._chain(order)).leaf.id)
        self._requests.canceling(target, wire_id)
        try:
            await self._client.cancel(target)
        except Rejected as refusal:
            target = await self._successor(order, target, refusal)
            self._requests.canceling(target, wire_id)
            await self._client.cancel(target)
        return Ack(target)

    async def _successor(
        self, order: Order, target: SecondaryOrderID, refusal: Rejected
    ) -> SecondaryOrderID:
        """Return the order that has replaced a refused target, or raise the refusal."""
        leaf = (await self._chain(order)).leaf
        if leaf.id == target:
            raise refusal
        return SecondaryOrderID(leaf.id)

    def _check_account(self, account_id: AccountID) -> None:
        self._check_open()
        if account_id != self._settings.account_id:
            raise Rejected(
                f"this key of Alpaca trades the account {self._settings.account_id}, not"
                f" {account_id}"
            )

    def _check_open(self) -> None:
        if not self._is_admitted:
            raise Unavailable("the session with Alpaca is not open")

    # --- questions ---

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by its wire id; None only where it left long enough ago to have come.

        Raises Unavailable also while a cancel or replace of it is under way that is not known here.
        """
        self._check_open()
        # Taken before the question: an order that leaves while it is asked has not been looked for.
        is_recent = self._requests.sent_within(wire_id, self._settings.arrival_s)
        found = await self._client.order_of_client(wire_id)
        if found is not None:
            return self._shown.order(await self._chains.of(found))
        if is_recent:
            raise Unavailable("Alpaca does not know the order, which may still be on its way")
        return None

    async def _chain(self, order: Order) -> Chain:
        found = await self._client.order_of_client(order.wire_id)
        if found is None:
            raise Unavailable(f"Alpaca does not know the order {order.wire_id}")
        return await self._chains.of(found)

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return the open orders; complete up to 500 of them. Raises BrokerError."""
        self._check_open()
        if self._settings.account_id not in accounts:
            return Snapshot((), complete=True)
        given, complete = await self._client.open_orders()
        shown = []
        for each in given:
            chain = await self._chains.of(each)
            if not self._shown.is_unsettled(chain.leaf):
                shown.append(self._shown.order(chain))
        return Snapshot(shown, complete=complete and len(shown) == len(given))

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return the net positions. Raises BrokerError."""
        self._check_open()
        account_id = self._settings.account_id
        if account_id not in accounts:
            return Snapshot((), complete=True)
        given = await self._client.positions()
        return Snapshot(
            [(account_id, *self._shown.position(each)) for each in given], complete=True
        )

    async def accounts(self) -> Snapshot[BrokerAccount]:
        """Return the one account of the key. Raises BrokerError."""
        self._check_open()
        shown = self._shown.account(await self._client.account(), self._settings.account_id)
        return Snapshot([shown], complete=True)


def _admit(account: Mapping[str, Any], environment: Environment) -> None:
    """Raise Unauthorized unless the key's account is one that this gateway may trade."""
    check_account(str(account.get("account_number", "")), environment)
    blocked = [each for each in ("account_blocked", "trading_blocked") if account.get(each)]
    if account.get("status") != "ACTIVE" or blocked:
        why = ", ".join(blocked) or f"its status is {account.get('status')}"
        raise Unauthorized(f"Alpaca's account cannot trade: {why}")


def _check_cursor(cursor: str) -> None:
    try:
        cursor_time(cursor)
    except Unreadable as error:
        raise Unavailable(str(error)) from None


def _prices(price: Px | None, stop_px: Px | None) -> Mapping[str, str]:
    given = {"limit_price": price, "stop_price": stop_px}
    return {name: plain(px) for name, px in given.items() if px is not None}


def _time_in_force(order: Order) -> str:
    if (known := TIMES_IN_FORCE.get(order.time_in_force)) is None:
        raise Rejected(f"Alpaca has no {order.time_in_force}")
    return known
