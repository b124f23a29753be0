"""Cases in which something goes wrong, of every kind that the fault script has."""

from brokers.faults import FaultKind, Operation
from tests.conformance.brokers.case import case, fault
from tests.conformance.brokers.office import D, Office
from tests.conformance.brokers.orders import replaces
from trading.command import CommandState
from trading.execution import ExecType
from trading.order import OrdStatus
from trading.ports import Capabilities, Replay

SUBMIT, REPLACE, CANCEL, EVENT, TRADE = (
    Operation.SUBMIT,
    Operation.REPLACE,
    Operation.CANCEL,
    Operation.EVENT,
    Operation.TRADE,
)


def busts(capabilities: Capabilities) -> bool:
    return capabilities.trade_cancels


def in_doubt(office: Office) -> bool:
    """Tell whether any report has said that an order was in doubt."""
    return any(getattr(each, "in_doubt", False) for each in office.store.state.reports)


@case(30, "a new order is lost on its way", fault(FaultKind.DROP_REQUEST, SUBMIT))
async def _(office: Office) -> None:
    order = await office.place()
    expected = OrdStatus.NEW if office.broker.capabilities.dedupes_wire_id else OrdStatus.REJECTED
    await office.reaches(order, expected)
    assert in_doubt(office)


@case(31, "the answer to a new order is lost", fault(FaultKind.DROP_ANSWER, SUBMIT))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)


@case(32, "the server fails after it took a new order", fault(FaultKind.SERVER_ERROR, SUBMIT))
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(
    33,
    "a new order is turned away by the rate limit, and sent again",
    fault(FaultKind.RATE_LIMIT, SUBMIT, retry_after_ms=1000),
)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    assert not in_doubt(office)


@case(34, "the credential is not accepted for a while", fault(FaultKind.UNAUTHORIZED, SUBMIT))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    assert not in_doubt(office)


@case(35, "a new order takes its time", fault(FaultKind.DELAY, SUBMIT, delay_ms=200))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)


@case(
    36,
    "fills are told before the order, and the answer comes last",
    fault(FaultKind.FILL_BEFORE_ACK, SUBMIT, delay_ms=150),
)
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(37, "a cancel is lost on its way", fault(FaultKind.DROP_REQUEST, CANCEL))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(38, "the answer to a cancel is lost", fault(FaultKind.DROP_ANSWER, CANCEL))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(39, "a cancel is turned away by the rate limit", fault(FaultKind.RATE_LIMIT, CANCEL))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(
    40,
    "a cancel comes too late, for the order fills before it arrives",
    fault(FaultKind.DELAY, CANCEL, delay_ms=250),
)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.until(lambda: office.order(order).pending_cancel)
    office.show(89, 90)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(41, "a replace is lost on its way", fault(FaultKind.DROP_REQUEST, REPLACE), fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.amend(order_qty=D(12))
    await office.is_for(order, 12)


@case(42, "the answer to a replace is lost", fault(FaultKind.DROP_ANSWER, REPLACE), fits=replaces)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.amend(order_qty=D(12))
    await office.is_for(order, 12)
    commands = office.store.state.commands.values()
    await office.until(lambda: all(each.state is CommandState.ACKED for each in commands))


@case(
    43,
    "the server fails after it took a replace of a partly filled order",
    fault(FaultKind.SERVER_ERROR, REPLACE),
    fits=replaces,
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    await office.amend(order_qty=D(65), price=D(95))
    await office.is_for(order, 65)


@case(44, "every event is told twice", *(fault(FaultKind.DUPLICATE, EVENT, n) for n in range(1, 9)))
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    office.show()
    await office.reaches(order, OrdStatus.FILLED, 70)


@case(45, "an event arrives as something unheard of", fault(FaultKind.UNKNOWN_STATUS, EVENT))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)


@case(
    46,
    "a fill arrives as something unheard of",
    fault(FaultKind.UNKNOWN_STATUS, EVENT, exec_type=ExecType.TRADE),
)
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(
    47,
    "the stream passes a fill over",
    fault(FaultKind.GAP, EVENT, exec_type=ExecType.TRADE),
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)


@case(
    48,
    "the stream passes the end of an order over",
    fault(FaultKind.GAP, EVENT, exec_type=ExecType.CANCELED),
)
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED)


@case(49, "the stream goes mute, and its link stays open", fault(FaultKind.MUTE, EVENT, 2))
async def _(office: Office) -> None:
    order = await office.place()
    await office.reaches(order, OrdStatus.NEW)
    office.show(89, 90)
    await office.reaches(order, OrdStatus.FILLED, 10)


@case(
    50,
    "the link breaks between two fills",
    fault(FaultKind.DISCONNECT, EVENT, exec_type=ExecType.TRADE, delay_ms=300),
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.reaches(order, OrdStatus.PARTIALLY_FILLED, 50)
    office.show()
    await office.reaches(order, OrdStatus.FILLED, 70)


@case(51, "a fill is busted", fault(FaultKind.TRADE_CANCEL, TRADE, delay_ms=100), fits=busts)
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.reaches(order, OrdStatus.CANCELED, 0)


@case(
    52,
    "a fill is corrected",
    fault(FaultKind.TRADE_CORRECT, TRADE, delay_ms=100, last_px=D(100)),
    fits=busts,
)
async def _(office: Office) -> None:
    order = await office.place(price=D(101))
    await office.until(lambda: office.order(order).avg_px == 100)


@case(
    53,
    "the stream passes a fill over, and the order is canceled before that is noticed",
    fault(FaultKind.GAP, EVENT, exec_type=ExecType.TRADE),
    fits=lambda capabilities: capabilities.replay is not Replay.CURSOR,
)
async def _(office: Office) -> None:
    order = await office.place(order_qty=D(70), price=D(101))
    await office.cancel()
    await office.reaches(order, OrdStatus.CANCELED, 50)
