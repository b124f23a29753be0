"""The acknowledgement that a scope is closed: who has confirmed it, and what may still appear."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from trading.command import CommandKind
from trading.control import Confirmation, ScopeState, subject_of_order
from trading.ids import AccountID, OrderID, UserID
from trading.order import Order
from trading.permission import Principal
from trading.ports import Clock, Doorbell
from trading.scope import Scope, ScopeKind
from trading.store import Store

CONFIRM_WITHIN_S = 10.0
"""How long owners are waited for: a lease that nobody renews has run out by then."""

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """That a trading state is in force: nothing more leaves that it forbids.

    `unconfirmed` names the brokers whose session's owner has not answered. `in_flight` are orders
    whose NEW or REPLACE was sent before, or may have been, and is not answered yet: they may still
    appear at the broker. `working` are the orders of the scope that are open now.
    """

    epoch: int
    scope: Scope
    confirmed: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    in_flight: tuple[Order, ...]
    in_flight_count: int
    working: tuple[Order, ...]
    working_count: int

    def seen_by(self, principal: Principal) -> Acknowledgement:
        """Leave out orders of accounts that a principal may not read; they still count."""
        return replace(
            self,
            in_flight=tuple(o for o in self.in_flight if principal.may_read(o.account_id)),
            working=tuple(o for o in self.working if principal.may_read(o.account_id)),
        )


class Acknowledger:
    """Waits for the owners of sessions, and then lists what they had sent."""

    def __init__(self, *, store: Store, doorbell: Doorbell, clock: Clock) -> None:
        """Take the store, where owners confirm, and the bell that they hear sooner."""
        self._store = store
        self._doorbell = doorbell
        self._clock = clock

    async def ring(self) -> None:
        """Have the owners look at the trading states now."""
        for each in await self._store.scopes.confirmations():
            self._doorbell.ring_session(each.broker)

    async def acknowledge(
        self, row: ScopeState, accounts: Collection[AccountID]
    ) -> Acknowledgement:
        """Wait until all owners that it concerns have confirmed a state, or for long enough."""
        owners = await self._confirmed(row)
        commands = await self._store.open_commands(accounts)
        sent = {
            each.order_id: each.user_id
            for each in commands
            if each.state.is_in_flight and each.kind is not CommandKind.CANCEL
        }
        orders = await self._orders_in(row.scope, accounts, sent)
        confirmed = {o.broker for o in owners if o.scope_epoch >= row.epoch}
        in_flight = tuple(order for order in orders if order.id in sent)
        working = tuple(order for order in orders if order.is_open)
        return Acknowledgement(
            epoch=row.epoch,
            scope=row.scope,
            confirmed=tuple(sorted(confirmed)),
            unconfirmed=tuple(sorted({owner.broker for owner in owners} - confirmed)),
            in_flight=in_flight,
            in_flight_count=len(in_flight),
            working=working,
            working_count=len(working),
        )

    async def _orders_in(
        self, scope: Scope, accounts: Collection[AccountID], sent: dict[OrderID, UserID | None]
    ) -> list[Order]:
        orders = await self._store.open_orders(accounts)
        if scope.kind.is_of_accounts:
            return list(orders)
        return [order for order in orders if scope in _scopes(order, sent.get(order.id))]

    async def _confirmed(self, row: ScopeState) -> list[Confirmation]:
        """Return the owners when all have confirmed an epoch, or the wait is over."""
        give_up = self._clock.monotonic() + int(CONFIRM_WITHIN_S * 1_000_000_000)
        while True:
            owners = [
                o for o in await self._store.scopes.confirmations() if _concerns(row.scope, o)
            ]
            waits = any(owner.scope_epoch < row.epoch for owner in owners)
            if not waits or self._clock.monotonic() >= give_up:
                return owners
            await self._clock.sleep(_LOOK_S)


def _concerns(scope: Scope, owner: Confirmation) -> bool:
    return scope.kind is not ScopeKind.BROKER or scope.id == owner.broker


def _scopes(order: Order, user_id: UserID | None) -> set[Scope]:
    return set(subject_of_order(order, "", user_id).scopes())
