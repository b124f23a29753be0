"""A clock to turn by hand, and short ways to make quotes, requests and approved orders."""

import asyncio
import heapq
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from brokers.paper import journal
from brokers.paper.exchange import Exchange
from brokers.paper.journal import Stamp
from brokers.paper.messages import Cancel, Entry, Event, NewOrder, Replace, Report
from trading.execution import BrokerEvent, BrokerReport, ExecType, LinkEvent
from trading.ids import AccountID, InstrumentID, OrderID, TenantID, WireID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.order import (
    ApprovedOrder,
    ApprovedReplace,
    Order,
    OrdStatus,
    OrdType,
    Replacement,
    Side,
    TimeInForce,
)
from trading.ports import Environment, PermitRefused
from trading.quantity import ZERO, plain
from trading.quote import Quote

SECOND = 1_000_000_000
NOON = 1_719_835_200 * SECOND  # 2024-07-01T12:00:00Z
STAMP = Stamp("test", Environment.SIM)
ABC = InstrumentID("ABC@XNAS")
FUT = InstrumentID("FUT@XCME")

LISTED = (
    Instrument(
        symbol="ABC",
        mic="XNAS",
        description="a stock",
        security_type=SecurityType.COMMON_STOCK,
        currency="USD",
        tick=Decimal("0.5"),
        lot=Decimal(1),
        multiplier=Decimal(1),
        calendar="24/7-2100",
    ),
    Instrument(
        symbol="FUT",
        mic="XCME",
        description="a future",
        security_type=SecurityType.FUTURE,
        currency="USD",
        tick=Decimal("0.25"),
        lot=Decimal(10),
        multiplier=Decimal(50),
        calendar="24/7-2100",
        expiry=NOON + 3600 * SECOND,
        initial_margin=Decimal(1000),
        maintenance_margin=Decimal(900),
    ),
)


def catalogue() -> Catalogue:
    return Catalogue(LISTED)


