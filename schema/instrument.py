"""Instruments."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Protocol

import strawberry

import trading.instrument
import trading.quote
from schema.context import Info
from schema.definition import AUTHENTICATED, enum, field, noun
from schema.scalar import Instant
from trading.ids import InstrumentID

if TYPE_CHECKING:
    from schema.quote import Quote

enum(
    trading.instrument.SecurityType,
    "SecurityType(167), as far as it decides how a position is paid for.",
    COMMON_STOCK="A share, paid in full.",
    FUTURE="A future, margined and settled by its gains.",
    FX_SPOT="A currency pair at spot, paid in full.",
    CRYPTO_SPOT="A crypto asset at spot, paid in full.",
)


class HasSymbol(Protocol):
    """Anything that is in one instrument."""

    @property
    def symbol(self) -> InstrumentID:
        """The instrument's id."""


def instrument_of(
    holder: strawberry.Parent[HasSymbol], info: Info
) -> trading.instrument.Instrument | None:
    """Find the definition of the instrument that something is in."""
    return info.context.catalogue.get(holder.symbol)


def _quote(
    instrument: strawberry.Parent[trading.instrument.Instrument], info: Info
) -> trading.quote.Quote | None:
    return info.context.quotes.last(instrument.id)


@noun("One tradable contract.", requires=AUTHENTICATED, of=trading.instrument.Instrument)
class Instrument:
    id: strawberry.ID = field("The name under which it is known everywhere: `symbol@MIC`.")
    symbol: str = field("Symbol(55), without the market.")
    mic: str = field("The market, in ISO 10383; XXXX where it trades on no exchange.")
    description: str = field("What it is, for people.")
    security_type: trading.instrument.SecurityType = field("SecurityType(167).")
    currency: str = field("Currency(15) of price and value, in ISO 4217.")
    tick: Decimal = field("The step of prices.")
    lot: Decimal = field("The step of quantities.")
    multiplier: Decimal = field("The value of one point of price per unit of quantity.")
    calendar: str = field("The name of its session calendar.")
    expiry: Instant | None = field("When it stops trading; null where it never does.")
    initial_margin: Decimal | None = field("Money per contract that opening one takes.")
    maintenance_margin: Decimal | None = field("Money per contract that holding one takes.")
    shortable: bool | None = field(
        "False where it cannot be borrowed to be sold; null where nobody says so."
    )
    quote: Annotated["Quote", strawberry.lazy("schema.quote")] | None = field(
        "The newest quote; null before the first.", resolver=_quote
    )
