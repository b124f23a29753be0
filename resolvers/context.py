"""What an operation runs in: who asks, and the ports that its resolvers delegate to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import strawberry
from strawberry.dataloader import DataLoader

from resolvers.page import FIRST_MAX
from schema.context import Gateway
from trading.account import Account, Position
from trading.audit import Act
from trading.command import CancelAllOrders, CancelOrder, PlaceOrder, ReplaceOrder, SetTradingState
from trading.control import ScopeState
from trading.decision import RiskDecision
from trading.execution import ExecutionReport
from trading.ids import AccountID, OrderID, TenantID, UserID
from trading.instrument import Catalogue
from trading.limitrequest import LimitRequest, LimitVersion
from trading.limits import Limit
from trading.link import Link
from trading.linkdesk import LinkBegun
from trading.order import Order
from trading.outcome import (
    AmendResult,
    InvalidInput,
    LimitsResult,
    LimitsSet,
    MassCancelResult,
    NotFound,
    PlaceResult,
    TradingStateResult,
    Unauthenticated,
    WaitFor,
)
from trading.permission import Principal
from trading.ports import IdSource, Quotes, Streams
from trading.revocation import Revocation
from trading.store import Reads


class Desk(Protocol):
    """Where commands about orders go. It checks input and entitlement, and raises GatewayError."""

    async def place(
        self, principal: Principal, command: PlaceOrder, wait_for: WaitFor
    ) -> PlaceResult:
        """Record a new order."""

    async def replace(
        self, principal: Principal, command: ReplaceOrder, wait_for: WaitFor
    ) -> AmendResult:
        """Record a replace."""

    async def cancel(
        self, principal: Principal, command: CancelOrder, wait_for: WaitFor
    ) -> AmendResult:
        """Record a cancel."""

    async def cancel_all(self, principal: Principal, command: CancelAllOrders) -> MassCancelResult:
        """Record cancels of open orders."""

    async def preview(
        self, principal: Principal, command: PlaceOrder
    ) -> RiskDecision | InvalidInput:
        """Judge an order and place nothing."""


class LimitDesk(Protocol):
    """Where limits are read and set. It checks entitlement, and raises GatewayError."""

    async def in_force(self, principal: Principal) -> Sequence[Limit]:
        """Return every limit in force that the caller may see."""

    async def versions(
        self, principal: Principal, first: int, before: int | None
    ) -> Sequence[LimitVersion]:
        """Return what changed, the newest first, as far as the caller may see it."""

    async def requests(self, principal: Principal, first: int) -> Sequence[LimitRequest]:
        """Return the newest requests, as far as the caller may see them."""

    async def set_limits(self, principal: Principal, limits: Sequence[Limit]) -> LimitsResult:
        """Tighten limits, or ask to loosen them."""

    async def approve(self, principal: Principal, request_id: str) -> LimitsSet:
        """Loosen limits that another person asked to loosen."""

    async def deny(
        self, principal: Principal, request_id: str, reason: str
    ) -> LimitRequest | InvalidInput:
        """End another person's request."""

    async def withdraw(self, principal: Principal, request_id: str) -> LimitRequest:
        """End one's own request."""


class Control(Protocol):
    """Where trading states are set. It checks entitlement, and raises GatewayError."""

    async def set_trading_state(
        self, principal: Principal, command: SetTradingState
    ) -> TradingStateResult:
        """Tighten a trading state, or ask to loosen it."""

    async def approve_trading_state(
        self, principal: Principal, request_id: str
    ) -> TradingStateResult:
        """Loosen a trading state that another person asked to loosen."""

    async def trading_states(self, principal: Principal) -> Sequence[ScopeState]:
        """Return what is not ACTIVE."""


class Revocations(Protocol):
    """Where tokens are revoked. It checks whose they are, and raises GatewayError."""

    async def revoke(
        self, principal: Principal, user_id: UserID, before: int | None, reason: str
    ) -> Revocation:
        """Revoke a user's tokens that were issued before an instant, or until now."""


class Links(Protocol):
    """Where accounts are linked to brokers. It checks entitlement, and raises GatewayError."""

    async def links(self, principal: Principal) -> Sequence[Link]:
        """Return the links of accounts that the caller may read."""

    async def begin(self, principal: Principal, account_id: AccountID, broker: str) -> LinkBegun:
        """Begin a link."""

    async def complete(self, principal: Principal, redirected_to: str) -> Link:
        """Take the broker's answer."""

    async def approve(self, principal: Principal, link_id: str) -> Link:
        """Let a link be used that another person has made."""

    async def rotate(self, principal: Principal, link_id: str) -> Link:
        """Refresh a link's tokens now."""

    async def unlink(self, principal: Principal, link_id: str) -> Link:
        """End a link."""


