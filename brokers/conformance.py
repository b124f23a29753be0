"""What the conformance kit needs of an adapter: a stage, whose broker can be looked into.

A distribution offers a stage as an entry point of the group `drawbridge.conformance`, named like
its adapter: a coroutine function from Setting to Stage. docs/brokers.md shows one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from brokers.faults import FaultKind, FaultScript
from trading.ids import AccountID, InstrumentID, WireID
from trading.instrument import Catalogue
from trading.order import OrdStatus, Side
from trading.ports import Broker, Clock
from trading.quantity import Px, Qty
from trading.quote import Quote

GROUP = "drawbridge.conformance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Of what a stage is made: an empty folder, one account, instruments, and what goes wrong."""

    folder: Path
    account_id: AccountID
    catalogue: Catalogue
    clock: Clock
    faults: FaultScript


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueOrder:
    """An order as it truly stands at the exchange, whatever anybody was told.

    `wire_id` is that of its NEW, `order_qty` the total, and `trades` the quantities and prices of
    the trades that stand.
    """

    wire_id: WireID
    symbol: InstrumentID
    side: Side
    status: OrdStatus
    order_qty: Qty
    price: Px | None
    trades: Sequence[tuple[Qty, Px]]


class Stage(Protocol):
    """A simulated broker of one kind, from outside and from inside.

    `suffers` are the kinds of faults of sessions that it can bring about: a token that expires, an
    eviction, maintenance. Cases with others are passed over.
    """

    @property
    def suffers(self) -> Collection[FaultKind]:
        """The faults of sessions that it knows."""

    def broker(self) -> Broker:
        """Make an adapter to it; the one before has been closed."""

    def show(self, quote: Quote) -> None:
        """Let the market be this, and trade what that makes due."""

    def orders(self) -> Sequence[TrueOrder]:
        """Return every order that the exchange ever had."""

    def positions(self) -> Mapping[InstrumentID, Qty]:
        """Return what is held, flat positions left out."""

    async def close(self) -> None:
        """End it."""


type Staging = Callable[[Setting], Awaitable[Stage]]


def offered(name: str) -> Staging:
    """Return the stage that another distribution offers. Raises LookupError, which says which."""
    points = entry_points(group=GROUP)
    for point in points.select(name=name):
        found: Staging = point.load()
        return found
    known = ", ".join(sorted(points.names)) or "none"
    raise LookupError(f"no distribution offers a stage for {name}: offered are {known}")
