"""Replay of recorded quotes from a CSV file, `ts,symbol,bid,bid_size,ask,ask_size`.

The whole file is checked before the first quote is given out, and read again as it plays, so that
a large one costs no memory.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from brokers.calendars import provide
from brokers.documents import DocumentError, Record, read_records
from brokers.instants import SECOND_NS, parse_instant
from brokers.instruments import instrument_of
from trading.instrument import UNLISTED, Instrument, SecurityType
from trading.ports import Clock, MarketClock
from trading.quantity import Px, Qty, parse
from trading.quote import Quote

_HEADER = "ts,symbol,bid,bid_size,ask,ask_size"
_SIZE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,25})?(e-[0-9]{1,2})?", re.ASCII | re.IGNORECASE)


class ReplayError(ValueError):
    """A file that cannot be replayed: which, the line, what is wrong, and what would be right."""


@dataclass(frozen=True, slots=True)
class _Row:
    ts: int
    symbol: str
    bid: Px | None
    bid_size: Qty | None
    ask: Px | None
    ask_size: Qty | None


class _ReplayClock:
    """The market's time: that of the newest quote, and of the first one before it."""

    def __init__(self, start: int) -> None:
        self.time = start

    def now(self) -> int:
        return self.time


class Replay:
    """A recorded market: every quote in its order, at a multiple of its own pace."""

    def __init__(self, path: Path, clock: Clock, speed: Decimal) -> None:
        """Check a file. A speed of 0 plays it as fast as it is consumed. Raises ReplayError."""
        self._path = path
        self._clock = clock
        self._speed = speed
        self._start, symbols = _check(path)
        self._listed = _instruments(path, symbols, self._start)
        self._market = _ReplayClock(self._start)

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the file, in the order in which it first names them."""
        return list(dict.fromkeys(self._listed.values()))

    @property
    def clock(self) -> MarketClock:
        """The market's time, which is the file's."""
        return self._market

    async def quotes(self) -> AsyncIterator[Quote]:
        """Yield the file's quotes. `received_at` is now, since that is what freshness counts."""
        began = self._clock.monotonic()
        for row in _rows(self._path):
            await self._clock.sleep(self._wait_s(row.ts, began))
            self._market.time = row.ts
            yield Quote(
                symbol=self._listed[row.symbol].id,
                bid=row.bid,
                bid_size=row.bid_size,
                ask=row.ask,
                ask_size=row.ask_size,
                time=row.ts,
                received_at=self._clock.now(),
                source="replay",
            )

    def _wait_s(self, ts: int, began: int) -> float:
        """Say how long until a row is due, which does not drift with the waits before it."""
        if not self._speed:
            return 0
        due = began + int((ts - self._start) / self._speed)
        return max(due - self._clock.monotonic(), 0) / SECOND_NS


def parse_speed(text: str) -> Decimal:
    """Read a speed: a multiple of real time, or `max` (or 0) for as fast as it is consumed.

    Raises ValueError.
    """
    if text == "max":
        return Decimal(0)
    try:
        speed = parse(text)
    except ValueError as error:
        raise ValueError(f"the speed {text!r} is {error}, and not max") from None
    if speed < 0:
        raise ValueError(f"the speed {text!r} is below zero")
    return speed


# --- the file ---


def _check(path: Path) -> tuple[int, Mapping[str, int]]:
    """Read a file to its end; return its first instant, and each symbol's first line."""
    start: int | None = None
    symbols: dict[str, int] = {}
    for number, row in enumerate(_rows(path), 2):
        start = row.ts if start is None else start
        symbols.setdefault(row.symbol, number)
    if start is None:
        raise ReplayError(f"{path} has no quotes: each line after the header is one")
    return start, symbols


def _rows(path: Path) -> Iterator[_Row]:
    """Read a file row by row. Raises ReplayError at the first that is wrong."""
    try:
        with path.open("rb") as file:
            if (header := file.readline().removeprefix(b"\xef\xbb\xbf")).strip() == b"":
                raise ReplayError(f"{path} is empty: its first line must be {_HEADER}")
            if header.rstrip(b"\r\n") != _HEADER.encode():
                raise ReplayError(f"{path}, line 1: the header must be {_HEADER}")
            row = None
            for number, line in enumerate(file, 2):
                try:
                    row = _row(line, row)
                except ValueError as error:
                    raise ReplayError(f"{path}, line {number}: {error}") from None
                yield row
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror}") from None


