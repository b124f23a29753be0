"""Orders before the gate, and the books that it judges them against."""

from dataclasses import replace
from typing import Any

from risk.gate import RiskGate
from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    NOW,
    STOCK,
    D,
    limits,
    order,
    place,
)
from tests.trading.fakes import CAPABILITIES, ManualClock, Sequential
from tests.trading.office import Office
from trading.account import Account, Position
from trading.books import Books
from trading.clerk import Clerk, Handled
from trading.command import Command, CommandKind, CommandState, OrderCommand
from trading.conduct import Conduct
from trading.decision import RiskDecision
from trading.execution import ExecType
from trading.ids import ClOrdID, WireID
from trading.instrument import Instrument
from trading.ledger import Dispatch
from trading.order import (
    ApprovedOrder,
    Order,
    OrdStatus,
    Replacement,
)
from trading.ports import Cleared
from trading.recorder import News, Recorder

GATE = RiskGate({"fake": CAPABILITIES}, ManualClock())


def wanted(**terms: Any) -> Order:
    """An order that is not recorded yet."""
    plain = order(status=OrdStatus.PENDING_NEW, reserve_px=D(0))
    return replace(plain, **terms)


def clear(
    of: Books, asked: Order, instrument: Instrument = STOCK, at: int = NOW
) -> Cleared[ApprovedOrder]:
    return GATE.clear(asked, instrument, of, at)


def codes(decision: RiskDecision) -> set[str]:
    return {each.code for each in decision.checks if each.code}


def held(of: Books, net: int, symbol: Any = AAPL, **open_orders: int) -> Books:
    numbers: dict[str, Any] = {name: D(value) for name, value in open_orders.items()}
    position = Position(account_id=ACCOUNT, symbol=symbol, net_qty=D(net), cost=D(net * 100))
    of.positions[ACCOUNT, symbol] = replace(position, **numbers)
    return of


def asking(of: Order, **terms: Any) -> Command:
    plain = Replacement(order_qty=of.order_qty, price=of.price, stop_px=of.stop_px, reserve_px=D(0))
    return Command(
        wire_id=WireID("replace"),
        account_id=of.account_id,
        order_id=of.id,
        cl_ord_id=ClOrdID("r1"),
        orig_cl_ord_id=of.cl_ord_id,
        kind=CommandKind.REPLACE,
        state=CommandState.QUEUED,
        created_at=NOW,
        terms=replace(plain, **terms),
    )


def recorded(of: Books, *orders: Order) -> Books:
    """Take orders into the books with their reservations."""
    for each in orders:
        of.record(each, ExecType.NEW, NOW)
    return of


class Desk(Office):
    """The clerk and the recorder behind the real gate; time moves when a test says so."""

    def __init__(self, of: Books | None = None, **values: Any) -> None:
        super().__init__(of)
        for each in self.books.accounts:
            self.books.limits[each] = limits(each, values)
        self.clerk, self.recorder = Clerk(GATE, Sequential()), Recorder(GATE, resends=True)

    def handle(self, command: OrderCommand, epoch: int | None = 1) -> Handled:
        return self.clerk.handle(self.books, command, epoch, self.at)

    def take(self, *news: News) -> list[Dispatch]:
        return [d for each in news for d in self.recorder.take(self.books, each, 1, self.at)]

    def codes(self, cl_ord_id: str, **terms: Any) -> set[str]:
        """Place an order, and say by which codes it was refused."""
        self.handle(place(cl_ord_id, **terms))
        return codes(self.books.new_decisions[-1][2])

    @property
    def account(self) -> Account:
        return self.books.accounts[ACCOUNT]

    @property
    def conduct(self) -> Conduct:
        return self.account.conduct
