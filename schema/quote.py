"""Quotes."""

from decimal import Decimal

import trading.quote
from schema.definition import field, noun
from schema.instrument import Instrument, instrument_of
from schema.scalar import Instant
from trading.permission import Permission


@noun(
    "The best bid and offer of an instrument, and its last trade.",
    requires=Permission.QUOTES_READ,
    of=trading.quote.Quote,
)
class Quote:
    symbol: str = field("The instrument, as `symbol@MIC`.")
    instrument: Instrument | None = field("Its definition.", resolver=instrument_of)
    bid: Decimal | None = field("The best bid; null where nobody bids.")
    bid_size: Decimal | None = field("The quantity bid; null where it is not shown.")
    ask: Decimal | None = field("The best offer; null where nobody offers.")
    ask_size: Decimal | None = field("The quantity offered; null where it is not shown.")
    mid: Decimal | None = field("Halfway between bid and ask, or the one side that is there.")
    last: Decimal | None = field("The price of the last trade.")
    last_size: Decimal | None = field("The quantity of the last trade.")
    time: Instant = field("When the market says that it was.")
    received_at: Instant = field("When it reached this gateway: freshness counts from here.")
    delayed: bool = field("Whether the source delivers late by agreement.")
    source: str = field("Where it comes from.")
