"""The adapter to Tradovate: one user with several accounts, over REST and a socket of entities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from brokers.instants import format_instant
from brokers.tradovate import shown
from brokers.tradovate.accounts import Accounts
from brokers.tradovate.claims import Claims
from brokers.tradovate.dossier import Dossier
from brokers.tradovate.link import TradovateLink, TradovateSettings
from brokers.tradovate.messages import (
    ACTIONS,
    ORD_TYPES,
    TIMES_IN_FORCE,
    Unreadable,
    cursor_time,
    integer,
    text,
)
from brokers.tradovate.mirror import Mirror
from brokers.tradovate.requests import Requests
from brokers.tradovate.shown import Shown
from brokers.tradovate.stream import Stream
from brokers.tradovate.symbols import Symbols
from brokers.tradovate.watermark import Watermark
from trading.execution import BrokerEvent, LinkEvent
from trading.ids import AccountID, InstrumentID, SecondaryOrderID, WireID
from trading.instrument import Catalogue, SecurityType
from trading.order import ApprovedOrder, ApprovedReplace, Order, Replacement
from trading.ports import (
    Ack,
    BrokerAccount,
    BrokerOrder,
    Capabilities,
    Clock,
    Permit,
    Rejected,
    ReplaceModel,
    Replay,
    Snapshot,
    Unavailable,
)
from trading.quantity import Qty

logger = logging.getLogger(__name__)

WIRE_LOG = "tradovate.jsonl"
_LINK_S = 20.0


class TradovateBroker:
    """Trades at Tradovate. What is not shown to have failed before its first byte is in doubt."""

    def __init__(self, settings: TradovateSettings, catalogue: Catalogue, clock: Clock) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._stream: Stream | None = None
        self._accounts: Accounts | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it can do. `clOrdId` is a label, which Tradovate takes twice."""
        return Capabilities(
            broker="tradovate",
            environment=self._settings.environment,
            ord_types=frozenset(ORD_TYPES),
            times_in_force=frozenset(TIMES_IN_FORCE),
            replace=ReplaceModel.SAME_ID,
            dedupes_wire_id=False,
            proves_absence=True,
            trade_cancels=True,
            replay=Replay.FILLS,
            security_types=frozenset({SecurityType.FUTURE}),
        )

    # --- the session ---

    async def connect(self, resume_from: str | None) -> None:
        """Ask who we are, and have `events` go on after the cursor given.

        Raises Unauthorized for accounts that are not there or of another environment; Unavailable.
        """
        self._resumed_at = None if resume_from is None else _cursor_time(resume_from)
        self._open()
        try:
            listed = await self._client.accounts()
            accounts = Accounts(self._settings.accounts, listed, self._settings.environment)
        except BaseException:
            await self._link.close()
            raise
        self._accounts = accounts
        self._stream = Stream(
            link=self._link,
            claims=Claims(self._clock),
            mirror=self._mirror,
            watermark=Watermark(
                self._client, self._mirror, self._clock, self._settings.watermark_s
            ),
            clock=self._clock,
            accounts=accounts.ours,
            resume_from=resume_from,
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
                raise Unavailable(f"Tradovate's stream was not open within {_LINK_S:g} s")
        finally:
            linked.cancel()
            patience.cancel()

    def _open(self) -> None:
        self._link = TradovateLink(self._settings, self._clock, WIRE_LOG)
        self._client = self._link.client
        self._mirror = Mirror()
        self._requests = Requests(self._clock)
        self._symbols = Symbols(self._catalogue, self._client)
        self._shown = Shown(self._symbols)

    async def close(self) -> None:
        """End the session and its stream."""
        self._accounts = None
        if self._stream is not None:
            await self._stream.close()
            self._stream = None
            await self._link.close()

    def events(self) -> AsyncIterator[BrokerEvent | LinkEvent]:
        """Return Tradovate's events after the cursor. Raises Unavailable if no session is open."""
        if self._stream is None:
            raise Unavailable("the session with Tradovate is not open")
        return self._stream.events()

    # --- requests ---

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""
        order = approved.order
        account = self._served().of(order.account_id)
        self._check_open()
        body = {
            "accountSpec": account.name,
            "accountId": account.id,
            "clOrdId": order.wire_id,
            "action": ACTIONS[order.side],
            "symbol": self._symbols.theirs(order.symbol),
            **_terms(order, order),
        }
        placed = await self._client.place(body, self._leaving(order.wire_id, permit))
        self._requests.answered(order.wire_id, placed)
        return Ack(SecondaryOrderID(str(placed)))

    def _leaving(self, wire_id: WireID, permit: Permit) -> Callable[[], None]:
        def leave() -> None:
            permit.check()
            self._requests.sending(wire_id)

        return leave

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace, which keeps the order's id; its quantity is the total.

        Raises BrokerError, PermitRefused.
        """
        order = approved.order
        self._served().of(order.account_id)
        self._check_open()
        order_id = await self._order_id(order)
        body = {
            "orderId": order_id,
            "clOrdId": approved.wire_id,
            **_terms(order, approved.terms),
        }
        await self._client.modify(body, permit.check)
        return Ack(SecondaryOrderID(str(order_id)))

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""
        self._served()
        order_id = await self._order_id(order)
        automated = {"isAutomated": order.manual_order_indicator is not True}
        await self._client.cancel({"orderId": order_id, "clOrdId": wire_id, **automated})
        return Ack(SecondaryOrderID(str(order_id)))

    def _served(self) -> Accounts:
        if self._accounts is None:
            raise Unavailable("the session with Tradovate is not open")
        return self._accounts

    def _check_open(self) -> None:
        """Raise Unavailable where an order would leave without anybody to hear of it."""
        if (until := self._settings.maintenance.until(self._clock.now())) is not None:
            raise Unavailable(
                f"Tradovate is in maintenance until {format_instant(until)}: orders wait"
            )
        if self._stream is None or not self._stream.is_live:
            raise Unavailable("Tradovate's stream is away: orders wait for it")

    async def _order_id(self, order: Order) -> int:
        """Return Tradovate's id of an order, which may have been told to nobody yet."""
        if order.secondary_order_id is not None:
            return int(order.secondary_order_id)
        if (found := await self._find(order.wire_id)) is None:
            raise Unavailable(f"Tradovate does not know the order {order.wire_id}")
        return found

    # --- questions ---

    async def _find(self, wire_id: WireID) -> int | None:
        """Find an order by its label: as answered or told, in all commands, or in what works."""
        known = self._requests.order_id(wire_id) or self._mirror.order_id(wire_id)
        if known is not None:
            return known
        for command in await self._client.commands():
            if command.kind == "New" and command.cl_ord_id == wire_id:
                return command.order_id
        # One that works since another day may not be among the commands of this one.
        open_ = [each.id for each in await self._client.orders() if Dossier(each).is_open]
        for dossier in await self._client.dossiers(open_):
            if dossier.wire_id == wire_id:
                return dossier.order.id
        return None

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by its wire id; None only where its absence is proven.

        Tradovate lists the commands of the day. An order that is not there has not come, if it left
        here since the last maintenance, and long enough ago; what may have been put away since it
        left is never taken for absent, but Unavailable.
        """
        self._served()
        # Taken before the question: an order that leaves while it is asked has not been looked for.
        is_recent = self._requests.sent_within(wire_id, self._settings.arrival_s)
        if (order_id := await self._find(wire_id)) is not None:
            return await self._shown.order(await self._dossier(order_id))
        if is_recent:
            raise Unavailable("Tradovate does not know the order, which may still be on its way")
        left_at = self._requests.sent_at(wire_id) or self._resumed_at
        if left_at is not None and left_at < self._settings.maintenance.last_begin(
            self._clock.now()
        ):
            raise Unavailable(
                f"Tradovate does not list the order {wire_id}, and may have put it away in its"
                " maintenance: a person must look"
            )
        return None

    async def _dossier(self, order_id: int) -> Dossier:
        found = await self._client.dossiers([order_id])
        if not found:
            raise Unavailable(f"Tradovate does not show its order {order_id}")
        return found[0]

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return the open orders. Raises BrokerError."""
        wanted = self._theirs(accounts)
        listed = [each for each in await self._client.orders() if each.account_id in wanted]
        open_ = [each.id for each in listed if Dossier(each).is_open]
        found = await self._client.dossiers(open_)
        items = [await self._shown.order(each) for each in found if each.is_open]
        return Snapshot(items, complete=len(found) == len(open_))

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return the net positions. Raises BrokerError."""
        wanted = self._theirs(accounts)
        held = [
            (wanted[each.account_id], await self._symbols.ours(each.contract_id), each.net)
            for each in await self._client.positions()
            if each.account_id in wanted and each.net
        ]
        return Snapshot(held, complete=True)

    def _theirs(self, accounts: Collection[AccountID]) -> Mapping[int, AccountID]:
        return {theirs: ours for theirs, ours in self._served().ours.items() if ours in accounts}

    async def accounts(self) -> Snapshot[BrokerAccount]:
        """Return the accounts that are served, with what they are worth. Raises BrokerError."""
        served = self._served()
        currencies = await self._currencies()
        items = []
        for ours, theirs in served.theirs.items():
            worth = await self._client.worth(theirs.id)
            items.append(shown.account(theirs, ours, currencies.get(theirs.id, "USD"), worth))
        return Snapshot(items, complete=True)

    async def _currencies(self) -> Mapping[int, str]:
        """Return the currency of each account, by the cash that is in it."""
        found = {}
        for balance in await self._client.cash_balances():
            try:
                account_id, number = integer(balance, "accountId"), integer(balance, "currencyId")
                currency = await self._client.item("currency", number) or {}
                found[account_id] = text(currency, "name")
            except (KeyError, ValueError) as error:
                raise Unavailable(f"Tradovate's cash cannot be read: {balance!r:.200}") from error
        return found


def _terms(order: Order, terms: Order | Replacement) -> Mapping[str, Any]:
    """Write terms, all of them: what a modification leaves out would be taken back."""
    if terms.order_qty != terms.order_qty.to_integral_value():
        raise Rejected(f"{terms.order_qty} is no whole number of contracts")
    expires = order.expire_time
    prices: Mapping[str, Decimal | None] = {"price": terms.price, "stopPrice": terms.stop_px}
    return {
        "orderQty": int(terms.order_qty),
        "orderType": ORD_TYPES[order.ord_type],
        "timeInForce": TIMES_IN_FORCE[order.time_in_force],
        **({} if expires is None else {"expireTime": format_instant(expires)}),
        **{name: px for name, px in prices.items() if px is not None},
        # An exchange wants to know who has sent it; only a person can say that it was a person.
        "isAutomated": order.manual_order_indicator is not True,
    }


def _cursor_time(cursor: str) -> int:
    try:
        return cursor_time(cursor)
    except Unreadable as error:
        raise Unavailable(str(error)) from None
