"""Whatever happens to orders, the books hold exactly what their open orders and fills come to."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.trading.builders import (
    ACCOUNT,
    FUTURE,
    STOCK,
    D,
    account,
    amend,
    bust,
    cancel,
    correct,
    new,
    place,
    report,
    trade,
)
from tests.trading.office import Office
from trading.account import Position, reservation
from trading.command import CommandKind, CommandState
from trading.execution import BrokerReport, ExecType
from trading.order import Order, OrdStatus, Side
from trading.quantity import ZERO
from trading.recorder import Doubted, Refused, Returned


class Trading(RuleBasedStateMachine):
    """Clients who place, replace and cancel, and a broker that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office()
        self.count = 0
        self.cash = account().cash

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def pick(self, data: st.DataObject) -> Order:
        return data.draw(st.sampled_from(sorted(self.office.books.orders.values(), key=_id)))

    @rule(
        side=st.sampled_from(Side),
        symbol=st.sampled_from(["AAPL", "ESZ6"]),
        qty=st.integers(1, 9),
        px=st.integers(1, 200),
        owned=st.booleans(),
    )
    def places(self, side: Side, symbol: str, qty: int, px: int, *, owned: bool) -> None:
        command = place(self.name("p"), side=side, symbol=symbol, order_qty=D(qty), price=D(px))
        self.office.handle(command, 1 if owned else None)

    @precondition(lambda self: self.office.books.orders)
    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        self.office.handle(cancel(self.name("c"), self.pick(data).cl_ord_id))

    @precondition(lambda self: self.office.books.orders)
    @rule(data=st.data(), qty=st.integers(1, 12), px=st.integers(1, 200))
    def replaces(self, data: st.DataObject, qty: int, px: int) -> None:
        orig = self.pick(data).cl_ord_id
        self.office.handle(amend(self.name("r"), orig, order_qty=D(qty), price=D(px)))

    @precondition(lambda self: self.office.books.orders)
    @rule(
        data=st.data(),
        exec_type=st.sampled_from([each for each in ExecType if not each.is_fill]),
    )
    def tells(self, data: st.DataObject, exec_type: ExecType) -> None:
        wire_id = self.pick(data).wire_id
        told = new(wire_id) if exec_type is ExecType.NEW else report(exec_type, wire_id)
        self.office.take(_once(told, self.name("k")))

    @precondition(lambda self: self.office.books.orders)
    @rule(data=st.data(), qty=st.integers(1, 9), px=st.integers(1, 200))
    def trades(self, data: st.DataObject, qty: int, px: int) -> None:
        name = self.name("t")
        self.office.take(trade(name, qty, px, self.pick(data).wire_id))

    @precondition(lambda self: self.office.books.new_fills)
    @rule(data=st.data(), qty=st.integers(0, 9), corrects=st.booleans(), reopened=st.booleans())
    def revises(self, data: st.DataObject, qty: int, *, corrects: bool, reopened: bool) -> None:
        fill = data.draw(st.sampled_from(self.office.books.new_fills))
        wire_id, name = self.office.order(fill.order_id).wire_id, self.name("v")
        claim = bust(name, fill.exec_id, wire_id, reopened=reopened)
        if corrects:
            claim = correct(name, fill.exec_id, qty, 77, wire_id=wire_id, reopened=reopened)
        self.office.take(claim)

    @precondition(lambda self: self.office.books.commands)
    @rule(data=st.data(), how=st.sampled_from(["refused", "returned", "doubted", "absent"]))
    def answers(self, data: st.DataObject, how: str) -> None:
        ids = sorted(self.office.books.commands)
        wire_id = data.draw(st.sampled_from(ids))
        match how:
            case "refused":
                self.office.take(Refused(wire_id, how))
            case "returned" if self.office.state(wire_id) is CommandState.SENT:
                self.office.take(Returned(wire_id, how, 1))
            case "absent" if self.office.state(wire_id) is CommandState.IN_DOUBT:
                self.office.found(wire_id, None)
            case _ if self.office.state(wire_id) is CommandState.SENT:
                self.office.take(Doubted(wire_id, how))

    @invariant()
    def exposure_is_the_sum_of_what_is_open(self) -> None:
        books = self.office.books
        for instrument in (STOCK, FUTURE):
            position = books.position(ACCOUNT, instrument.id)
            expected = Position(account_id=ACCOUNT, symbol=instrument.id)
            for each in books.orders.values():
                if each.symbol == instrument.id:
                    held = reservation(each, instrument.multiplier)
                    expected = expected.reserve(each.side, reservation(None, D(1)), held)
            assert _open(position) == _open(expected)

    @invariant()
    def the_account_counts_its_open_orders(self) -> None:
        opened = sum(each.is_open for each in self.office.books.orders.values())
        assert self.office.books.accounts[ACCOUNT].open_orders == opened

    @invariant()
    def positions_are_the_sum_of_what_traded(self) -> None:
        books = self.office.books
        for instrument in (STOCK, FUTURE):
            orders = [o for o in books.orders.values() if o.symbol == instrument.id]
            traded = sum((o.cum_qty * o.side.sign for o in orders), ZERO)
            assert books.position(ACCOUNT, instrument.id).net_qty == traded

    @invariant()
    def money_is_conserved(self) -> None:
        books, multiplier = self.office.books, FUTURE.multiplier
        value = {
            each.id: sum(
                (o.cum_value * o.side.sign for o in books.orders.values() if o.symbol == each.id),
                ZERO,
            )
            for each in (STOCK, FUTURE)
        }
        stock, future = (books.position(ACCOUNT, each.id) for each in (STOCK, FUTURE))
        gained = books.accounts[ACCOUNT].cash - self.cash
        assert _near(stock.realized_pnl, stock.cost - value[STOCK.id])
        assert _near(future.realized_pnl, (future.cost - value[FUTURE.id]) * multiplier)
        assert _near(gained, future.realized_pnl - value[STOCK.id])

    @invariant()
    def one_command_of_an_order_is_on_its_way(self) -> None:
        for order_id in self.office.books.orders:
            commands = self.office.books.commands_of(order_id)
            assert sum(each.state.is_in_flight for each in commands) <= 1

    @invariant()
    def what_is_pending_has_a_command(self) -> None:
        for order in self.office.books.orders.values():
            kinds = [each.kind for each in self.office.books.commands_of(order.id)]
            assert order.pending_cancel is (CommandKind.CANCEL in kinds)
            assert (order.replacement is not None) is (CommandKind.REPLACE in kinds)
            doubts = [c.state for c in self.office.books.commands_of(order.id)]
            assert order.in_doubt is (CommandState.IN_DOUBT in doubts)
            if order.status is OrdStatus.PENDING_NEW:
                assert CommandKind.NEW in kinds

    @invariant()
    def every_change_of_an_order_has_a_number(self) -> None:
        books = self.office.books
        assert books.accounts[ACCOUNT].last_seq == len(books.new_reports)
        last = {each.order_id: each for each in books.new_reports}
        for order in books.orders.values():
            assert last[order.id].seq == order.last_seq
            assert last[order.id].ord_status is order.ord_status


def _id(order: Order) -> str:
    return order.id


def _once(claim: BrokerReport, key: str) -> BrokerReport:
    return replace(claim, key=key)


def _open(position: Position) -> tuple[Decimal, ...]:
    return (
        position.open_buy_qty,
        position.open_buy_notional,
        position.open_sell_qty,
        position.open_sell_notional,
    )


def _near(one: Decimal, other: Decimal) -> bool:
    """Tell whether two amounts are the same but for the last digits of a divided cost."""
    return abs(one - other) < Decimal("0.000001")


TestTrading = Trading.TestCase
TestTrading.settings = settings(stateful_step_count=40, max_examples=100)
