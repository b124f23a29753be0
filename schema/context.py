"""What nested fields may ask of the operation they run in."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import strawberry

from trading.account import Account, Position
from trading.decision import RiskDecision
from trading.execution import ExecutionReport
from trading.ids import AccountID, OrderID
from trading.instrument import Catalogue
from trading.order import Order
from trading.ports import Capabilities, Clock, Environment, MarketClock, Quotes
from trading.store import Reads


class Loader[K, V](Protocol):
    """Gathers what sibling fields ask for into one read."""

    def load(self, key: K) -> Awaitable[V]:
        """Return the value of a key."""


@dataclass(slots=True)
class DocumentCache:
    """How often this process knew a document, and how often it had to prepare one."""

    hits: int = 0
    misses: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """This gateway, as it tells of itself."""

    environment: Environment
    version: str
    brokers: Sequence[Capabilities]
    clock: Clock
    market_clock: MarketClock
    document_cache: DocumentCache = field(default_factory=DocumentCache)

    @property
    def time(self) -> int:
        """Our clock, in UTC nanoseconds."""
        return self.clock.now()

    @property
    def market_time(self) -> int:
        """The market's clock, in UTC nanoseconds: a replay sets its own."""
        return self.market_clock.now()


class Sources(Protocol):
    """Where nested fields read. Their parents were entitled, so they need not ask again."""

    @property
    def gateway(self) -> Gateway:
        """This gateway, with its clock."""

    @property
    def reads(self) -> Reads:
        """The query side of the store."""

    @property
    def quotes(self) -> Quotes:
        """The last quote of each symbol."""

    @property
    def catalogue(self) -> Catalogue:
        """The known instruments."""

    @property
    def accounts(self) -> Loader[AccountID, Account]:
        """Accounts by id."""

    @property
    def positions(self) -> Loader[AccountID, Sequence[Position]]:
        """Positions by account."""

    @property
    def orders(self) -> Loader[OrderID, Order]:
        """Orders by id."""

    @property
    def decisions(self) -> Loader[OrderID, RiskDecision | None]:
        """Decisions under which orders were placed, by order."""

    @property
    def fills(self) -> Loader[OrderID, Sequence[ExecutionReport]]:
        """Fills by order."""


Info = strawberry.Info[Sources, None]
