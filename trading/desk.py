"""The order desk: who may command what, and what a command comes to."""

from __future__ import annotations

import asyncio
import contextlib

from trading.batch import CommandQueue, Settled, wants
from trading.clerk import Clerk, Decided, Repeated
from trading.command import (
    CancelAllOrders,
    CancelOrder,
    OrderCommand,
    PlaceOrder,
    ReplaceOrder,
)
from trading.decision import RiskDecision
from trading.emergency import EmergencyDesk
from trading.execution import OrderCancelReject
from trading.ids import AccountID
from trading.instrument import Catalogue, UnknownSymbol
from trading.order import Order
from trading.outcome import (
    AmendResult,
    ClOrdIdConflict,
    Forbidden,
    InvalidInput,
    MassCancelResult,
    NotFound,
    OrderMassCancelReport,
    OutcomeUnknown,
    PlaceResult,
    WaitFor,
)
from trading.permission import Principal
from trading.ports import Clock, Prices
from trading.reject import InputError
from trading.store import Reads, Store, StoreUnavailable
from trading.validation import input_errors

_WAIT_FOR_BROKER_S = 2.0
_ANSWERS_WITHIN_S = 0.5


class OrderDesk:
    """Places, replaces and cancels orders: each command is durable before anything leaves."""

    def __init__(
        self,
        *,
        queue: CommandQueue,
        clerk: Clerk,
        store: Store,
        reads: Reads,
        catalogue: Catalogue,
        prices: Prices,
        clock: Clock,
        emergency: EmergencyDesk | None = None,
    ) -> None:
        """Take the queue that commits commands, and what a preview and a repetition need to see."""
        self._queue = queue
        self._clerk = clerk
        self._store = store
        self._reads = reads
        self._catalogue = catalogue
        self._prices = prices
        self._clock = clock
        self._emergency = emergency
        self._brokers: dict[AccountID, str] = {}

    async def place(
        self, principal: Principal, command: PlaceOrder, wait_for: WaitFor
    ) -> PlaceResult:
        """Place an order. A refusal by risk is an order too, REJECTED with its reason.

        Raises NotFound, Forbidden, BrokerUnavailable, Overloaded, OutcomeUnknown.
        """
        authorize(principal, command.account_id)
        if errors := input_errors(command):
            return InvalidInput(errors)
        await self._prepare(command)
        decided = await self._decide(principal, command, wait_for)
        if isinstance(decided, Order | ClOrdIdConflict):
            return decided
        raise TypeError(f"a place cannot end in {type(decided).__name__}")

    async def replace(
        self, principal: Principal, command: ReplaceOrder, wait_for: WaitFor
    ) -> AmendResult:
        """Change the terms of an order; a refusal leaves it as it was. Raises as `place`."""
        return await self._amend(principal, command, wait_for)

    async def cancel(
        self, principal: Principal, command: CancelOrder, wait_for: WaitFor
    ) -> AmendResult:
        """Cancel an order, in an emergency also while the store is down. Raises as `place`."""
        try:
            return await self._amend(principal, command, wait_for)
        except (OutcomeUnknown, StoreUnavailable):
            again = await self._cancel_again(principal, command)
            canceled = again or (self._emergency and await self._emergency.cancel(command))
            if not canceled:
                raise
            return canceled

    async def _cancel_again(self, principal: Principal, command: CancelOrder) -> AmendResult | None:
        """Ask once more, for it is the same cancel: one connection may have died, not the store.

        A store that is there answers at once. For one that is not, a cancel has waited enough.
        """
        with contextlib.suppress(OutcomeUnknown, StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                return await self._amend(principal, command, WaitFor.COMMIT)
        return None

    async def cancel_all(self, principal: Principal, command: CancelAllOrders) -> MassCancelResult:
        """Cancel the open orders of an account, or those in one instrument or on one side."""
        authorize(principal, command.account_id)
        if errors := input_errors(command) or self._symbol_errors(command.symbol):
            return InvalidInput(errors)
        decided = await self._decide(principal, command, WaitFor.COMMIT)
        match decided:
            case OrderMassCancelReport() | ClOrdIdConflict():
                return decided
            case Repeated(claim):
                orders = await self._reads.orders_commanded(claim.account_id, claim.cl_ord_id)
                return OrderMassCancelReport(
                    account_id=claim.account_id, cl_ord_id=claim.cl_ord_id, orders=orders
                )
            case _:
                raise TypeError(f"a mass cancel cannot end in {type(decided).__name__}")

    async def preview(
        self, principal: Principal, command: PlaceOrder
    ) -> RiskDecision | InvalidInput:
        """Judge an order as `place` would, and place nothing. Raises NotFound, Forbidden."""
        authorize(principal, command.account_id)
        if errors := input_errors(command) or self._symbol_errors(command.symbol):
            return InvalidInput(errors)
        await self._prepare(command)
        async with self._store.transaction() as transaction:
            await transaction.lock([command.account_id])
            books = await transaction.load(wants([command], self._catalogue))
            return self._clerk.preview(books, command, self._clock.now(), principal.user_id)

    async def _amend(
        self, principal: Principal, command: ReplaceOrder | CancelOrder, wait_for: WaitFor
    ) -> AmendResult:
        authorize(principal, command.account_id)
        if errors := input_errors(command):
            return InvalidInput(errors)
        if isinstance(command, ReplaceOrder):
            await self._prepare(command)
        decided = await self._decide(principal, command, wait_for)
        if isinstance(decided, Order | OrderCancelReject | ClOrdIdConflict):
            return decided
        raise TypeError(f"an amendment cannot end in {type(decided).__name__}")

    async def _decide(
        self, principal: Principal, command: OrderCommand, wait_for: WaitFor
    ) -> Decided:
        """Have a command committed, and wait for the broker's first word where that is asked."""
        broker = await self._broker_of(command.account_id)
        waits = wait_for is WaitFor.BROKER
        settled = await self._queue.put(
            command, broker, awaits_broker=waits, user_id=principal.user_id
        )
        if settled.first_word is None:
            return settled.decided
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_FOR_BROKER_S):
                await settled.first_word
        return await self._as_it_is_now(command, settled)

    async def _as_it_is_now(self, command: OrderCommand, settled: Settled) -> Decided:
        """Return the broker's refusal of this very command, or else the order as it is now."""
        reject = await self._reads.cancel_reject(command.account_id, command.cl_ord_id)
        if reject is not None:
            return reject
        decided = settled.decided
        now = await self._reads.order(decided.id) if isinstance(decided, Order) else None
        return now or decided

    async def _broker_of(self, account_id: AccountID) -> str:
        """Return the broker of an account, which it keeps for life."""
        if account_id not in self._brokers:
            [account] = await self._reads.accounts([account_id])
            self._brokers[account_id] = account.broker
        return self._brokers[account_id]

    async def _prepare(self, command: PlaceOrder | ReplaceOrder) -> None:
        """Have the reference price ready before any lock is taken: its feed may need asking."""
        if isinstance(command, PlaceOrder):
            with contextlib.suppress(UnknownSymbol):
                await self._prices.fresh([self._catalogue.resolve(command.symbol).id])
            return
        if (order := await self._target(command)) is not None:
            await self._prices.fresh([order.symbol])

    async def _target(self, command: ReplaceOrder) -> Order | None:
        target = command.target
        if target.order_id is not None:
            return await self._reads.order(target.order_id)
        if target.orig_cl_ord_id is not None:
            return await self._reads.order_by_cl_ord_id(command.account_id, target.orig_cl_ord_id)
        return None

    def _symbol_errors(self, symbol: str | None) -> tuple[InputError, ...]:
        if symbol is None:
            return ()
        try:
            self._catalogue.resolve(symbol)
        except UnknownSymbol as unknown:
            return (InputError(("input", "symbol"), "UNKNOWN_SYMBOL", str(unknown)),)
        return ()


def authorize(principal: Principal, account_id: AccountID) -> None:
    """Raise NotFound for an account not the principal's, Forbidden for one only to read."""
    if not principal.may_read(account_id):
        raise NotFound(f"there is no account {account_id}")
    if not principal.may_trade(account_id):
        raise Forbidden(f"the account {account_id} is only yours to read")
