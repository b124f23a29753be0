"""Instruments: what can be traded, on which grid, at what value per point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, unique

from trading.ids import InstrumentID
from trading.quantity import Money, Px, Qty

UNLISTED = "XXXX"
"""The ISO 10383 code of what trades on no exchange."""


@unique
class SecurityType(StrEnum):
    """SecurityType(167), as far as it decides how a position is paid for."""

    COMMON_STOCK = "COMMON_STOCK"
    FUTURE = "FUTURE"
    FX_SPOT = "FX_SPOT"
    CRYPTO_SPOT = "CRYPTO_SPOT"


_BORROWED = frozenset({SecurityType.COMMON_STOCK, SecurityType.CRYPTO_SPOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable contract.

    `tick` and `lot` are the steps of price and quantity; `multiplier` is the value of one point of
    price per unit of quantity, in `currency` (ISO 4217). Margins are money per contract, the
    multiplier already inside them. `expiry` is in UTC nanoseconds. `shortable` is False where it
    cannot be borrowed, which a short sale would need; None is that nobody has said so.
    """

    symbol: str
    mic: str
    description: str
    security_type: SecurityType
    currency: str
    tick: Px
    lot: Qty
    multiplier: Qty
    calendar: str
    expiry: int | None = None
    initial_margin: Money | None = None
    maintenance_margin: Money | None = None
    shortable: bool | None = None

    @property
    def id(self) -> InstrumentID:
        """The name under which it is known everywhere: `symbol@MIC`."""
        return InstrumentID(f"{self.symbol}@{self.mic}")

    @property
    def is_margined(self) -> bool:
        """Whether a position is margined and settled by its gains, rather than paid in full."""
        return self.security_type is SecurityType.FUTURE

    @property
    def must_be_borrowed(self) -> bool:
        """Whether one who sells more than is held must borrow it: stocks and coins."""
        return self.security_type in _BORROWED


class UnknownSymbol(LookupError):
    """No instrument has this symbol, or several have and the market must be named."""


class Catalogue:
    """The instruments known to this gateway, found by `symbol@MIC` or by a bare symbol."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Start with these instruments."""
        self._by_id: dict[InstrumentID, Instrument] = {}
        self._by_symbol: dict[str, list[Instrument]] = {}
        for instrument in instruments:
            self.add(instrument)

    def __iter__(self) -> Iterator[Instrument]:
        """Go through all instruments in the order of their ids."""
        return (self._by_id[key] for key in sorted(self._by_id))

    def add(self, instrument: Instrument) -> None:
        """Take in an instrument, in place of the one with the same id."""
        if (known := self._by_id.get(instrument.id)) is not None:
            self._by_symbol[known.symbol].remove(known)
        self._by_id[instrument.id] = instrument
        self._by_symbol.setdefault(instrument.symbol, []).append(instrument)

    def get(self, instrument_id: InstrumentID) -> Instrument | None:
        """Return the instrument with exactly this id, or None."""
        return self._by_id.get(instrument_id)

    def resolve(self, symbol: str) -> Instrument:
        """Find an instrument by `symbol@MIC`, or by the bare symbol where only one market has it.

        Raises UnknownSymbol, which says what would be unambiguous.
        """
        if (exact := self._by_id.get(InstrumentID(symbol))) is not None:
            return exact
        match self._by_symbol.get(symbol, []):
            case [only]:
                return only
            case []:
                raise UnknownSymbol(f"no instrument has the symbol {symbol}")
            case several:
                names = ", ".join(sorted(each.id for each in several))
                raise UnknownSymbol(f"{symbol} is ambiguous: say one of {names}")
