"""Which new orders have left, and when: Tradovate shows none of them before they have arrived."""

from __future__ import annotations

from collections import OrderedDict

from trading.ids import WireID
from trading.ports import Clock

_KEPT_MAX = 100_000
_NS_PER_S = 1_000_000_000


class Requests:
    """Remembers, for one run of the process, when each new order left, and its id once answered."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing asked."""
        self._clock = clock
        self._sent: OrderedDict[WireID, tuple[int, int]] = OrderedDict()
        self._ids: OrderedDict[WireID, int] = OrderedDict()

    def sending(self, wire_id: WireID) -> None:
        """Note that a new order is about to leave."""
        _keep(self._sent, wire_id, (self._clock.now(), self._clock.monotonic()))

    def answered(self, wire_id: WireID, order_id: int) -> None:
        """Note the id that Tradovate gave an order."""
        _keep(self._ids, wire_id, order_id)

    def sent_at(self, wire_id: WireID) -> int | None:
        """Return when an order left here, in UTC nanoseconds, or None."""
        at = self._sent.get(wire_id)
        return None if at is None else at[0]

    def sent_within(self, wire_id: WireID, seconds: float) -> bool:
        """Tell whether an order left so short ago that it may not have arrived yet."""
        at = self._sent.get(wire_id)
        return at is not None and self._clock.monotonic() - at[1] < seconds * _NS_PER_S

    def order_id(self, wire_id: WireID) -> int | None:
        """Return Tradovate's id of an order that was answered here."""
        return self._ids.get(wire_id)


def _keep[V](kept: OrderedDict[WireID, V], key: WireID, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT_MAX:
        kept.popitem(last=False)
