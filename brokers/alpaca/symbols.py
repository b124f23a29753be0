"""Alpaca's names of instruments and ours: `AAPL` for AAPL@XNAS, `BTC/USD` for BTCUSD@XXXX."""

from __future__ import annotations

from trading.ids import InstrumentID
from trading.instrument import UNLISTED, Catalogue, SecurityType, UnknownSymbol
from trading.ports import Rejected


class Symbols:
    """Translates by the catalogue. A coin's pair has a slash at Alpaca, and none with us."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Take the instruments that this gateway knows."""
        self._catalogue = catalogue

    def theirs(self, symbol: InstrumentID) -> str:
        """Return Alpaca's name. Raises Rejected for what cannot be traded there."""
        instrument = self._catalogue.get(symbol)
        match instrument and instrument.security_type:
            case SecurityType.COMMON_STOCK if instrument is not None:
                return instrument.symbol
            case SecurityType.CRYPTO_SPOT if instrument is not None:
                base = instrument.symbol.removesuffix(instrument.currency)
                return f"{base}/{instrument.currency}"
            case _:
                raise Rejected(f"{symbol} is no stock or coin, and so not traded at Alpaca")

    def ours(self, symbol: str) -> InstrumentID:
        """Return our name; that of a symbol unknown to us is one of no market."""
        bare = symbol.replace("/", "")
        try:
            return self._catalogue.resolve(bare).id
        except UnknownSymbol:
            return InstrumentID(f"{bare}@{UNLISTED}")
