"""The core around the adapter under test, and the three checks with which every case ends."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from brokers.conformance import Stage
from gateway.system import SystemClock
from tests.trading.builders import AAPL, ACCOUNT, ES, account, amend, assert_gapless, cancel, place
from tests.trading.fakes import Bell, NoQuotes, OpenGate, Sequential
from tests.trading.memory import MemoryStore
from trading.batch import CommandQueue
from trading.clerk import Clerk
from trading.command import OrderCommand
from trading.execution import BreakKind, ExecType, Fill
from trading.instrument import SecurityType
from trading.order import Order, OrdStatus, OrdType
from trading.permit import Permits
from trading.ports import Broker
from trading.quantity import ZERO
from trading.quote import Quote
from trading.recorder import Recorder
from trading.session import BrokerSession, SessionSettings

D = Decimal
PATIENCE_S = 20.0
_FOR_EVER = 1 << 63
_HASTY = SessionSettings(reconcile_every_s=0.5, answer_within_s=1.0, drain_s=0.2)
_EXPECTED = frozenset({BreakKind.UNREADABLE, BreakKind.POSITION, BreakKind.LATE_FILL})
"""Breaks that a fault may well raise, and that people would look at; they change no order."""


class Office:
    """One account's orders, a session with the broker, and what the exchange truly has."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clock = SystemClock()
        self.broker = stage.broker()
        self.name = self.broker.capabilities.broker
        traded = self.broker.capabilities.security_types
        self.symbol = AAPL if SecurityType.COMMON_STOCK in traded else ES
        self.store = MemoryStore(account(broker=self.name))
        self.permits = Permits(self.clock)
        self._ids, self._gate, self._bell = Sequential(), OpenGate(), Bell()
        self._epoch = 0

    # --- the process ---

    async def open(self) -> None:
        """Start: recovery first, as ever."""
        self._epoch += 1
        self.permits.extend(_FOR_EVER)
        self.session = self._session(self.broker)
        await self.session.start()
        clerk = Clerk(self._gate, self._ids)
        self.queue = CommandQueue(
            store=self.store,
            clerk=clerk,
            catalogue=self.store.catalogue,
            sessions={self.name: self.session},
            quotes=NoQuotes(),
            doorbell=self._bell,
            clock=self.clock,
        )
        self.queue.start()

    def _session(self, broker: Broker) -> BrokerSession:
        return BrokerSession(
            broker=broker,
            store=self.store,
            reads=self.store,
            recorder=Recorder(self._gate, resends=broker.capabilities.dedupes_wire_id),
            permits=self.permits,
            doorbell=self._bell,
            clock=self.clock,
            epoch=self._epoch,
            settings=_HASTY,
        )

    async def close(self) -> None:
        """Stop where everything stands, as the end of a process would."""
        await self.queue.stop()
        await self.session.abandon()

    async def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """End the process, let something happen, and start another one over the same store."""
        await self.close()
        meanwhile()
        self.broker = self.stage.broker()
        await self.open()

    # --- clients and the market ---

    def show(self, bid: Any = 99, ask: Any = 101, size: int = 50) -> None:
        """Let the market be this wide and deep."""
        at = self.clock.now()
        self.stage.show(
            Quote(
                symbol=self.symbol,
                bid=D(bid),
                bid_size=D(size),
                ask=D(ask),
                ask_size=D(size),
                time=at,
                received_at=at,
                source="kit",
            )
        )

    async def place(self, cl_ord_id: str = "p1", **terms: Any) -> Order:
        """Place a limit order to buy ten at 90, which rests, with these changes."""
        plain: dict[str, Any] = {"order_qty": D(10), "price": D(90), "symbol": self.symbol}
        if terms.get("ord_type") in {OrdType.MARKET, OrdType.STOP}:
            del plain["price"]
            terms["price"] = None
        settled = await self.put(place(cl_ord_id, **(plain | terms)))
        assert isinstance(settled.decided, Order)
        return settled.decided

    async def cancel(self, cl_ord_id: str = "c1", of: str = "p1") -> None:
        """Cancel an order."""
        await self.put(cancel(cl_ord_id, of))

    async def amend(self, cl_ord_id: str = "r1", of: str = "p1", **terms: Any) -> None:
        """Replace an order."""
        await self.put(amend(cl_ord_id, of, **terms))

    async def put(self, command: OrderCommand) -> Any:
        return await self.queue.put(command, self.name, awaits_broker=False)

    # --- what came of it ---

    def order(self, of: Order) -> Order:
        return self.store.state.orders[of.id]

    async def until(self, done: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so. Raises TimeoutError, with where everything stands."""
        for _ in range(round(patience_s / 0.02)):
            if done():
                return
            await asyncio.sleep(0.02)
        raise TimeoutError("\n".join([*self.problems(), *self._told()]))

    async def reaches(self, of: Order, status: OrdStatus, cum_qty: int | None = None) -> None:
        """Wait until our order has this status, and has traded so much, if that is said."""

        def there() -> bool:
            now = self.order(of)
            return now.status is status and cum_qty in {None, int(now.cum_qty)}

        await self.until(there)

    async def is_for(self, of: Order, order_qty: int) -> None:
        """Wait until our order is for so much in all."""
        await self.until(lambda: self.order(of).order_qty == order_qty)

    async def square(self) -> None:
        """Check the three: orders as intended, positions equal, no event lost or doubled."""
        await self.until(lambda: not self.problems())
        assert_gapless(self.store.state.reports, ACCOUNT)
        kinds = {each.kind for each in self.store.state.breaks}
        assert kinds <= _EXPECTED, self.store.state.breaks

    def problems(self) -> list[str]:
        """Say what differs between our books and the truth."""
        open_ = [each for each in self.store.state.commands.values() if each.state.is_open]
        found = [f"{each.kind} is {each.state}: {each.evidence}" for each in open_]
        return [*found, *self._orders(), *self._positions()]

    def _orders(self) -> Iterator[str]:
        true = {each.wire_id: each for each in self.stage.orders()}
        ours = {each.wire_id: each for each in self.store.state.orders.values()}
        if strangers := true.keys() - ours.keys():
            yield f"the exchange has orders that we never placed: {strangers}"
        for wire_id, order in ours.items():
            if (theirs := true.get(wire_id)) is None:
                if order.status is not OrdStatus.REJECTED:
                    yield f"{order.cl_ord_id} is {order.status}, and the exchange never had it"
                continue
            traded = sum((qty for qty, _ in theirs.trades), ZERO)
            truth = theirs.status, theirs.order_qty, theirs.price, traded
            if (order.status, order.order_qty, order.price, order.cum_qty) != truth:
                yield f"{order.cl_ord_id} is {order}, and truly {truth}"
            fills = sorted((each.last_qty, each.last_px) for each in self._standing(order))
            if fills != sorted(theirs.trades):
                yield f"{order.cl_ord_id} has the fills {fills}, and truly {sorted(theirs.trades)}"

    def _standing(self, order: Order) -> list[Fill]:
        """Return the fills that stand: what was revised is out, and a correction in its place."""
        fills = [each for each in self.store.state.fills if each.order_id == order.id]
        revised = {each.exec_ref_id for each in fills}
        return [
            each
            for each in fills
            if each.exec_type is not ExecType.TRADE_CANCEL and each.exec_id not in revised
        ]

    def _positions(self) -> Iterator[str]:
        held = {s: p.net_qty for (_, s), p in self.store.state.positions.items() if p.net_qty}
        if held != (true := dict(self.stage.positions())):
            yield f"we hold {held}, and truly {true}"

    def _told(self) -> list[str]:
        return [repr(each) for each in (*self.store.state.reports, *self.store.state.breaks)]
