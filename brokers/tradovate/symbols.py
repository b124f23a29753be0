"""Tradovate's contracts and our instruments: `ESZ6`, with an id of its own, for ESZ6@XCME."""

from __future__ import annotations

from brokers.tradovate.client import TradovateClient
from brokers.tradovate.messages import text
from trading.ids import InstrumentID
from trading.instrument import UNLISTED, Catalogue, SecurityType, UnknownSymbol
from trading.ports import Rejected, Unavailable


class Symbols:
    """Translates by the catalogue; what a contract's id stands for is asked of Tradovate once."""

    def __init__(self, catalogue: Catalogue, client: TradovateClient) -> None:
        """Take the instruments that this gateway knows."""
        self._catalogue = catalogue
        self._client = client
        self._known: dict[int, InstrumentID] = {}

    def theirs(self, symbol: InstrumentID) -> str:
        """Return the contract's name. Raises Rejected for what is no future."""
        instrument = self._catalogue.get(symbol)
        if instrument is None or instrument.security_type is not SecurityType.FUTURE:
            raise Rejected(f"{symbol} is no future, and so not traded at Tradovate")
        return instrument.symbol

    async def ours(self, contract_id: int) -> InstrumentID:
        """Return our name of a contract; one unknown to us is of no market. Raises BrokerError."""
        if (known := self._known.get(contract_id)) is not None:
            return known
        found = await self._client.item("contract", contract_id)
        if found is None:
            raise Unavailable(f"Tradovate does not know its contract {contract_id}")
        try:
            name = text(found, "name")
        except (KeyError, ValueError) as error:
            raise Unavailable(f"Tradovate's contract cannot be read: {found!r:.200}") from error
        self._known[contract_id] = self._named(name)
        return self._known[contract_id]

    def _named(self, name: str) -> InstrumentID:
        try:
            return self._catalogue.resolve(name).id
        except UnknownSymbol:
            return InstrumentID(f"{name}@{UNLISTED}")