class FakeClock:
    """Time that stands still until it is told to go on."""

    def __init__(self, time: int = NOON) -> None:
        self.time = time
        self.slept: list[float] = []
        self._ties = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        due = self.time + round(seconds * SECOND)
        heapq.heappush(self._sleepers, (due, next(self._ties), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Wake who is due in the order of their times, each before the next."""
        until = self.time + round(seconds * SECOND)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, woken = heapq.heappop(self._sleepers)
            self.time = max(self.time, due)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.time = until


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


class SlowDisk:
    """Holds writes of the journal back until it is told to release them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.release = threading.Event()
        self.batches: list[int] = []
        self._write = journal._write
        monkeypatch.setattr(journal, "_write", self._held)

    def _held(self, fd: int, data: bytes) -> None:
        if data.startswith(b'{"journal"'):
            return self._write(fd, data)
        assert self.release.wait(20), "a test releases what it holds"
        self.batches.append(data.count(b"\n"))
        return self._write(fd, data)


class Permit:
    """Leave to send, until it is taken away."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        if self.refuses:
            raise PermitRefused


def dec(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def quote(
    bid: object, bid_size: object, ask: object, ask_size: object, *, at: int = NOON, **other: Any
) -> Quote:
    return Quote(
        symbol=other.pop("symbol", ABC),
        bid=dec(bid),
        bid_size=dec(bid_size),
        ask=dec(ask),
        ask_size=dec(ask_size),
        time=at,
        received_at=at,
        source="test",
        **other,
    )


def new(
    wire_id: str,
    side: Side,
    qty: object,
    price: object = None,
    *,
    stop: object = None,
    tif: TimeInForce = TimeInForce.GOOD_TILL_CANCEL,
    account: str = "a",
    symbol: InstrumentID = ABC,
    expire_time: int | None = None,
) -> NewOrder:
    kinds = {
        (False, False): OrdType.MARKET,
        (True, False): OrdType.LIMIT,
        (False, True): OrdType.STOP,
        (True, True): OrdType.STOP_LIMIT,
    }
    return NewOrder(
        wire_id=WireID(wire_id),
        account_id=AccountID(account),
        symbol=symbol,
        side=side,
        ord_type=kinds[price is not None, stop is not None],
        time_in_force=tif,
        order_qty=Decimal(str(qty)),
        price=dec(price),
        stop_px=dec(stop),
        expire_time=expire_time,
    )


def replace(
    wire_id: str, orig: str, qty: object, price: object = None, stop: object = None
) -> Replace:
    return Replace(
        wire_id=WireID(wire_id),
        orig_wire_id=WireID(orig),
        order_qty=Decimal(str(qty)),
        price=dec(price),
        stop_px=dec(stop),
    )


def cancel(wire_id: str, orig: str) -> Cancel:
    return Cancel(wire_id=WireID(wire_id), orig_wire_id=WireID(orig))


def said(entry: Entry | None) -> list[str]:
    """Tell an entry's events in a few words each: `a TRADE 3@100`, `a CANCEL_REJECT OTHER`."""
    return [_said(event) for event in (entry.events if entry else ())]


def _said(event: Event) -> str:
    if not isinstance(event, Report):
        return f"{event.wire_id} CANCEL_REJECT {event.cxl_rej_reason}"
    if event.exec_type.is_fill:
        return f"{event.wire_id} {event.exec_type} {plain(event.last_qty)}@{plain(event.last_px)}"
    reason = f" {event.ord_rej_reason}" if event.ord_rej_reason else ""
    return f"{event.wire_id} {event.exec_type}{reason}"


def order(request: NewOrder) -> Order:
    """Make the core's order of a request."""
    return Order(
        id=OrderID(f"order-{request.wire_id}"),
        tenant_id=TenantID("t"),
        account_id=request.account_id,
        cl_ord_id=None,
        wire_id=request.wire_id,
        symbol=request.symbol,
        side=request.side,
        ord_type=request.ord_type,
        order_qty=request.order_qty,
        price=request.price,
        stop_px=request.stop_px,
        time_in_force=request.time_in_force,
        expire_time=request.expire_time,
        reduce_only=False,
        strategy_id=None,
        manual_order_indicator=None,
        status=OrdStatus.PENDING_NEW,
        created_at=NOON,
        transact_time=NOON,
    )


def approved(request: NewOrder) -> ApprovedOrder:
    return ApprovedOrder(order=order(request), approved_at=NOON)


def approved_replace(target: NewOrder, request: Replace) -> ApprovedReplace:
    terms = Replacement(
        order_qty=request.order_qty, price=request.price, stop_px=request.stop_px, reserve_px=ZERO
    )
    return ApprovedReplace(
        order=order(target), wire_id=request.wire_id, terms=terms, approved_at=NOON
    )


async def take(events: AsyncIterator[BrokerEvent | LinkEvent], wanted: int) -> list[BrokerEvent]:
    """Take so many events off a stream, and fail rather than wait for ever."""
    taken: list[BrokerEvent] = []
    async with asyncio.timeout(20):
        while len(taken) < wanted:
            event = await anext(events)
            assert isinstance(event, BrokerEvent), f"the link was interrupted: {event.text}"
            taken.append(event)
    return taken


def types(events: list[BrokerEvent]) -> list[str]:
    return [e.exec_type if isinstance(e, BrokerReport) else type(e).__name__ for e in events]


def exchange_at(*args: object, symbol: InstrumentID = ABC) -> Exchange:
    """Open an exchange that displays one quote."""
    exchange = Exchange(catalogue())
    exchange.quote(quote(*args, symbol=symbol))
    return exchange


def positions(exchange: Exchange, *accounts: str) -> dict[str, int]:
    """Tell the positions of accounts: `{"a ABC@XNAS": 5}`."""
    found = exchange.positions([AccountID(account) for account in accounts])
    return {f"{account_id} {symbol}": int(qty) for account_id, symbol, qty in found}


def trades(entry: Entry | None) -> list[Report]:
    events = entry.events if entry else ()
    return [e for e in events if isinstance(e, Report) and e.exec_type is ExecType.TRADE]
