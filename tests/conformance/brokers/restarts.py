"""Cases in which the process ends at some step, and another one goes on over the same store."""

from functools import partial

from brokers.faults import FaultKind, Operation
from tests.conformance.brokers.case import case, fault
from tests.conformance.brokers.office import D, Office
from tests.conformance.brokers.orders import replaces
from trading.order import Order, OrdStatus


@case(70, "a process ends while an order rests")
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.restart()
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(71, "a process ends as soon as it has accepted an order")
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.restart(office.show)
    await office.until(lambda: not office.order(order).is_open)


@case(
    72,
    "a process ends while an order is in doubt",
    fault(FaultKind.DROP_ANSWER, Operation.SUBMIT),
    fault(FaultKind.GAP, Operation.EVENT),
)
async def _(office: Office) -> None:
    order = await office.place()
    await office.until(lambda: office.order(order).in_doubt)
    await office.restart()
    await office.reaches(order, OrdStatus.NEW)


@case(73, "a process ends between two fills")
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    await office.restart()
    office.show()
    await office.reaches(order, OrdStatus.FILLED, 70)


@case(74, "a process ends with a replace under way", fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.amend(order_qty=D(12))
    await office.restart()
    await office.is_for(order, 12)


@case(75, "a process ends with a cancel under way")
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.restart()
    await office.reaches(order, OrdStatus.CANCELED)


@case(76, "a process ends after an order was replaced, and the successor fills", fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.amend(order_qty=D(12), price=D(91))
    await office.is_for(order, 12)
    await office.restart()
    office.show(90, 91)
    await office.reaches(order, OrdStatus.FILLED, 12)


def _has_ended(office: Office, order: Order, ends: set[OrdStatus]) -> bool:
    return office.order(order).status in ends


@case(77, "three processes end one after the other, with orders in each")
async def _(office: Office) -> None:
    # Where an id is taken twice, nothing is sent again: what had not left by the end is refused.
    ends = {OrdStatus.FILLED}
    if not office.broker.capabilities.dedupes_wire_id:
        ends.add(OrdStatus.REJECTED)
    for number in range(3):
        order = await office.place(f"p{number}", price=D(101))
        await office.restart(lambda: None)
        office.show()
        await office.until(partial(_has_ended, office, order, ends))


@case(78, "nothing leaves once the permit is withdrawn")
async def _(office: Office) -> None:
    office.permits.halt("the kit")
    order = await office.place()
    await office.until(lambda: office.store.state.commands[order.wire_id].evidence is not None)
    assert office.stage.orders() == []
    office.permits.resume()
    await office.reaches(order, OrdStatus.NEW)
