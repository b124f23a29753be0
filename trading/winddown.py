"""Winding down: cancels what a trading state says until the broker shows none, closes positions.

It runs where the session's owner runs, and asks for everything in the way that clients do: commands
that are recorded and judged like any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from trading import amendment
from trading.account import Position, TradingState
from trading.books import Books, Wants
from trading.clerk import Clerk
from trading.command import CancelAllOrders, PlaceOrder
from trading.control import MassAction, ScopeState, subject_of_order
from trading.ids import AccountID, ClOrdID, InstrumentID, base62
from trading.order import Order, OrdStatus, OrdType, Side
from trading.ports import Broker, BrokerError, Clock, Doorbell, IdSource, Prices
from trading.quantity import ZERO, Qty
from trading.scope import Scope, ScopeKind
from trading.store import Reads, Store, StoreUnavailable

logger = logging.getLogger(__name__)

ROUND_S = 1.0
REFUSALS_MAX = 16
"""How often a closing order is tried with half the quantity before a person must see to it."""

_CLOSING = "FLATTEN-"

type _Holding = tuple[int, AccountID, InstrumentID]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindDown:
    """Goes round the states that cancel or flatten, once a second, until each is done."""

    broker: Broker
    store: Store
    reads: Reads
    clerk: Clerk
    prices: Prices
    doorbell: Doorbell
    clock: Clock
    ids: IdSource

    async def run(self, accounts: Sequence[AccountID], wake: Callable[[], None]) -> None:
        """Go round until canceled; `wake` has the session send what is queued."""
        refused: dict[_Holding, int] = {}
        while True:
            try:
                for row in _unfinished((await self.store.scopes.trading_states()).current.values()):
                    await self._round(row, accounts, refused)
                    wake()
            except (StoreUnavailable, BrokerError) as error:
                logger.warning("winding down is tried again: %s", error)
            await self.clock.sleep(ROUND_S)

    async def _round(
        self, row: ScopeState, served: Sequence[AccountID], refused: dict[_Holding, int]
    ) -> None:
        concerned = set(served) & set(await self.store.scopes.accounts_in(row.scope))
        if not concerned:
            return  # It is for the owners of other sessions to do, and to say when it is done.
        working = [o for o in await self.store.open_orders(concerned) if _is_to_cancel(o, row)]
        for account_id in sorted({order.account_id for order in working}):
            await self._cancel(account_id, row)
        flat = True
        if row.action is MassAction.FLATTEN and row.state is TradingState.REDUCING:
            flat = await self._flatten(row, concerned, refused)
        if not working and flat and await self._shows_none(row, concerned):
            logger.warning("%s is clean: the broker shows no order of it", row.scope)
            await self.store.scopes.clean(row.epoch, self.clock.now())

    # --- orders ----------------------------------------------------------------------------------

    async def _cancel(self, account_id: AccountID, row: ScopeState) -> None:
        """Ask for the cancel of what is not being canceled yet, or was refused it."""
        wants = Wants(accounts=frozenset({account_id}), open_orders_of=frozenset({account_id}))
        async with self.store.transaction(urgent=True) as transaction:
            await transaction.lock([account_id])
            books = await transaction.load(wants)
            chosen = [
                order
                for order in sorted(books.orders.values(), key=lambda order: order.id)
                if _is_to_cancel(order, row) and amendment.cancelable(order) is None
            ]
            if not chosen:
                return
            name = ClOrdID(f"HALT-{row.epoch}-{base62(self.ids.next())}")
            asked = CancelAllOrders(account_id=account_id, cl_ord_id=name)
            self.clerk.cancel_these(books, asked, chosen, None, self.clock.now())
            await transaction.save(books)
        self.doorbell.ring([account_id])

    async def _shows_none(self, row: ScopeState, accounts: Collection[AccountID]) -> bool:
        """Ask the broker: what it shows and we do not know of must be seen to by a person."""
        if not row.scope.kind.is_of_accounts:
            return True
        ours = {order.wire_id for order in await self.store.open_orders(accounts)}
        snapshot = await self.broker.orders(accounts)
        strange = sorted(each.wire_id for each in snapshot.items if each.wire_id not in ours)
        if strange:
            logger.error(
                "the broker shows orders of %s that are not open here: %s", row.scope, strange
            )
        return snapshot.complete and not strange

    # --- positions -------------------------------------------------------------------------------

    async def _flatten(
        self, row: ScopeState, accounts: Collection[AccountID], refused: dict[_Holding, int]
    ) -> bool:
        """Close what is held, with one order at a time for each position; tell whether all is flat.

        A position whose closing was refused too often counts as done: it is logged as an error.
        """
        held = [p for p in await self.reads.positions(accounts) if _is_to_close(p, row)]
        await self.prices.fresh({position.symbol for position in held})
        for position in held:
            holding = (row.epoch, position.account_id, position.symbol)
            if (tries := refused.get(holding, 0)) <= REFUSALS_MAX:
                refused[holding] = tries + await self._close(position, row, tries)
                if refused[holding] > REFUSALS_MAX:
                    logger.error(
                        "%s of %s could not be closed", position.symbol, position.account_id
                    )
        return all(refused[row.epoch, p.account_id, p.symbol] > REFUSALS_MAX for p in held)

    async def _close(self, position: Position, row: ScopeState, tries: int) -> bool:
        """Place an order that closes a position, or half of it after each refusal; tell of one."""
        account_id, symbol = position.account_id, position.symbol
        mine = frozenset({account_id})
        wants = Wants(accounts=mine, symbols=frozenset({symbol}), judges=True)
        async with self.store.transaction(urgent=True) as transaction:
            await transaction.lock([account_id])
            books = await transaction.load(wants)
            command = self._closing(books, symbol, row, tries, account_id)
            if command is None:
                return False
            by = row.approved_by or row.changed_by
            placed = self.clerk.handle(books, command, None, self.clock.now(), by).decided
            await transaction.save(books)
        self.doorbell.ring([account_id])
        return isinstance(placed, Order) and placed.status is OrdStatus.REJECTED

    def _closing(
        self,
        books: Books,
        symbol: InstrumentID,
        row: ScopeState,
        tries: int,
        account_id: AccountID,
    ) -> PlaceOrder | None:
        """Make the closing order; None while another one, or one to be canceled, is still open."""
        if books.accounts[account_id].trading_state is TradingState.HALTED:
            return None  # Another scope forbids it, until two people have released that.
        position, instrument = books.position(account_id, symbol), books.catalogue.get(symbol)
        is_quiet = position.open_buy_qty == position.open_sell_qty == ZERO
        if position.net_qty == ZERO or not is_quiet or instrument is None:
            return None
        return PlaceOrder(
            account_id=account_id,
            cl_ord_id=ClOrdID(f"{_CLOSING}{row.epoch}-{base62(self.ids.next())}"),
            symbol=symbol,
            side=Side.SELL if position.net_qty > ZERO else Side.BUY,
            ord_type=OrdType.MARKET,
            order_qty=_part(abs(position.net_qty), instrument.lot, tries),
            reduce_only=True,
        )


def _unfinished(rows: Iterable[ScopeState]) -> list[ScopeState]:
    return [
        row
        for row in sorted(rows, key=lambda row: row.epoch)
        if row.action.cancels and row.state is not TradingState.ACTIVE and row.clean_at is None
    ]


def _is_to_cancel(order: Order, row: ScopeState) -> bool:
    """Whether an order is one of those that worked when the state was set."""
    if row.state is not TradingState.HALTED:
        closing = order.cl_ord_id is not None and order.cl_ord_id.startswith(_CLOSING)
        if closing or order.created_at > row.changed_at:
            return False
    return order.is_open and _has(row.scope, order)


def _has(scope: Scope, order: Order) -> bool:
    return scope.kind.is_of_accounts or scope in set(subject_of_order(order, "").scopes())


def _is_to_close(position: Position, row: ScopeState) -> bool:
    if row.scope.kind is ScopeKind.INSTRUMENT and position.symbol != row.scope.id:
        return False
    return position.net_qty != ZERO


def _part(qty: Qty, lot: Qty, tries: int) -> Qty:
    """Halve a quantity so many times, in whole lots; never to nothing."""
    part = qty / (1 << tries)
    return max(part - part % lot, min(lot, qty))
