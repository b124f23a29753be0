"""Tables of what can be traded, and of the prices that risk relies on."""

import sqlalchemy as sa

from persistence.columns import FLAG, ID, INSTANT, TEXT, Exact, OneOf
from persistence.tables.base import ROOM_TO_CHANGE, column, key, metadata, optional
from trading.instrument import SecurityType

instruments = sa.Table(
    "instruments",
    metadata,
    key("symbol", ID),
    key("mic", ID),
    column("description", TEXT),
    column("security_type", OneOf(SecurityType)),
    column("currency", TEXT),
    column("tick", Exact()),
    column("lot", Exact()),
    column("multiplier", Exact()),
    column("calendar", TEXT),
    optional("expiry", INSTANT),
    optional("initial_margin", Exact()),
    optional("maintenance_margin", Exact()),
    optional("shortable", FLAG),
)

reference_prices = sa.Table(
    "reference_prices",
    metadata,
    key("symbol", ID),
    optional("bid", Exact()),
    optional("bid_size", Exact()),
    optional("ask", Exact()),
    optional("ask_size", Exact()),
    optional("last", Exact()),
    optional("last_size", Exact()),
    column("time", INSTANT),
    column("received_at", INSTANT),
    column("source", TEXT),
    column("delayed", FLAG),
    optional("earlier_px", Exact()),
    optional("earlier_at", INSTANT),
    postgresql_with=ROOM_TO_CHANGE,
)

wanted_symbols = sa.Table(
    "wanted_symbols",
    metadata,
    key("symbol", ID),
    column("asked_at", INSTANT),
    postgresql_with=ROOM_TO_CHANGE,
)
