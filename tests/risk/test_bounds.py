"""Whatever is placed, replaced, canceled and filled, and in what order: the limits hold."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.risk.cases import Desk
from tests.trading.builders import AAPL, ACCOUNT, D, amend, cancel, new, report, trade
from trading.books import Books
from trading.execution import ExecType
from trading.order import Order, Resting, Side

MOST = 100
ORDERS = 4


class Bounds(RuleBasedStateMachine):
    """One account behind the real gate, at a broker that does whatever a broker may."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(MAX_POSITION_QTY=MOST, MAX_OPEN_ORDERS=ORDERS, SELF_MATCH_PERMITTED=1)
        self.count = 0

    @property
    def books(self) -> Books:
        return self.desk.books

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def open_orders(self) -> list[Order]:
        return [each for each in self.books.orders.values() if each.is_open]

    def pick(self, data: st.DataObject) -> Order:
        return data.draw(st.sampled_from(sorted(self.open_orders(), key=lambda each: each.id)))

    @rule(side=st.sampled_from(Side), qty=st.integers(1, 60), only=st.booleans())
    def place(self, side: Side, qty: int, *, only: bool) -> None:
        placed = self.desk.place(self.name(), side=side, order_qty=D(qty), reduce_only=only)
        if placed.is_open:
            self.desk.take(new(placed.wire_id, cursor=self.name()))

    @precondition(lambda self: self.open_orders())
    @rule(data=st.data(), qty=st.integers(1, 80), accepted=st.booleans())
    def replace(self, data: st.DataObject, qty: int, *, accepted: bool) -> None:
        of = self.pick(data)
        self.desk.handle(amend(self.name(), of.cl_ord_id, order_qty=D(qty)))
        wanted = self.books.orders[of.id].replacement
        if wanted is not None and accepted:
            terms = {"order_qty": wanted.order_qty, "price": wanted.price}
            self.desk.take(report(ExecType.REPLACED, of.wire_id, cursor=self.name(), **terms))

    @precondition(lambda self: self.open_orders())
    @rule(data=st.data(), share=st.integers(1, 4))
    def fill(self, data: st.DataObject, share: int) -> None:
        of = self.pick(data)
        qty = max(of.leaves_qty // share, Decimal(1))
        if qty <= of.leaves_qty:
            self.desk.take(trade(self.name(), qty, wire_id=of.wire_id))

    @precondition(lambda self: self.open_orders())
    @rule(data=st.data(), done=st.booleans())
    def cancel(self, data: st.DataObject, *, done: bool) -> None:
        of = self.pick(data)
        self.desk.handle(cancel(self.name(), of.cl_ord_id))
        if done:
            self.desk.take(report(ExecType.CANCELED, of.wire_id, cursor=self.name()))

    @invariant()
    def the_position_is_within_its_bound_whatever_fills(self) -> None:
        position = self.books.position(ACCOUNT, AAPL)
        assert position.net_qty + position.open_buy_qty <= MOST
        assert position.open_sell_qty - position.net_qty <= MOST

    @invariant()
    def no_more_orders_are_open_than_may_be(self) -> None:
        assert self.books.accounts[ACCOUNT].open_orders == len(self.open_orders()) <= ORDERS

    @invariant()
    def what_rests_is_what_is_open(self) -> None:
        here = self.books.resting.get((ACCOUNT, AAPL), {})
        assert here == {each.id: Resting.of(each) for each in self.open_orders()}

    @invariant()
    def closing_orders_alone_never_turn_the_position_round(self) -> None:
        net = self.books.position(ACCOUNT, AAPL).net_qty
        for side in Side:
            only = [o for o in self.open_orders() if o.reduce_only and o.side is side]
            others = [o for o in self.open_orders() if not o.reduce_only]
            if only and not others and net * side.sign < 0:
                assert sum(each.leaves_qty for each in only) <= abs(net)


TestBounds = Bounds.TestCase
TestBounds.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