class Acts(Protocol):
    """The record of administrative acts."""

    async def acts(self, tenant_id: TenantID, first: int, before: int) -> Sequence[Act]:
        """Return a tenant's acts with numbers below one, the newest first."""


@dataclass(slots=True, kw_only=True)
class Context:
    """What an operation runs in. On a WebSocket it lives as long as the socket.

    Its loaders gather what sibling fields ask for in one turn of the event loop, and keep nothing:
    what the next event or operation reads is never stale. `principal` is None before a caller is
    authenticated, and is exchanged when a socket brings a new token.
    """

    principal: Principal | None
    desk: Desk
    control: Control
    limits: LimitDesk
    revocations: Revocations
    reads: Reads
    streams: Streams
    quotes: Quotes
    catalogue: Catalogue
    gateway: Gateway
    ids: IdSource
    acts: Acts
    links: Links
    address: str = ""
    """Where the caller's connection came from, as the record of acts has it."""
    traceparent: str | None = None
    """The operation's trace, where it is traced: it goes on with the commands that it gives."""
    rows: int = FIRST_MAX
    """How many rows of a list a page may have, which a registered document may raise."""
    _accounts: DataLoader[AccountID, Account] | None = field(default=None, init=False)
    _positions: DataLoader[AccountID, Sequence[Position]] | None = field(default=None, init=False)
    _orders: DataLoader[OrderID, Order] | None = field(default=None, init=False)
    _fills: DataLoader[OrderID, Sequence[ExecutionReport]] | None = field(default=None, init=False)
    _decisions: DataLoader[OrderID, RiskDecision | None] | None = field(default=None, init=False)

    @property
    def caller(self) -> Principal:
        """Who is asking. Raises Unauthenticated."""
        if self.principal is None:
            raise Unauthenticated("sign in: send `authorization: Bearer <token>`")
        return self.principal

    @property
    def actor(self) -> Principal:
        """Who is asking, and from where: for what is recorded as an act. Raises Unauthenticated."""
        return replace(self.caller, address=self.address)

    # A loader is made when it is first asked for: most operations need none.

    @property
    def accounts(self) -> DataLoader[AccountID, Account]:
        """Accounts by id."""
        self._accounts = self._accounts or DataLoader(self._load_accounts, cache=False)
        return self._accounts

    @property
    def positions(self) -> DataLoader[AccountID, Sequence[Position]]:
        """Positions by account."""
        self._positions = self._positions or DataLoader(self._load_positions, cache=False)
        return self._positions

    @property
    def orders(self) -> DataLoader[OrderID, Order]:
        """Orders by id."""
        self._orders = self._orders or DataLoader(self._load_orders, cache=False)
        return self._orders

    @property
    def fills(self) -> DataLoader[OrderID, Sequence[ExecutionReport]]:
        """Fills by order."""
        self._fills = self._fills or DataLoader(self._load_fills, cache=False)
        return self._fills

    @property
    def decisions(self) -> DataLoader[OrderID, RiskDecision | None]:
        """Decisions under which orders were placed, by order."""
        self._decisions = self._decisions or DataLoader(self._load_decisions, cache=False)
        return self._decisions

    async def _load_accounts(self, ids: list[AccountID]) -> Sequence[Account | BaseException]:
        found = {account.id: account for account in await self.reads.accounts(set(ids))}
        return _each(ids, found)

    async def _load_positions(self, ids: list[AccountID]) -> Sequence[Sequence[Position]]:
        found: dict[AccountID, list[Position]] = {account_id: [] for account_id in ids}
        for position in await self.reads.positions(set(ids)):
            found[position.account_id].append(position)
        return [found[account_id] for account_id in ids]

    async def _load_orders(self, ids: list[OrderID]) -> Sequence[Order | BaseException]:
        return _each(ids, await self.reads.orders_by_id(set(ids)))

    async def _load_fills(self, ids: list[OrderID]) -> Sequence[Sequence[ExecutionReport]]:
        found = await self.reads.fills_of(set(ids))
        return [found.get(order_id, ()) for order_id in ids]

    async def _load_decisions(self, ids: list[OrderID]) -> Sequence[RiskDecision | None]:
        found = await self.reads.decisions_of(set(ids))
        return [found.get(order_id) for order_id in ids]


def _each[K, V](ids: Sequence[K], found: Mapping[K, V]) -> Sequence[V | BaseException]:
    """Line values up with their ids; what is missing fails its own field alone."""
    return [found[key] if key in found else NotFound(f"there is no {key}") for key in ids]


Info = strawberry.Info[Context, None]
