"""Cases in which a session with the broker ends: by the clock, by another, or by the broker."""

from brokers.faults import FaultKind, Operation
from tests.conformance.brokers.case import case, fault
from tests.conformance.brokers.office import D, Office
from trading.execution import ExecType
from trading.order import OrdStatus

EVENT = Operation.EVENT
NEW = ExecType.NEW
TRADE = ExecType.TRADE


@case(
    90,
    "the token expires, and the stream tells no more over a link that stays open",
    fault(FaultKind.TOKEN_EXPIRY, EVENT, exec_type=NEW),
)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    office.show(89, 90)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(
    91,
    "the token expires, and the next order is placed with another",
    fault(FaultKind.TOKEN_EXPIRY, EVENT, exec_type=NEW),
)
async def _(office: Office) -> None:
    first = await office.place()
    await office.reaches(first, OrdStatus.NEW)
    second = await office.place("p2", price=D(101))
    await office.reaches(second, OrdStatus.FILLED, 10)


@case(
    92,
    "another log-in ends the session between two fills",
    fault(FaultKind.EVICTION, EVENT, exec_type=TRADE),
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    office.show()
    await office.reaches(order, OrdStatus.FILLED, 70)


@case(
    93,
    "an order fills in the broker's maintenance, and is canceled after it",
    fault(FaultKind.MAINTENANCE, EVENT, exec_type=NEW, delay_ms=1500),
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70))
    await office.reaches(order, OrdStatus.NEW)
    office.show(89, 90)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED, 50)


@case(
    94,
    "an order that is placed in the broker's maintenance has one effect",
    fault(FaultKind.MAINTENANCE, EVENT, exec_type=NEW, delay_ms=1500),
)
async def _(office: Office) -> None:
    first = await office.place()
    await office.reaches(first, OrdStatus.NEW)
    second = await office.place("p2", price=D(101))
    await office.until(lambda: not office.order(second).is_open)
