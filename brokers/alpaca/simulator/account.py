"""The one account of the simulator: its cash, its positions, and what its fills made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from uuid import UUID, uuid5

from brokers.alpaca.simulator.book import Book, Document, SimulatedFill, alpaca_symbol, asset_id
from brokers.instants import format_instant
from trading.ids import AccountID, InstrumentID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.quantity import ZERO, Money, Px, Qty, average, plain

ACCOUNT = AccountID("alpaca")
NUMBER = "SIM000000001"
"""An account number that no real environment of Alpaca gives."""

_ID = str(uuid5(UUID("5f1c8a3e-0f0b-5d3c-9a54-1b7f2c6d8e90"), NUMBER))
_EXCHANGES = {"XNAS": "NASDAQ", "XNYS": "NYSE", "ARCX": "ARCA", "BATS": "BATS", "XASE": "AMEX"}
_CENT = Decimal("0.01")


class SimulatedAccount:
    """Cash to begin with, and positions at cost; marks come from the last quotes."""

    def __init__(
        self, book: Book, catalogue: Catalogue, mark: Callable[[InstrumentID], Px | None]
    ) -> None:
        """Take the fills, and what tells the present price."""
        self._book = book
        self._catalogue = catalogue
        self._mark = mark
        self._cash = Decimal(1_000_000)

    def document(self, opened_at: int) -> Document:
        """Write the account as Alpaca does."""
        held = [self._position(symbol) for symbol in self._symbols()]
        value = sum((Decimal(each["market_value"]) for each in held), ZERO)
        cash = self._cash - sum((_paid(fill) for fill in self._book.fills), ZERO)
        equity, margin = plain(cash + value), plain((abs(value) / 2).quantize(_CENT))
        return {
            "id": _ID,
            "account_number": NUMBER,
            "status": "ACTIVE",
            "currency": "USD",
            "cash": plain(cash),
            "portfolio_value": equity,
            "equity": equity,
            "last_equity": plain(self._cash),
            "buying_power": plain(max(cash, ZERO)),
            "regt_buying_power": plain(max(cash, ZERO)),
            "daytrading_buying_power": "0",
            "long_market_value": plain(max(value, ZERO)),
            "short_market_value": plain(min(value, ZERO)),
            "initial_margin": margin,
            "maintenance_margin": margin,
            "last_maintenance_margin": "0",
            "sma": "0",
            "multiplier": "1",
            "daytrade_count": 0,
            "pattern_day_trader": False,
            "trading_blocked": False,
            "transfers_blocked": False,
            "account_blocked": False,
            "trade_suspended_by_user": False,
            "shorting_enabled": True,
            "created_at": format_instant(opened_at),
        }

    def positions(self) -> Sequence[Document]:
        """Write all positions."""
        return [self._position(symbol) for symbol in self._symbols() if self._net(symbol)]

    def position(self, symbol: InstrumentID) -> Document | None:
        """Write one position, or return None where it is flat."""
        return self._position(symbol) if self._net(symbol) else None

    def _symbols(self) -> Sequence[InstrumentID]:
        return sorted({fill.order.request.symbol for fill in self._book.fills})

    def _net(self, symbol: InstrumentID) -> Qty:
        return sum(self._book.net(symbol), ZERO)

    def _position(self, symbol: InstrumentID) -> Document:
        net, cost = self._net(symbol), self._cost(symbol)
        px = abs(average(cost, net) or ZERO)
        mark = self._mark(symbol) or px
        value, gain = net * mark, net * mark - cost
        ratio = (gain / abs(cost)).quantize(Decimal("0.000001")) if cost else ZERO
        instrument = self._catalogue.get(symbol)
        is_coin = instrument and instrument.security_type is SecurityType.CRYPTO_SPOT
        return {
            "asset_id": asset_id(symbol),
            "symbol": alpaca_symbol(self._catalogue, symbol),
            "exchange": _EXCHANGES.get(symbol.partition("@")[2], "OTC"),
            "asset_class": "crypto" if is_coin else "us_equity",
            "asset_marginable": False,
            "avg_entry_price": plain(px),
            "qty": plain(net),
            "qty_available": plain(net),
            "side": "short" if net < ZERO else "long",
            "market_value": plain(value),
            "cost_basis": plain(cost),
            "unrealized_pl": plain(gain),
            "unrealized_plpc": plain(ratio),
            "unrealized_intraday_pl": plain(gain),
            "unrealized_intraday_plpc": plain(ratio),
            "current_price": plain(mark),
            "lastday_price": plain(mark),
            "change_today": "0",
        }

    def _cost(self, symbol: InstrumentID) -> Money:
        """Return what the position has cost, at the average of its fills on the open side."""
        net, cost = ZERO, ZERO
        for fill in self._book.fills:
            if fill.order.request.symbol != symbol:
                continue
            qty = fill.order.request.side.sign * fill.qty
            if net == ZERO or (net > ZERO) == (qty > ZERO):
                cost += qty * fill.px
            elif abs(qty) <= abs(net):
                cost += qty * (cost / net)
            else:
                cost = (net + qty) * fill.px
            net += qty
        return cost


def asset(instrument: Instrument, catalogue: Catalogue) -> Document:
    """Write an instrument as Alpaca does."""
    is_coin = instrument.security_type is SecurityType.CRYPTO_SPOT
    return {
        "id": asset_id(instrument.id),
        "class": "crypto" if is_coin else "us_equity",
        "exchange": "CRYPTO" if is_coin else _EXCHANGES.get(instrument.mic, "OTC"),
        "symbol": alpaca_symbol(catalogue, instrument.id),
        "name": instrument.description,
        "status": "active",
        "tradable": True,
        "marginable": False,
        "shortable": instrument.shortable is not False,
        "easy_to_borrow": instrument.shortable is not False,
        "fractionable": is_coin,
    }


def _paid(fill: SimulatedFill) -> Money:
    return fill.order.request.side.sign * fill.qty * fill.px
