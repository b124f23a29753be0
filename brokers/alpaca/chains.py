"""Chains of Alpaca's orders: a replace ends one order and makes another, with ids of its own.

For us they are one order, named by the wire id of the first. A successor starts to count its fills
anew, and works the whole quantity that it was given (alpacahq/Alpaca-API, issue 165, 2021).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from brokers.alpaca.client import AlpacaClient
from brokers.alpaca.messages import AlpacaOrder
from trading.ids import WireID
from trading.ports import Unavailable
from trading.quantity import ZERO, Money, Qty

_LENGTH_MAX = 1000
_KEPT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Chain:
    """The orders of one chain, oldest first, as far as its last one is known to be the last."""

    links: Sequence[AlpacaOrder]

    @property
    def wire_id(self) -> WireID:
        """What the order is known by: the client's id of the first."""
        return WireID(self.links[0].client_order_id)

    @property
    def leaf(self) -> AlpacaOrder:
        """The one that works, or has ended last."""
        return self.links[-1]

    @property
    def cum_qty(self) -> Qty:
        """What all of them have traded."""
        return sum((each.filled_qty for each in self.links), ZERO)

    @property
    def cum_value(self) -> Money:
        """What that was worth, price times quantity."""
        return sum((each.filled_value for each in self.links), ZERO)

    @property
    def order_qty(self) -> Qty:
        """The total: what those before the last have traded, and the quantity of the last."""
        return self.leaf.qty + sum((each.filled_qty for each in self.links[:-1]), ZERO)


class Chains:
    """Finds chains by asking Alpaca; remembers only to which order an id belongs."""

    def __init__(self, client: AlpacaClient) -> None:
        """Know nothing yet."""
        self._client = client
        self._wire_ids: OrderedDict[str, WireID] = OrderedDict()

    async def wire_id(self, order: AlpacaOrder) -> WireID:
        """Return the wire id of the chain that an order is of. Raises BrokerError."""
        if order.replaces is None:
            return WireID(order.client_order_id)
        if (known := self._wire_ids.get(order.id)) is not None:
            return known
        return (await self._before(order)).wire_id

    async def wire_id_of(self, order_id: str) -> WireID:
        """Return the wire id of the chain that an order's id is of. Raises BrokerError."""
        if (known := self._wire_ids.get(order_id)) is not None:
            return known
        found = await self._client.order(order_id)
        wire_id = await self.wire_id(found)
        self._remember(order_id, wire_id)
        return wire_id

    async def of(self, order: AlpacaOrder) -> Chain:
        """Return the whole chain of an order, forward and back. Raises BrokerError."""
        if order.status == "replaced" and order.replaced_by is None:
            order = await self._client.order(order.id)
        links = [*(await self._before(order)).links]
        while (following := links[-1].replaced_by) is not None:
            if len(links) >= _LENGTH_MAX:
                raise Unavailable(f"the order {links[0].id} was replaced too often to follow")
            links.append(await self._client.order(following))
        chain = Chain(links)
        for each in links[1:]:
            self._remember(each.id, chain.wire_id)
        return chain

    async def _before(self, order: AlpacaOrder) -> Chain:
        links = [order]
        while (previous := links[0].replaces) is not None:
            if len(links) >= _LENGTH_MAX:
                raise Unavailable(f"the order {order.id} was replaced too often to follow")
            links.insert(0, await self._client.order(previous))
        chain = Chain(links)
        self._remember(order.id, chain.wire_id)
        return chain

    def _remember(self, order_id: str, wire_id: WireID) -> None:
        self._wire_ids[order_id] = wire_id
        if len(self._wire_ids) > _KEPT_MAX:
            self._wire_ids.popitem(last=False)
