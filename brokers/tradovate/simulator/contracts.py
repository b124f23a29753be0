"""The contract library: exchanges, products, maturities and contracts of the exchange's futures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from zlib import crc32

from brokers.instants import to_datetime
from brokers.tradovate.simulator.terms import Document
from brokers.tradovate.simulator.wire import at_text
from trading.ids import InstrumentID
from trading.instrument import Catalogue, Instrument, SecurityType

_NAME = re.compile(r"(.+?)([FGHJKMNQUVXZ])([0-9]{1,2})")
_EXCHANGES = {"XCME": "CME", "XCBT": "CBOT", "XNYM": "NYMEX", "XCEC": "COMEX"}
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_NEVER = "2099-12-31T00:00:00.000Z"


def made_id(*words: object) -> int:
    """Make an id that is the same in every run."""
    return crc32(" ".join(map(str, words)).encode()) & 0x7FFFFFFF


class Library:
    """What there is to trade, as Tradovate's entities, each kind by id."""

    def __init__(self, catalogue: Catalogue, opened_at: int) -> None:
        """Take the futures of a catalogue, as of an instant in UTC nanoseconds."""
        self._as_of = at_text(opened_at)
        self.instruments: dict[int, Instrument] = {}
        self.entities: dict[str, dict[int, Document]] = defaultdict(dict)
        self._fronts: dict[str, Instrument] = {}
        futures = [each for each in catalogue if each.security_type is SecurityType.FUTURE]
        for instrument in sorted(futures, key=lambda each: each.expiry or 0):
            self._fronts.setdefault(_root(instrument), instrument)
            self._take(instrument)

    def contract_id(self, symbol: InstrumentID) -> int:
        """Return the id of an instrument's contract."""
        return made_id("contract", symbol)

    def find(self, symbol: object) -> Instrument | None:
        """Find an instrument by its contract's name or id."""
        for contract_id, instrument in self.instruments.items():
            if str(symbol) in {instrument.symbol, str(contract_id)}:
                return instrument
        return None

    def suggestions(self, words: str, most: int) -> Sequence[Document]:
        """Return contracts whose names begin so."""
        contracts: Mapping[int, Document] = self.entities["contract"]
        found = [each for each in contracts.values() if each["name"].startswith(words.upper())]
        return found[:most]

    def currency_id(self, currency: str) -> int:
        """Return the id of a currency."""
        return made_id("currency", currency)

    def _take(self, instrument: Instrument) -> None:
        root = _root(instrument)
        exchange = _EXCHANGES.get(instrument.mic, instrument.mic)
        currency, group = instrument.currency, made_id("group", root)
        self.instruments[self.contract_id(instrument.id)] = instrument
        self._put("currency", self.currency_id(currency), name=currency, symbol=_sign(currency))
        self._put("exchange", made_id("exchange", exchange), name=exchange)
        self._put("contractGroup", group, name=f"{root} group")
        self._put(
            "product",
            made_id("product", root),
            name=root,
            currencyId=self.currency_id(currency),
            productType="Futures",
            description=instrument.description.partition(",")[0],
            exchangeId=made_id("exchange", exchange),
            contractGroupId=group,
            status="Verified",
            valuePerPoint=instrument.multiplier,
            priceFormatType="Decimal",
            priceFormat=_decimals(instrument),
            tickSize=instrument.tick,
        )
        self._take_contract(instrument, root)

    def _take_contract(self, instrument: Instrument, root: str) -> None:
        maturity, contract = made_id("maturity", instrument.id), self.contract_id(instrument.id)
        self._put(
            "contractMaturity",
            maturity,
            productId=made_id("product", root),
            expirationMonth=_month(instrument),
            expirationDate=_NEVER if instrument.expiry is None else at_text(instrument.expiry),
            isFront=self._fronts[root] is instrument,
        )
        self._put("contract", contract, name=instrument.symbol, contractMaturityId=maturity)
        margins = {
            "timestamp": self._as_of,
            "initialMargin": instrument.initial_margin or 0,
            "maintenanceMargin": instrument.maintenance_margin or 0,
        }
        self._put("contractMargin", contract, **margins)
        self._put("productMargin", made_id("product", root), **margins)

    def _put(self, kind: str, entity_id: int, **fields: object) -> None:
        self.entities[kind].setdefault(entity_id, {"id": entity_id, **fields})


def _root(instrument: Instrument) -> str:
    match = _NAME.fullmatch(instrument.symbol)
    return match[1] if match else instrument.symbol


def _month(instrument: Instrument) -> int:
    if instrument.expiry is None:
        return 209912
    day = to_datetime(instrument.expiry)
    return day.year * 100 + day.month


def _decimals(instrument: Instrument) -> int:
    exponent = instrument.tick.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _sign(currency: str) -> str:
    return _SYMBOLS.get(currency, currency)
