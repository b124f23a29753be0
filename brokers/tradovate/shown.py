"""What Tradovate shows when it is asked, in the words of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokers.tradovate.dossier import Dossier
from brokers.tradovate.messages import TradovateAccount, needed, number
from brokers.tradovate.symbols import Symbols
from trading.ids import AccountID, SecondaryOrderID
from trading.order import OrdStatus
from trading.ports import BrokerAccount, BrokerOrder, Unavailable
from trading.quantity import ZERO, average

_STATUSES = {
    "PendingNew": OrdStatus.PENDING_NEW,
    "Working": OrdStatus.NEW,
    "PendingCancel": OrdStatus.NEW,
    "PendingReplace": OrdStatus.NEW,
    "Filled": OrdStatus.FILLED,
    "Canceled": OrdStatus.CANCELED,
    "Expired": OrdStatus.EXPIRED,
    "Rejected": OrdStatus.REJECTED,
    "Suspended": OrdStatus.SUSPENDED,
}


class Shown:
    """Reads orders and accounts."""

    def __init__(self, symbols: Symbols) -> None:
        """Take what tells names."""
        self._symbols = symbols

    async def order(self, dossier: Dossier) -> BrokerOrder:
        """Show an order. Raises BrokerError for one that cannot be understood now."""
        terms = dossier.terms
        return BrokerOrder(
            wire_id=dossier.wire_id,
            secondary_order_id=SecondaryOrderID(str(dossier.order.id)),
            status=_status(dossier),
            order_qty=terms.qty,
            price=terms.px,
            stop_px=terms.stop_px,
            cum_qty=dossier.cum_qty,
            avg_px=average(dossier.cum_value, dossier.cum_qty),
            symbol=await self._symbols.ours(dossier.order.contract_id),
            side=dossier.order.side,
            last_request_wire_id=dossier.last_request,
        )


def _status(dossier: Dossier) -> OrdStatus:
    """Return what an order is for us: what is under way is in our own ledger already."""
    word = dossier.order.status
    if word == "Completed":
        is_whole = dossier.cum_qty >= dossier.terms.qty
        return OrdStatus.FILLED if is_whole else OrdStatus.CANCELED
    if (known := _STATUSES.get(word)) is None:
        raise Unavailable(f"Tradovate's order {dossier.order.id} is {word}, which is not known")
    if known is OrdStatus.NEW and dossier.cum_qty:
        return OrdStatus.PARTIALLY_FILLED
    return known


def account(
    theirs: TradovateAccount, account_id: AccountID, currency: str, worth: Mapping[str, Any]
) -> BrokerAccount:
    """Show an account; buying power is what its margin leaves. Raises Unavailable."""
    try:
        equity, margin = needed(worth, "netLiq"), number(worth, "initialMargin") or ZERO
        return BrokerAccount(
            number=theirs.name,
            account_id=account_id,
            currency=currency,
            is_blocked=not theirs.is_open,
            cash=needed(worth, "totalCashValue"),
            equity=equity,
            buying_power=equity - margin,
            initial_margin=margin,
            maintenance_margin=number(worth, "maintenanceMargin") or ZERO,
        )
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unavailable(f"Tradovate's account cannot be read: {worth!r:.300}") from error
