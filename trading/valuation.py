"""What an account is worth, and what its positions and open orders tie up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from trading.account import Account, Position
from trading.ids import InstrumentID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.quantity import ZERO, Money, Px, share

# A short position in what is paid in full ties up its value, which its sale has brought in as cash,
# and half as much again: the initial margin of Regulation T, 12 CFR 220.12(c)(1).
SHORT_REQUIREMENT = Decimal("1.5")
SHORT_MARGIN = Decimal("0.5")
# The maintenance margin of a short position in FINRA rule 4210(c)(3), at prices of 5 USD and more.
SHORT_MAINTENANCE = Decimal("0.3")

# What is not margined by contract requires a part of its value: initially on either side, and then
# for as long as it is held, long and short. Stocks as in Regulation T and FINRA rule 4210(c),
# currencies as in NFA rule 2-36 for all but the largest, and coins in full.
_RATES = {
    SecurityType.COMMON_STOCK: (Decimal("0.5"), Decimal("0.25"), SHORT_MAINTENANCE),
    SecurityType.FX_SPOT: (Decimal("0.05"), Decimal("0.05"), Decimal("0.05")),
    SecurityType.CRYPTO_SPOT: (Decimal(1), Decimal(1), Decimal(1)),
}

type Mark = Callable[[InstrumentID], Px | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """An account at the marks given, in money of its currency; None where a mark is missing."""

    equity: Money | None
    buying_power: Money | None
    initial_margin: Money | None
    maintenance_margin: Money | None


class Burden(NamedTuple):
    """What one position, or all of an account, gains, is worth and requires; None if not known.

    Money. Requirements and `gross`, the value at the mark, are those of the worse side that the
    open orders can make of it.
    """

    gain: Money | None = ZERO
    worth: Money | None = ZERO
    tied_up: Money | None = ZERO
    initial: Money | None = ZERO
    maintenance: Money | None = ZERO
    gross: Money | None = ZERO
    open_notional: Money | None = ZERO

    def plus(self, other: Burden) -> Burden:
        """Add another one; what is not known of one is not known of both."""
        pairs = zip(self, other, strict=True)
        return Burden(*(None if a is None or b is None else a + b for a, b in pairs))


NOTHING = Burden()
UNKNOWN = Burden(None, None, None, None, None, None, None)


def burden(position: Position, instrument: Instrument | None, mark: Px | None) -> Burden:
    """Return what a position and its open orders come to."""
    net, buys, sells = position.net_qty, position.open_buy_qty, position.open_sell_qty
    if not position.is_exposed:
        return NOTHING
    if instrument is None:
        return UNKNOWN
    opened = position.open_buy_notional + position.open_sell_notional
    worst = max(net + buys, sells - net, ZERO)
    gross = _times(worst, None if mark is None else abs(mark) * instrument.multiplier)
    if instrument.is_margined:
        gain = _gain_at(position, instrument, mark)
        initial = _times(worst, instrument.initial_margin)
        maintenance = _times(worst, instrument.maintenance_margin)
        return Burden(gain, gain, initial, initial, maintenance, gross, opened)
    worth = _times(net * instrument.multiplier, mark)
    tied_up = requirement(position, instrument, mark)
    rate, long_rate, short_rate = _RATES[instrument.security_type]
    if gross is None or mark is None:
        return Burden(ZERO, worth, tied_up, None, None, None, opened)
    kept = max((net + buys) * long_rate, (sells - net) * short_rate, ZERO)
    maintenance = kept * abs(mark) * instrument.multiplier
    return Burden(ZERO, worth, tied_up, gross * rate, maintenance, gross, opened)


def total(burdens: Iterable[Burden]) -> Burden:
    """Add burdens up; what is not known of one is not known of all."""
    found = NOTHING
    for each in burdens:
        found = found.plus(each)
    return found


def value(
    account: Account, positions: Iterable[Position], catalogue: Catalogue, mark: Mark
) -> Valuation:
    """Value an account: equity at the marks, and the buying power beyond what is tied up."""
    held = [(p, i) for p in positions if (i := catalogue.get(p.symbol)) is not None]
    gains = _total(_gain(p, i, mark) for p, i in held)
    tied_up = _total(requirement(p, i, mark(p.symbol)) for p, i in held)
    worth = _total(_worth(p, i, mark) for p, i in held)
    free = None if gains is None or tied_up is None else account.cash + gains - tied_up
    return Valuation(
        equity=None if worth is None else account.cash + worth,
        buying_power=free,
        initial_margin=_total(_margin(p, i, mark, initial=True) for p, i in held),
        maintenance_margin=_total(_margin(p, i, mark, initial=False) for p, i in held),
    )


def requirement(position: Position, instrument: Instrument, mark: Px | None) -> Money | None:
    """Return what a position and its open orders tie up, the worse side of them counted.

    Margined: contracts times initial margin. Paid in full: the reserved cost of the buys that do
    more than close a short position, and 1.5 times the value of the short one. None where the mark
    or the margin that it needs is missing.
    """
    if instrument.is_margined:
        contracts = max(position.long_qty, position.short_qty)
        return _times(contracts, instrument.initial_margin)
    covering = max(-position.net_qty, ZERO)
    opening = max(position.open_buy_qty - covering, ZERO)
    cost = share(position.open_buy_notional, opening, position.open_buy_qty) if opening else ZERO
    short = _times(position.short_qty * instrument.multiplier * SHORT_REQUIREMENT, mark)
    return None if short is None else cost + short


def gains(positions: Iterable[Position], catalogue: Catalogue, mark: Mark) -> Money | None:
    """Return the unrealized gains of margined positions, which count like cash; None if unknown."""
    return _total(
        _gain(p, i, mark) for p in positions if (i := catalogue.get(p.symbol)) is not None
    )


def _gain(position: Position, instrument: Instrument, mark: Mark) -> Money | None:
    if not instrument.is_margined or position.net_qty == ZERO:
        return ZERO
    return _gain_at(position, instrument, mark(position.symbol))


def _gain_at(position: Position, instrument: Instrument, px: Px | None) -> Money | None:
    if position.net_qty == ZERO:
        return ZERO
    return None if px is None else position.unrealized_pnl(px, instrument.multiplier)


def _worth(position: Position, instrument: Instrument, mark: Mark) -> Money | None:
    if instrument.is_margined:
        return _gain(position, instrument, mark)
    return _times(position.net_qty * instrument.multiplier, mark(position.symbol))


def _margin(
    position: Position, instrument: Instrument, mark: Mark, *, initial: bool
) -> Money | None:
    if instrument.is_margined:
        rate = instrument.initial_margin if initial else instrument.maintenance_margin
        return _times(abs(position.net_qty), rate)
    short = max(-position.net_qty, ZERO) * instrument.multiplier
    return _times(short * (SHORT_MARGIN if initial else SHORT_MAINTENANCE), mark(position.symbol))


def _times(quantity: Decimal, rate: Decimal | None) -> Money | None:
    """Multiply, where nothing of something unknown is nothing."""
    if quantity == ZERO:
        return ZERO
    return None if rate is None else quantity * rate


def _total(amounts: Iterable[Money | None]) -> Money | None:
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
