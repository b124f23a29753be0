"""Everything that Tradovate has of one order, which it keeps in entities of several kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.tradovate.messages import REFUSED, Command, Fill, OrderVersion, TradovateOrder
from trading.ids import WireID
from trading.ports import Unavailable
from trading.quantity import ZERO, Qty

_NEW = "New"
_ENDED = frozenset({"Canceled", "Completed", "Expired", "Filled", "Rejected"})


@dataclass(frozen=True, slots=True)
class Dossier:
    """An order with its terms, commands and fills, in the order of their ids."""

    order: TradovateOrder
    versions: Sequence[OrderVersion] = field(default=())
    commands: Sequence[Command] = field(default=())
    fills: Sequence[Fill] = field(default=())

    @property
    def wire_id(self) -> WireID:
        """What the order is known by: the label of its first command, or a name of its id."""
        labels = (each.cl_ord_id for each in self.commands if each.kind == _NEW)
        return WireID(next(filter(None, labels), f"tradovate-{self.order.id}"))

    @property
    def is_whole(self) -> bool:
        """Whether its terms and its first command are there: one of another day may lack them."""
        return bool(self.versions) and any(each.kind == _NEW for each in self.commands)

    @property
    def terms(self) -> OrderVersion:
        """The terms that it works by: the newest, less those that were refused.

        Raises Unavailable where there are none.
        """
        if not self.versions:
            raise Unavailable(f"Tradovate shows no terms of its order {self.order.id}")
        refused = {each.id for each in self.commands if each.status in REFUSED}
        standing = [each for each in self.versions if each.id not in refused]
        return (standing or self.versions)[-1]

    @property
    def cum_qty(self) -> Qty:
        """What has traded, and stands."""
        return sum((each.qty for each in self.fills if each.is_active), ZERO)

    @property
    def cum_value(self) -> Decimal:
        """What that was worth, price times quantity."""
        return sum((each.qty * each.px for each in self.fills if each.is_active), ZERO)

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.order.status not in _ENDED

    @property
    def last_request(self) -> WireID | None:
        """The newest modification or cancel that Tradovate shows to have taken."""
        taken = (
            WireID(each.cl_ord_id)
            for each in reversed(self.commands)
            if each.kind != _NEW and each.cl_ord_id and each.status not in REFUSED
        )
        return next(taken, None)


def dossiers(
    orders: Iterable[TradovateOrder],
    versions: Iterable[OrderVersion],
    commands: Iterable[Command],
    fills: Iterable[Fill],
) -> Sequence[Dossier]:
    """Sort entities by their orders."""
    of_versions, of_commands, of_fills = _grouped(versions), _grouped(commands), _grouped(fills)
    return [
        Dossier(
            each,
            of_versions.get(each.id, ()),
            of_commands.get(each.id, ()),
            of_fills.get(each.id, ()),
        )
        for each in sorted(orders, key=lambda order: order.id)
    ]


def _grouped[T: (OrderVersion, Command, Fill)](entities: Iterable[T]) -> dict[int, list[T]]:
    grouped: dict[int, list[T]] = {}
    for each in sorted(entities, key=lambda entity: entity.id):
        grouped.setdefault(each.order_id, []).append(each)
    return grouped
