"""Which of our requests about Alpaca's orders are under way, for it gives a cancel no id."""

from __future__ import annotations

from collections import OrderedDict

from trading.ids import WireID
from trading.ports import Clock

_KEPT_MAX = 100_000
_NS_PER_S = 1_000_000_000


class Requests:
    """Remembers, for one run of the process, what was asked about which order, and when."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing asked."""
        self._clock = clock
        self._cancels: OrderedDict[str, WireID] = OrderedDict()
        self._replaces: OrderedDict[str, WireID] = OrderedDict()
        self._sent: OrderedDict[WireID, int] = OrderedDict()

    def sending(self, wire_id: WireID) -> None:
        """Note that a new order is about to leave."""
        _keep(self._sent, wire_id, self._clock.monotonic())

    def sent_within(self, wire_id: WireID, seconds: float) -> bool:
        """Tell whether an order left so short ago that it may not have arrived yet."""
        at = self._sent.get(wire_id)
        return at is not None and self._clock.monotonic() - at < seconds * _NS_PER_S

    def canceling(self, order_id: str, wire_id: WireID) -> None:
        """Note a cancel of one of Alpaca's orders."""
        _keep(self._cancels, order_id, wire_id)

    def replacing(self, order_id: str, wire_id: WireID) -> None:
        """Note a replace of one of Alpaca's orders."""
        _keep(self._replaces, order_id, wire_id)

    def cancel_of(self, order_id: str) -> WireID | None:
        """Return the last cancel of an order that was asked here."""
        return self._cancels.get(order_id)

    def replace_of(self, order_id: str) -> WireID | None:
        """Return the last replace of an order that was asked here."""
        return self._replaces.get(order_id)


def _keep[K, V](kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT_MAX:
        kept.popitem(last=False)
