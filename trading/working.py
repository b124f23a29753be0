"""What the owner of a session knows of its orders, so that it need not read each one again.

An order changes under its account's lock, with each change of its commands or fills by others a
report of it, and so another `last_seq`: while that is the same, the order is as this owner left it.
What an owner changes without a report, it alone changes; a later one's fence shuts it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from trading.books import Books, Wants
from trading.command import Command, CommandKind
from trading.execution import BrokerEvent, Fill
from trading.held import Held
from trading.ids import OrderID, WireID
from trading.order import Order
from trading.store import Store

if TYPE_CHECKING:
    from trading.ledger import Dispatch
    from trading.recorder import News

_HELD_MAX = 8192


class WorkingSet:
    """The open orders of one session, as they were last committed; those known for longest go."""

    def __init__(self, room: int = _HELD_MAX) -> None:
        """Hold no more orders than so many."""
        self._room = room
        self._held: dict[OrderID, Held] = {}
        self._orders: dict[WireID, OrderID] = {}

    def learn(self, books: Books) -> None:
        """Take in what the session has committed: orders with their open commands and all fills."""
        commands: dict[OrderID, list[Command]] = {}
        for command in books.commands.values():
            commands.setdefault(command.order_id, []).append(command)
        for order in books.orders.values():
            theirs = commands.get(order.id, [])
            self._forget(order.id)
            if order.is_open or any(each.state.is_open for each in theirs):
                self._hold(order, theirs, books.fills.get(order.id, ()))

    def sent(self, dispatch: Dispatch) -> None:
        """Take in a new order that was recorded as sent at once: it has no other command."""
        command = dispatch.command
        if command.kind is CommandKind.NEW and command.attempt == 1:
            self._hold(dispatch.order, [command], ())

    def clear(self) -> None:
        """Forget everything, as after a commit of which it is not known whether it was."""
        self._held.clear()
        self._orders.clear()

    async def wants(self, store: Store, batch: Sequence[News]) -> Wants:
        """Say what a transaction must see to record these news. Raises StoreUnavailable."""
        ids = frozenset(news.wire_id for news in batch)
        held = {each: self._held[self._orders[each]] for each in ids if each in self._orders}
        accounts = {each.order.account_id for each in held.values()}
        if unknown := ids - held.keys():
            accounts |= set((await store.accounts_of(unknown)).values())
        return Wants(
            accounts=frozenset(accounts),
            wire_ids=ids,
            fills_of=ids,
            broker_keys=frozenset(news.key for news in batch if isinstance(news, BrokerEvent)),
            held=held,
            readmits=True,
        )

    def _hold(self, order: Order, commands: Sequence[Command], fills: Sequence[Fill]) -> None:
        self._held[order.id] = Held(order, tuple(commands), tuple(fills))
        for wire_id in (order.wire_id, *(each.wire_id for each in commands)):
            self._orders[wire_id] = order.id
        for order_id in list(islice(self._held, max(0, len(self._held) - self._room))):
            self._forget(order_id)

    def _forget(self, order_id: OrderID) -> None:
        if (held := self._held.pop(order_id, None)) is not None:
            for wire_id in (held.order.wire_id, *(each.wire_id for each in held.commands)):
                self._orders.pop(wire_id, None)
