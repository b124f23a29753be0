"""The built-in catalogue: instruments made from their symbols, where a symbol says enough.

Margins are placeholders of a plausible size, not what any exchange asks today. Expiries follow the
rule of the contract without its market's holidays, and sessions end at one time of the UTC day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from brokers.instants import from_datetime, to_datetime
from trading.instrument import UNLISTED, Instrument, SecurityType

_ROUND_THE_CLOCK = "24/7"
_ENDS_AT_2100 = "24/7-2100"
_FRIDAY = 4
_MONTH_CODES = "FGHJKMNQUVXZ"
_ROLL_DAYS = 8


class _Month(NamedTuple):
    year: int
    month: int

    def after(self, months: int) -> _Month:
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return _Month(year, month + 1)

    def day(self, day: int) -> datetime:
        return datetime(self.year, self.month, day, tzinfo=UTC)


def _third_friday(month: _Month) -> datetime:
    first = month.day(1)
    return first + timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)


def _before_the_25th(month: _Month) -> datetime:
    """Return the third business day before the 25th of the month before, as crude oil ends."""
    day = month.after(-1).day(25)
    while day.weekday() > _FRIDAY:
        day -= timedelta(days=1)
    return _business_days_before(day, 3)


def _third_last_day(month: _Month) -> datetime:
    return _business_days_before(month.after(1).day(1), 3)


def _business_days_before(day: datetime, count: int) -> datetime:
    while count:
        day -= timedelta(days=1)
        count -= day.weekday() <= _FRIDAY
    return day


@dataclass(frozen=True, slots=True)
class _Root:
    """What all contracts of a futures root share; margins are placeholders in money."""

    description: str
    mic: str
    tick: str
    multiplier: str
    initial_margin: str
    maintenance_margin: str
    months: str
    last_day: Callable[[_Month], datetime]


_INDICES = {
    "ES": ("E-mini S&P 500", "XCME", "0.25", "50", "16500", "15000"),
    "MES": ("Micro E-mini S&P 500", "XCME", "0.25", "5", "1650", "1500"),
    "NQ": ("E-mini Nasdaq-100", "XCME", "0.25", "20", "24200", "22000"),
    "MNQ": ("Micro E-mini Nasdaq-100", "XCME", "0.25", "2", "2420", "2200"),
    "RTY": ("E-mini Russell 2000", "XCME", "0.1", "50", "8250", "7500"),
    "M2K": ("Micro E-mini Russell 2000", "XCME", "0.1", "5", "825", "750"),
    "YM": ("E-mini Dow", "XCBT", "1", "5", "11000", "10000"),
    "MYM": ("Micro E-mini Dow", "XCBT", "1", "0.5", "1100", "1000"),
}
_ENERGY = {
    "CL": ("WTI crude oil", "XNYM", "0.01", "1000", "6600", "6000"),
    "MCL": ("Micro WTI crude oil", "XNYM", "0.01", "100", "660", "600"),
}
_METALS = {
    "GC": ("Gold", "XCEC", "0.1", "100", "13200", "12000"),
    "MGC": ("Micro gold", "XCEC", "0.1", "10", "1320", "1200"),
    "SI": ("Silver", "XCEC", "0.005", "5000", "13200", "12000"),
}
_ROOTS: Mapping[str, _Root] = {
    **{root: _Root(*terms, "HMUZ", _third_friday) for root, terms in _INDICES.items()},
    **{root: _Root(*terms, _MONTH_CODES, _before_the_25th) for root, terms in _ENERGY.items()},
    **{root: _Root(*terms, _MONTH_CODES, _third_last_day) for root, terms in _METALS.items()},
}
_FUTURE = re.compile(rf"({'|'.join(_ROOTS)})([{_MONTH_CODES}])([0-9]{{1,2}})")

_EQUITIES = {
    "AAPL": "Apple Inc. common stock",
    "MSFT": "Microsoft Corp. common stock",
    "NVDA": "NVIDIA Corp. common stock",
}
_CURRENCIES = (
    "AUD|CAD|CHF|CNH|CZK|DKK|EUR|GBP|HKD|HUF|ILS|JPY|MXN|NOK|NZD|PLN|SEK|SGD|THB|TRY|USD|ZAR"
)
_PAIR = re.compile(rf"({_CURRENCIES})(?!\1)({_CURRENCIES})")
_COARSE = frozenset({"HUF", "JPY"})
"""Currencies in which rates are quoted to three decimals."""

_COINS = "ADA|AVAX|BCH|BNB|BTC|DOGE|DOT|ETH|LINK|LTC|SOL|TRX|XRP"
_CRYPTO = re.compile(rf"({_COINS})(USDT|USDC|USD|EUR)")
_COARSE_COINS = frozenset({"BTC", "ETH", "BNB", "BCH", "LTC", "SOL", "AVAX"})
"""Coins that are worth enough to be quoted in hundredths."""


def instrument_of(symbol: str, at: int) -> Instrument | None:
    """Make the instrument of a bare symbol, or return None where the catalogue has none.

    `at`, in UTC nanoseconds, settles the decade of a future whose year is one digit: the first
    contract that has not expired then.
    """
    if (match := _FUTURE.fullmatch(symbol)) is not None:
        return _dated_future(match[1], match[2], match[3], at)
    if symbol in _EQUITIES:
        return equity(symbol, "XNAS", _EQUITIES[symbol])
    if (match := _CRYPTO.fullmatch(symbol)) is not None:
        return crypto(match[1], match[2])
    if (match := _PAIR.fullmatch(symbol)) is not None:
        return currency_pair(match[1], match[2])
    return None


def equity(symbol: str, mic: str, description: str) -> Instrument:
    """Make a US stock, traded by the share in cents."""
    return Instrument(
        symbol=symbol,
        mic=mic,
        description=description,
        security_type=SecurityType.COMMON_STOCK,
        currency="USD",
        tick=Decimal("0.01"),
        lot=Decimal(1),
        multiplier=Decimal(1),
        calendar=_ENDS_AT_2100,
    )


def currency_pair(base: str, quote: str) -> Instrument:
    """Make a pair of currencies (ISO 4217), traded by the thousand of the first."""
    return Instrument(
        symbol=base + quote,
        mic=UNLISTED,
        description=f"{base} in {quote}, spot",
        security_type=SecurityType.FX_SPOT,
        currency=quote,
        tick=Decimal("0.001") if quote in _COARSE else Decimal("0.00001"),
        lot=Decimal(1000),
        multiplier=Decimal(1),
        calendar=_ENDS_AT_2100,
    )


def crypto(base: str, quote: str) -> Instrument:
    """Make a pair of a coin and what it is quoted in; a stablecoin is not its currency."""
    return Instrument(
        symbol=base + quote,
        mic=UNLISTED,
        description=f"{base} in {quote}, spot",
        security_type=SecurityType.CRYPTO_SPOT,
        currency=quote,
        tick=Decimal("0.01") if base in _COARSE_COINS else Decimal("0.00001"),
        lot=Decimal("0.000001"),
        multiplier=Decimal(1),
        calendar=_ROUND_THE_CLOCK,
    )


def front_future(root: str, at: int) -> Instrument:
    """Make the front contract of a root: the next to expire, left eight days before it does."""
    today = to_datetime(at)
    month = _Month(today.year, today.month)
    for later in range(13):
        candidate = month.after(later)
        if _code(candidate) in _ROOTS[root].months:
            last_day = _ROOTS[root].last_day(candidate)
            if today < last_day - timedelta(days=_ROLL_DAYS):
                return _future(root, candidate)
    raise LookupError(f"the root {root} has no contract within a year")


def _dated_future(root: str, code: str, year: str, at: int) -> Instrument | None:
    if code not in _ROOTS[root].months:
        return None
    span = 10 ** len(year)
    month = _Month(to_datetime(at).year // span * span + int(year), _MONTH_CODES.index(code) + 1)
    if span == 10 and _expiry(root, month) <= at:
        month = month.after(12 * span)
    return _future(root, month, f"{root}{code}{year}")


def _future(root: str, month: _Month, symbol: str | None = None) -> Instrument:
    terms = _ROOTS[root]
    return Instrument(
        symbol=symbol or f"{root}{_code(month)}{month.year % 10}",
        mic=terms.mic,
        description=f"{terms.description}, {month.day(1):%B %Y} (margins are placeholders)",
        security_type=SecurityType.FUTURE,
        currency="USD",
        tick=Decimal(terms.tick),
        lot=Decimal(1),
        multiplier=Decimal(terms.multiplier),
        calendar=_ENDS_AT_2100,
        expiry=_expiry(root, month),
        initial_margin=Decimal(terms.initial_margin),
        maintenance_margin=Decimal(terms.maintenance_margin),
    )


def _expiry(root: str, month: _Month) -> int:
    """Return the end of trading: 13:30 UTC of the last day, which is 9:30 in a New York summer."""
    return from_datetime(_ROOTS[root].last_day(month) + timedelta(hours=13, minutes=30))


def _code(month: _Month) -> str:
    return _MONTH_CODES[month.month - 1]
