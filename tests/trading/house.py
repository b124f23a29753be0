"""A whole order path in memory: desk, queue, session, store and broker, on a manual clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.trading.builders import AAPL, account, cancel, new, place, quote
from tests.trading.fakes import (
    Bell,
    ManualClock,
    NoQuotes,
    OpenGate,
    ScriptedBroker,
    Sequential,
    settle,
)
from tests.trading.memory import MemoryStore
from trading.account import Account
from trading.batch import CommandQueue, Settled
from trading.clerk import Clerk
from trading.command import Command, CommandKind, CommandState, OrderCommand
from trading.controller import ControlDesk
from trading.desk import OrderDesk
from trading.execution import ExecutionReport
from trading.ids import WireID
from trading.order import Order
from trading.permit import Permits
from trading.probe import NO_PROBE, Probe
from trading.recorder import Recorder
from trading.session import BrokerSession
from trading.winddown import WindDown

FOR_EVER = 1 << 63


class House:
    """One gateway process; a second one over the same store and broker is a restart."""

    def __init__(
        self,
        *accounts: Account,
        store: MemoryStore | None = None,
        broker: ScriptedBroker | None = None,
        ids: Sequential | None = None,
        winds_down: bool = False,
        probe: Probe = NO_PROBE,
    ) -> None:
        self.store = store or MemoryStore(*(accounts or (account(),)))
        self.store.state.references[AAPL] = quote()
        self.broker = broker or ScriptedBroker()
        self.ids = ids or Sequential()
        self.clock, self.bell, self.gate = ManualClock(), Bell(), OpenGate()
        self.permits = Permits(self.clock)
        self.permits.extend(FOR_EVER)
        clerk = Clerk(self.gate, self.ids)
        self.quotes = NoQuotes()
        wind_down = WindDown(
            broker=self.broker,
            store=self.store,
            reads=self.store,
            clerk=clerk,
            prices=self.quotes,
            doorbell=self.bell,
            clock=self.clock,
            ids=self.ids,
        )
        self.session = BrokerSession(
            broker=self.broker,
            store=self.store,
            reads=self.store,
            recorder=Recorder(self.gate, resends=True),
            permits=self.permits,
            doorbell=self.bell,
            clock=self.clock,
            wind_down=wind_down if winds_down else None,
            probe=probe,
        )
        self.queue = CommandQueue(
            store=self.store,
            clerk=clerk,
            catalogue=self.store.catalogue,
            sessions={"fake": self.session},
            quotes=self.quotes,
            doorbell=self.bell,
            clock=self.clock,
            probe=probe,
        )
        self.desk = OrderDesk(
            queue=self.queue,
            clerk=clerk,
            store=self.store,
            reads=self.store,
            catalogue=self.store.catalogue,
            prices=self.quotes,
            clock=self.clock,
        )
        self.control = ControlDesk(
            store=self.store,
            permits=self.permits,
            doorbell=self.bell,
            clock=self.clock,
            ids=self.ids,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        await self.session.start()
        self.queue.start()
        await settle()
        try:
            yield self
        finally:
            await self.queue.stop()
            self.kill()
            await settle()

    def kill(self) -> None:
        """End the session's tasks where they stand, as the end of the process would."""
        for task in self.session._tasks | self.session._sends:
            task.cancel()

    def again(self) -> "House":
        """Start another process over the same store and broker."""
        return House(store=self.store, broker=self.broker, ids=self.ids)

    async def put(self, command: OrderCommand) -> Settled:
        return await self.queue.put(command, "fake", awaits_broker=False)

    async def placed(self, cl_ord_id: str = "p1") -> Order:
        """Place an order, and let the broker's adapter take it."""
        order = (await self.put(place(cl_ord_id))).decided
        assert isinstance(order, Order)
        await settle()
        return order

    def order(self, of: Order) -> Order:
        return self.store.state.orders[of.id]

    def command(self, wire_id: WireID) -> Command:
        return self.store.state.commands[wire_id]

    def state(self, wire_id: WireID) -> CommandState:
        return self.command(wire_id).state

    @property
    def told(self) -> list[str]:
        return [
            each.exec_type.value if isinstance(each, ExecutionReport) else "CancelReject"
            for each in self.store.state.reports
        ]

    @property
    def sent(self) -> list[str]:
        return [kind for kind, _ in self.broker.sent]


async def working(house: House, cl_ord_id: str = "p1") -> Order:
    order = await house.placed(cl_ord_id)
    house.broker.tell(new(order.wire_id, cursor=f"{order.wire_id}-1"))
    await settle()
    return house.order(order)


async def canceling(house: House, order: Order) -> WireID:
    wire_id = (await house.put(cancel(of=order.cl_ord_id))).decided
    assert isinstance(wire_id, Order)
    await settle()
    [command] = [c for c in house.store.state.commands.values() if c.kind is CommandKind.CANCEL]
    return command.wire_id
