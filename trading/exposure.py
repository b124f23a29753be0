"""Exposure recomputed from facts: what fills and open orders say, beside the running ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trading.account import Account, Position, reservation
from trading.execution import ExecType, Fill
from trading.ids import ExecID, InstrumentID
from trading.instrument import Catalogue
from trading.order import Order, Side
from trading.quantity import ONE, ZERO, Qty, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """An account's running ledger, and the facts that it must agree with, as of one moment.

    `fills` are those recorded after a sequence number, in their order.
    """

    account: Account
    positions: Sequence[Position]
    open_orders: Sequence[Order]
    fills: Sequence[Fill]


@dataclass(frozen=True, slots=True)
class Fold:
    """Net quantities as a fold over the fills up to `seq`, kept so that each is read once."""

    seq: int = 0
    net_qty: Mapping[InstrumentID, Qty] = field(default_factory=dict)

    def then(self, fills: Iterable[Fill]) -> Fold:
        """Take in later fills; what revises one must come with the one that it revises."""
        net, known, last = dict(self.net_qty), dict[ExecID, Qty](), self.seq
        for fill in fills:
            bought = fill.last_qty * fill.side.sign
            revised = known.get(fill.exec_ref_id, ZERO) if fill.exec_ref_id else ZERO
            stands = ZERO if fill.exec_type is ExecType.TRADE_CANCEL else bought
            known[fill.exec_id] = bought
            net[fill.symbol] = net.get(fill.symbol, ZERO) + stands - revised
            last = max(last, fill.seq)
        return replace(self, seq=last, net_qty=net)


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
