"""What Alpaca shows when it is asked, in the words of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokers.alpaca.chains import Chain
from brokers.alpaca.messages import STATUSES, AlpacaOrder, number, text
from brokers.alpaca.requests import Requests
from brokers.alpaca.symbols import Symbols
from trading.ids import AccountID, InstrumentID, SecondaryOrderID, WireID
from trading.order import OrdStatus
from trading.ports import BrokerAccount, BrokerOrder, Unavailable
from trading.quantity import ZERO, Qty, average


class Shown:
    """Reads orders and positions. What is still being settled is not shown as settled."""

    def __init__(self, symbols: Symbols, requests: Requests) -> None:
        """Take what tells names, and what was asked about which order."""
        self._symbols = symbols
        self._requests = requests

    def is_unsettled(self, leaf: AlpacaOrder) -> bool:
        """Tell whether a cancel or replace is under way of which this process knows nothing."""
        return leaf.is_settling and self._last_request(leaf) is None

    def order(self, chain: Chain) -> BrokerOrder:
        """Show the order that a chain is. Raises Unavailable while it is unsettled."""
        leaf = chain.leaf
        if self.is_unsettled(leaf):
            raise Unavailable(f"Alpaca's order {leaf.id} is {leaf.status}: to be asked again")
        return BrokerOrder(
            wire_id=chain.wire_id,
            secondary_order_id=SecondaryOrderID(leaf.id),
            status=_status(leaf),
            order_qty=chain.order_qty,
            price=leaf.limit_px,
            stop_px=leaf.stop_px,
            cum_qty=chain.cum_qty,
            avg_px=average(chain.cum_value, chain.cum_qty),
            symbol=self._symbols.ours(leaf.symbol),
            side=leaf.side,
            last_request_wire_id=self._last_request(leaf),
        )

    def _last_request(self, leaf: AlpacaOrder) -> WireID | None:
        """Return the newest replace or cancel that an order shows to have been taken."""
        match leaf.status:
            case "pending_cancel":
                return self._requests.cancel_of(leaf.id)
            case "pending_replace":
                return self._requests.replace_of(leaf.id)
            case "canceled" if (canceled := self._requests.cancel_of(leaf.id)) is not None:
                return canceled
            case _:
                return WireID(leaf.client_order_id) if leaf.replaces is not None else None

    def account(self, given: Mapping[str, Any], account_id: AccountID) -> BrokerAccount:
        """Read an account, which is this one of ours. Raises Unavailable."""
        try:
            blocked = given.get("account_blocked") or given.get("trading_blocked")
            return BrokerAccount(
                number=text(given, "account_number"),
                account_id=account_id,
                currency=text(given, "currency"),
                is_blocked=bool(blocked) or given.get("status") != "ACTIVE",
                cash=number(given, "cash") or ZERO,
                equity=number(given, "equity") or ZERO,
                buying_power=number(given, "buying_power") or ZERO,
                initial_margin=number(given, "initial_margin") or ZERO,
                maintenance_margin=number(given, "maintenance_margin") or ZERO,
            )
        except (KeyError, ValueError, ArithmeticError) as error:
            raise Unavailable(f"Alpaca's account cannot be read: {error!r}") from error

    def position(self, given: Mapping[str, Any]) -> tuple[InstrumentID, Qty]:
        """Read a position: a short one is below zero. Raises Unavailable."""
        try:
            qty = abs(number(given, "qty") or ZERO)
            is_short = text(given, "side") == "short"
            return self._symbols.ours(text(given, "symbol")), -qty if is_short else qty
        except (KeyError, ValueError, ArithmeticError) as error:
            raise Unavailable(f"Alpaca's position cannot be read: {given!r:.200}") from error


def _status(leaf: AlpacaOrder) -> OrdStatus:
    """Return what an order is for us: what is under way is in our own ledger already."""
    known = STATUSES.get(leaf.status)
    if known is None:
        raise Unavailable(f"Alpaca's order {leaf.id} is {leaf.status}, which is not known")
    if leaf.is_settling:
        return OrdStatus.PARTIALLY_FILLED if leaf.filled_qty else OrdStatus.NEW
    return known
