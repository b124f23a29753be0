"""Exposure recomputed from facts: what fills and open orders say, beside the running ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trading.account import Account, Position, reservation
from trading.execution import ExecType
from trading.ids import AccountID, InstrumentID
from trading.instrument import Catalogue
from trading.order import Order, Side
from trading.quantity import ONE, ZERO, Qty, plain
from trading.record import record


@record
@dataclass(frozen=True, slots=True)
class Traded:
    """A recorded fill, as far as it moves a net quantity.

    `revised_qty` is what the fill bought or sold that a TRADE_CANCEL or TRADE_CORRECT names, None
    where it names none: the revised one may have been folded long before.
    """

    seq: int
    symbol: InstrumentID
    side: Side
    exec_type: ExecType
    last_qty: Qty
    revised_qty: Qty | None = None

    @property
    def net_qty(self) -> Qty:
        """What it adds to the net quantity, with a sign."""
        stands = ZERO if self.exec_type is ExecType.TRADE_CANCEL else self.last_qty
        return (stands - (self.revised_qty or ZERO)) * self.side.sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """An account's running ledger, and the facts that it must agree with, as of one moment.

    `fills` are those recorded after a sequence number, in their order; others follow them where
    `has_next`.
    """

    account: Account
    positions: Sequence[Position]
    open_orders: Sequence[Order]
    fills: Sequence[Traded]
    has_next: bool = False


@dataclass(frozen=True, slots=True)
class Fold:
    """Net quantities as a fold over the fills up to `seq`: a checkpoint, where it is kept.

    An instrument of which as much was bought as sold is left out.
    """

    seq: int = 0
    net_qty: Mapping[InstrumentID, Qty] = field(default_factory=dict)

    def then(self, fills: Iterable[Traded]) -> Fold:
        """Take in the fills that follow; a revision moves what it revises by the difference."""
        net, last = dict(self.net_qty), self.seq
        for fill in fills:
            net[fill.symbol] = net.get(fill.symbol, ZERO) + fill.net_qty
            last = fill.seq
        return Fold(last, {symbol: qty for symbol, qty in net.items() if qty})

    def unlike(self, other: Fold) -> list[str]:
        """Say where two folds up to the same fill differ: this one was kept, the other is fresh."""
        names = sorted(self.net_qty.keys() | other.net_qty.keys())
        pairs = [(s, self.net_qty.get(s, ZERO), other.net_qty.get(s, ZERO)) for s in names]
        return [
            f"symbol={symbol} kept={plain(kept)} recomputed={plain(fresh)}"
            for symbol, kept, fresh in pairs
            if kept != fresh
        ]


class _OfAccount(Protocol):
    @property
    def account_id(self) -> AccountID: ...


def by_account[T: _OfAccount](items: Iterable[T]) -> Mapping[AccountID, Sequence[T]]:
    """Sort items by their accounts, in the order that they have; absent is who has none."""
    found: dict[AccountID, list[T]] = {}
    for item in items:
        found.setdefault(item.account_id, []).append(item)
    return found


def differences(ledger: Ledger, fold: Fold, catalogue: Catalogue) -> list[str]:
    """Say where the running ledger differs from what fills and open orders come to."""
    found = []
    rows = {position.symbol: position for position in ledger.positions}
    open_ = _reserved(ledger.open_orders, catalogue)
    for symbol in sorted(rows.keys() | fold.net_qty.keys() | {name for name, _ in open_}):
        row = rows.get(symbol) or Position(account_id=ledger.account.id, symbol=symbol)
        pairs = (
            ("net_qty", row.net_qty, fold.net_qty.get(symbol, ZERO)),
            ("open_buy_qty", row.open_buy_qty, open_.get((symbol, Side.BUY), ZERO)),
            ("open_sell_qty", row.open_sell_qty, open_.get((symbol, Side.SELL), ZERO)),
        )
        found += [
            f"symbol={symbol} {name}={plain(ours)} recomputed={plain(facts)}"
            for name, ours, facts in pairs
            if ours != facts
        ]
    count = len(ledger.open_orders)
    if ledger.account.open_orders != count:
        found.append(f"open_orders={ledger.account.open_orders} recomputed={count}")
    return found


def _reserved(
    orders: Iterable[Order], catalogue: Catalogue
) -> dict[tuple[InstrumentID, Side], Qty]:
    found: dict[tuple[InstrumentID, Side], Qty] = {}
    for order in orders:
        instrument = catalogue.get(order.symbol)
        held = reservation(order, instrument.multiplier if instrument else ONE)
        key = (order.symbol, order.side)
        found[key] = found.get(key, ZERO) + held.qty
    return found
