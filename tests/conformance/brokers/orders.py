"""Cases in which nothing goes wrong: order types, times in force, rejects, cancels, replaces."""

from collections.abc import Callable

from tests.conformance.brokers.case import case
from tests.conformance.brokers.office import D, Office
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.ports import Capabilities, ReplaceModel


def takes(*wanted: OrdType | TimeInForce) -> Callable[[Capabilities], bool]:
    def fits(capabilities: Capabilities) -> bool:
        return set(wanted) <= {*capabilities.ord_types, *capabilities.times_in_force}

    return fits


def replaces(capabilities: Capabilities) -> bool:
    return capabilities.replace is not ReplaceModel.NONE


@case(1, "a market order fills", fits=takes(OrdType.MARKET))
async def _(office: Office) -> None:
    order = await office.place(ord_type=OrdType.MARKET)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(2, "a limit order rests")
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    assert office.order(order).secondary_order_id is not None


@case(3, "a limit order fills in parts")
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(120), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    office.show()
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 100)
    office.show()
    await office.reaches(order, OrdStatus.FILLED, 120)


@case(4, "a stop is triggered", fits=takes(OrdType.STOP))
async def _(office: Office) -> None:
    order = await office.place(ord_type=OrdType.STOP, stop_px=D(105))
    await office.reaches(order, OrdStatus.NEW, 0)
    office.show(104, 106)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(5, "a stop limit is triggered, and rests at its limit", fits=takes(OrdType.STOP_LIMIT))
async def _(office: Office) -> None:
    order = await office.place(ord_type=OrdType.STOP_LIMIT, stop_px=D(105), price=D(104))
    office.show(104, 106)
    await office.reaches(order, OrdStatus.NEW, 0)
    office.show(103, 104)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(6, "DAY rests", fits=takes(TimeInForce.DAY))
async def _(office: Office) -> None:
    order = await office.place(time_in_force=TimeInForce.DAY)
    await office.reaches(order, OrdStatus.NEW)


@case(7, "GOOD_TILL_CANCEL rests", fits=takes(TimeInForce.GOOD_TILL_CANCEL))
async def _(office: Office) -> None:
    order = await office.place(time_in_force=TimeInForce.GOOD_TILL_CANCEL)
    await office.reaches(order, OrdStatus.NEW)


@case(
    8,
    "IMMEDIATE_OR_CANCEL takes what is there, and no more",
    fits=takes(TimeInForce.IMMEDIATE_OR_CANCEL),
)
async def _(office: Office) -> None:
    at_once = TimeInForce.IMMEDIATE_OR_CANCEL
    order = await office.place(time_in_force=at_once, order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.CANCELED, 50)


@case(9, "FILL_OR_KILL fills all or nothing", fits=takes(TimeInForce.FILL_OR_KILL))
async def _(office: Office) -> None:
    kill = TimeInForce.FILL_OR_KILL
    nothing = await office.place(time_in_force=kill, order_qty=D(70), price=D(101))
    await office.reaches(nothing, OrdStatus.CANCELED, 0)
    everything = await office.place("p2", time_in_force=kill, order_qty=D(50), price=D(101))
    await office.reaches(everything, OrdStatus.FILLED, 50)


@case(10, "what the broker refuses is rejected by it, with its reason")
async def _(office: Office) -> None:
    order = await office.place(price=D("90.005"))
    await office.reaches(order, OrdStatus.REJECTED)
    assert office.order(order).text or office.order(order).ord_rej_reason


@case(11, "a sale takes the position below zero")
async def _(office: Office) -> None:
    order = await office.place(side=Side.SELL, price=D(99))
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(12, "a resting order is canceled")
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(13, "an order is canceled as soon as it is placed")
async def _(office: Office) -> None:
    order = await office.place()
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(14, "a partly filled order is canceled, and keeps its fills")
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED, 50)


@case(15, "a price is replaced", fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.amend(order_qty=None, price=D(91))
    await office.until(lambda: office.order(order).price == 91)
    office.show(90, 91)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(16, "a partly filled order keeps its total through a replace", fits=replaces)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    await office.amend(order_qty=D(60), price=D(100))
    await office.is_for(order, 60)
    office.show(99, 100)
    await office.reaches(order, OrdStatus.FILLED, 60)


@case(17, "an order is replaced again and again, and canceled", fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    of = "p1"
    for number in range(4):
        await office.amend(f"r{number}", of, order_qty=D(20 + number))
        of = f"r{number}"
        await office.is_for(order, 20 + number)
    await office.cancel(of=of)
    await office.reaches(order, OrdStatus.CANCELED)


@case(18, "thirty orders at once arrive, each once")
async def _(office: Office) -> None:
    placed = [await office.place(f"p{number}", price=D(80)) for number in range(30)]
    for order in placed:
        await office.reaches(order, OrdStatus.NEW)
    assert len(office.stage.orders()) == 30


@case(19, "what the broker never had is not found, and a list of what is open is whole")
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    shown = await office.broker.orders([order.account_id])
    assert shown.complete
    assert [each.wire_id for each in shown.items] == [order.wire_id]
    found = await office.broker.find_order(order.wire_id)
    assert found == shown.items[0]
    if office.broker.capabilities.proves_absence:
        assert await office.broker.find_order(type(order.wire_id)("0" * 22)) is None