def _row(line: bytes, before: _Row | None) -> _Row:
    fields = line.decode("utf-8").rstrip("\r\n").split(",")
    if len(fields) != 6:
        raise ValueError(f"{len(fields)} fields where {_HEADER} are 6")
    ts, symbol, bid, bid_size, ask, ask_size = fields
    if not symbol or symbol != symbol.strip():
        raise ValueError(f"symbol is {symbol!r}")
    row = _Row(
        parse_instant(ts),
        symbol,
        _price("bid", bid),
        _size("bid_size", bid_size),
        _price("ask", ask),
        _size("ask_size", ask_size),
    )
    _check_sides(row)
    if before is not None and row.ts < before.ts:
        raise ValueError(f"time goes backwards: {ts} comes after a later instant")
    return row


def _check_sides(row: _Row) -> None:
    if row.bid is None and row.ask is None:
        raise ValueError("neither bid nor ask")
    for side, px, size in (("bid", row.bid, row.bid_size), ("ask", row.ask, row.ask_size)):
        if px is None and size is not None:
            raise ValueError(f"{side}_size without {side}")
    if row.bid is not None and row.ask is not None and row.bid > row.ask:
        raise ValueError(f"crossed quote: bid {row.bid} is above ask {row.ask}")


def _price(name: str, text: str) -> Px | None:
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name} {text!r} is {error}") from None


def _size(name: str, text: str) -> Qty | None:
    """Read a size, exactly: recorders of crypto write what binary floats print, such as `8e-06`."""
    if not text:
        return None
    if not _SIZE.fullmatch(text):
        raise ValueError(f"{name} {text!r} is not a number from zero, such as 12 or 0.5")
    return Decimal(text)


# --- its instruments ---


def _instruments(path: Path, symbols: Mapping[str, int], start: int) -> Mapping[str, Instrument]:
    """Define every symbol of a file: by the file beside it, else by the built-in catalogue."""
    beside = path.with_name(f"{path.stem}.instruments.json")
    given = _sidecar(beside, start)
    listed = {}
    for symbol, line in symbols.items():
        bare = symbol.partition("@")[0]
        instrument = given.get(symbol) or given.get(bare) or instrument_of(bare, start)
        if instrument is None or symbol not in {instrument.symbol, instrument.id}:
            raise ReplayError(
                f"{path}, line {line}: no instrument is known by the symbol {symbol}:"
                f" define it in {beside.name} in the same folder"
            )
        listed[symbol] = instrument
    return listed


def _sidecar(path: Path, at: int) -> Mapping[str, Instrument]:
    if not path.exists():
        return {}
    try:
        instruments = [_instrument(record, at) for record in read_records(path, "instruments")]
    except DocumentError as error:
        raise ReplayError(str(error)) from None
    return {name: each for each in instruments for name in (each.symbol, each.id)}


def _instrument(record: Record, at: int) -> Instrument:
    symbol = record.text("symbol")
    instrument = Instrument(
        symbol=symbol,
        mic=record.optional_text("mic") or UNLISTED,
        description=record.optional_text("description") or symbol,
        security_type=record.choice("security_type", SecurityType),
        currency=record.text("currency"),
        tick=record.decimal("tick"),
        lot=record.decimal("lot"),
        multiplier=record.optional_decimal("multiplier") or Decimal(1),
        calendar=record.optional_text("calendar") or "24/7",
        expiry=record.optional_instant("expiry"),
        initial_margin=record.optional_decimal("initial_margin"),
        maintenance_margin=record.optional_decimal("maintenance_margin"),
    )
    record.end()
    try:
        provide([instrument.calendar], at)
    except LookupError as error:
        raise record.error(str(error)) from None
    if instrument.is_margined and None in {
        instrument.initial_margin,
        instrument.maintenance_margin,
    }:
        raise record.error("a FUTURE needs an initial_margin and a maintenance_margin")
    return instrument
