"""The entities of orders as the stream tells them: a snapshot, and every change after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from brokers.tradovate.dossier import Dossier, dossiers
from brokers.tradovate.messages import (
    Command,
    CommandReport,
    ExecutionReport,
    Fill,
    OrderVersion,
    TradovateOrder,
    command_of,
    command_report_of,
    execution_of,
    fill_of,
    order_of,
    readable,
    version_of,
)
from trading.ids import WireID

type Told = ExecutionReport | CommandReport
type Entity = TradovateOrder | OrderVersion | Command | Fill | Told

_READERS: Mapping[str, Callable[[Mapping[str, Any]], Entity]] = {
    "order": order_of,
    "orderVersion": version_of,
    "command": command_of,
    "commandReport": command_report_of,
    "executionReport": execution_of,
    "fill": fill_of,
}
KINDS = (*_READERS,)
_NEW = "New"


class Mirror:
    """What was heard. It is never evidence: a stream may have gone mute."""

    def __init__(self) -> None:
        """Know nothing."""
        self._entities: dict[str, dict[int, Entity]] = {}
        self._of_order: dict[int, set[tuple[str, int]]] = {}
        self._orders: dict[WireID, int] = {}
        self._told: dict[tuple[int, str], tuple[Told, object]] = {}
        self.load({})

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Put a snapshot in the place of everything. Raises Unreadable, and then knows nothing."""
        self._entities = {kind: {} for kind in KINDS}
        self._of_order, self._orders, self._told = {}, {}, {}
        for kind in KINDS:
            for each in snapshot.get(f"{kind}s") or ():
                self._put(kind, readable(_READERS[kind], each), each)

    def hear(self, kind: str, given: object) -> Entity | None:
        """Take in an entity that is new or has changed; None for a kind that says nothing here.

        Raises Unreadable.
        """
        if (read := _READERS.get(kind)) is None:
            return None
        entity = readable(read, given)
        self._put(kind, entity, given)
        return entity

    def _put(self, kind: str, entity: Entity, given: object) -> None:
        self._entities[kind][entity.id] = entity
        match entity:
            case OrderVersion() | Fill():
                self._of_order.setdefault(entity.order_id, set()).add((kind, entity.id))
            case Command():
                self._of_order.setdefault(entity.order_id, set()).add((kind, entity.id))
                if entity.kind == _NEW and entity.cl_ord_id is not None:
                    self._orders[WireID(entity.cl_ord_id)] = entity.order_id
            case ExecutionReport() | CommandReport():
                self._told[entity.id, kind] = entity, given
            case _:
                pass

    def learn(self, dossier: Dossier) -> None:
        """Take in terms and commands that were asked for; what trades is to be told of."""
        for version in dossier.versions:
            self._put("orderVersion", version, None)
        for command in dossier.commands:
            self._put("command", command, None)

    def order_id(self, wire_id: WireID) -> int | None:
        """Return Tradovate's id of an order of ours, or None."""
        return self._orders.get(wire_id)

    def command(self, command_id: int) -> Command | None:
        """Return a command, or None."""
        found = self._entities["command"].get(command_id)
        return found if isinstance(found, Command) else None

    def dossier(self, order_id: int) -> Dossier | None:
        """Return an order with what was heard of it, or None."""
        order = self._entities["order"].get(order_id)
        if not isinstance(order, TradovateOrder):
            return None
        parts = [self._entities[kind][number] for kind, number in self._of_order.get(order_id, ())]
        [found] = dossiers(
            [order],
            [each for each in parts if isinstance(each, OrderVersion)],
            [each for each in parts if isinstance(each, Command)],
            [each for each in parts if isinstance(each, Fill)],
        )
        return found

    def told(self) -> Sequence[tuple[Told, object]]:
        """Return what happened to orders and commands, as read and as given, by their ids."""
        return [self._told[key] for key in sorted(self._told)]

    def shows(self, entity: TradovateOrder | Fill) -> bool:
        """Tell whether this very state of an order or fill has been heard."""
        kind = "fill" if isinstance(entity, Fill) else "order"
        return self._entities[kind].get(entity.id) == entity
