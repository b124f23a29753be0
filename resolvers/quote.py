"""Quotes and instruments."""

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Annotated

import strawberry

import trading.instrument
import trading.quote
from resolvers import page
from resolvers.context import Info
from resolvers.stream import Stream
from schema.definition import field, subscription
from schema.instrument import Instrument
from schema.page import Connection, InstrumentConnection
from schema.quote import Quote
from trading.ids import InstrumentID
from trading.instrument import Catalogue, UnknownSymbol
from trading.outcome import BadUserInput, NotFound
from trading.permission import Permission
from trading.ports import Streams

SYMBOLS_MAX = 100

Symbols = Annotated[
    list[str],
    strawberry.argument(
        description=(
            f"1 to {SYMBOLS_MAX} instruments, each as `symbol@MIC`, or as the bare symbol where"
            " only one market has it."
        )
    ),
]


def resolve(catalogue: Catalogue, symbols: Sequence[str]) -> list[InstrumentID]:
    """Find the instruments of symbols, each once. Raises BadUserInput, NotFound."""
    if not 1 <= len(symbols) <= SYMBOLS_MAX:
        raise BadUserInput(f"symbols: name 1 to {SYMBOLS_MAX} of them, not {len(symbols)}")
    try:
        return list(dict.fromkeys(catalogue.resolve(symbol).id for symbol in symbols))
    except UnknownSymbol as error:
        raise NotFound(f"symbols: {error}") from None


async def list_quotes(info: Info, symbols: Symbols) -> Sequence[trading.quote.Quote]:
    """Return the newest quotes; before its first an instrument has none."""
    wanted = resolve(info.context.catalogue, symbols)
    quotes = (info.context.quotes.last(symbol) for symbol in wanted)
    return [quote for quote in quotes if quote is not None]


async def watch_quotes(info: Info, symbols: Symbols) -> Stream[trading.quote.Quote]:
    """Follow quotes. Raises BadUserInput, NotFound."""
    wanted, streams = resolve(info.context.catalogue, symbols), info.context.streams
    return _followed(streams, wanted, [_followed(streams, [symbol]) for symbol in wanted])


def _followed(
    streams: Streams,
    symbols: Sequence[InstrumentID],
    parts: Sequence[Stream[trading.quote.Quote]] = (),
) -> Stream[trading.quote.Quote]:
    return Stream(
        scope=tuple(symbols),
        follow=lambda _: streams.quotes(symbols),
        slot=attrgetter("symbol"),
        parts=parts,
    )


async def find_instrument(
    info: Info,
    symbol: Annotated[
        str,
        strawberry.argument(
            description="`symbol@MIC`, or the bare symbol where only one market has it."
        ),
    ],
) -> trading.instrument.Instrument | None:
    """Return an instrument, or None."""
    try:
        return info.context.catalogue.resolve(symbol)
    except UnknownSymbol:
        return None


async def list_instruments(
    info: Info,
    search: Annotated[
        str | None,
        strawberry.argument(description="Only those with this in their symbol or description."),
    ] = None,
    first: page.First = None,
    after: page.After = None,
) -> Connection[trading.instrument.Instrument]:
    """Page through the catalogue in the order of ids. Raises BadUserInput."""
    wanted, start = page.size(first, info.context.rows), page.key("instrument", after)
    found = list(islice(_search(info.context.catalogue, search, start), wanted + 1))
    return Connection(
        edges=page.edges(found[:wanted], lambda each: page.cursor("instrument", each.id)),
        has_next_page=len(found) > wanted,
        has_previous_page=start is not None,
    )


def _search(
    catalogue: Catalogue, search: str | None, after: str | None
) -> Iterator[trading.instrument.Instrument]:
    needle = (search or "").casefold()
    return (
        each
        for each in catalogue
        if (after is None or each.id > after)
        and (needle in each.id.casefold() or needle in each.description.casefold())
    )


@strawberry.type
class QuoteQuery:
    quotes: list[Quote] = field(
        "The newest quotes; an instrument that has none yet is left out.",
        requires=Permission.QUOTES_READ,
        resolver=list_quotes,
    )
    instrument: Instrument | None = field(
        "An instrument; null where none has this symbol, or several have.",
        requires=Permission.QUOTES_READ,
        resolver=find_instrument,
    )
    instruments: InstrumentConnection = field(
        "The instruments in the order of their ids.",
        requires=Permission.QUOTES_READ,
        resolver=list_instruments,
    )


@strawberry.type
class QuoteSubscription:
    quotes: Quote = subscription(
        "The newest quote of each instrument whenever it has changed, never a backlog.",
        requires=Permission.QUOTES_READ,
        resolver=watch_quotes,
    )
