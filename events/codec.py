"""The messages that cross the bus, as versioned JSON, written once for readers in any language.

Every message is an object with `v`, the version, and `kind`, which is also its channel:

    {"v": 2, "kind": "reports", "batches": [{"account_id": "…", "reports": [{"type": …}, …]}, …]}
    {"v": 2, "kind": "quotes",  "quotes": [{"symbol": "AAPL@XNAS", "bid": "189.99", …}, …]}
    {"v": 2, "kind": "states",  "changes": [{"account_id": "…", "state": "HALTED", …}, …]}
    {"v": 2, "kind": "rings",   "accounts": ["…", …], "brokers": ["paper", …]}

- `reports` carries what commits recorded: of each account, reports with consecutive `seq`, of the
  `type` ExecutionReport(35=8) or OrderCancelReject(35=9). `quotes` is a conflated frame: the
  newest quote of each symbol in it. `states` carries changes of trading state. `rings` passes
  between our own processes: look into the outbox of these accounts, the ledger of these brokers.
- The members of an item are the attributes of the class of that name in `trading`.
- Decimals are strings of plain digits, never numbers. Instants are UTC nanoseconds and sequence
  numbers are counts, both integers of up to 64 bits: beyond what a double holds. Enum members are
  strings, their FIX names. What is absent is null; no member is ever left out.
- A member may be added under the same version, and readers ignore those that they do not know.
  Anything else that changes takes a new version.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique
from functools import partial
from typing import ClassVar

import orjson

from trading import ids, order, quantity, reject
from trading.control import TradingStateChange
from trading.execution import ExecutionReport, OrderCancelReject, Report
from trading.ids import AccountID
from trading.quantity import parse, plain
from trading.quote import Quote

VERSION = 2

_INTEGERS = 1 << 63


@unique
class Channel(StrEnum):
    """The channels of the bus; each carries one kind of message."""

    REPORTS = "reports"
    QUOTES = "quotes"
    STATES = "states"
    RINGS = "rings"


class Unreadable(ValueError):
    """A message is not what this version writes; it says which member, and why."""


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """What was recorded of one account: at least one report, with consecutive `seq`."""

    account_id: AccountID
    reports: tuple[Report, ...]

    def __post_init__(self) -> None:
        """Raise ValueError where the reports are none, of another account, or leave a gap."""
        if not self.reports:
            raise ValueError("reports is empty")
        for expected, report in enumerate(self.reports, self.reports[0].seq):
            if report.account_id != self.account_id:
                raise ValueError(f"reports has one of account {report.account_id}")
            if report.seq != expected:
                raise ValueError(f"reports has seq {report.seq} in the place of {expected}")

    @property
    def last_seq(self) -> int:
        """The sequence number of the newest report."""
        return self.reports[-1].seq


@dataclass(frozen=True, slots=True)
class Reports:
    """What commits recorded, of each account once."""

    channel: ClassVar[Channel] = Channel.REPORTS
    batches: tuple[ReportBatch, ...]


@dataclass(frozen=True, slots=True)
class QuoteFrame:
    """The newest quotes of some symbols, each symbol once."""

    channel: ClassVar[Channel] = Channel.QUOTES
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class StateChanges:
    """Changes of trading state that one commit made. It is news: the store has them in order."""

    channel: ClassVar[Channel] = Channel.STATES
    changes: tuple[TradingStateChange, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """A doorbell: these accounts have new reports, the sessions of these brokers new commands."""

    channel: ClassVar[Channel] = Channel.RINGS
    accounts: tuple[AccountID, ...] = ()
    brokers: tuple[str, ...] = ()


type Message = Reports | QuoteFrame | StateChanges | Ring


def encode(message: Message) -> bytes:
    """Write a message."""
    head = {"v": VERSION, "kind": message.channel}
    return orjson.dumps(head | _body(message), default=_text)


def _body(message: Message) -> dict[str, object]:
    match message:
        case Reports(batches):
            return {"batches": [_batch_body(batch) for batch in batches]}
        case QuoteFrame(quotes):
            return {"quotes": quotes}
        case StateChanges(changes):
            return {"changes": changes}
        case Ring(accounts, brokers):
            return {"accounts": accounts, "brokers": brokers}


def _batch_body(batch: ReportBatch) -> dict[str, object]:
    reports = [_tagged(report) for report in batch.reports]
    return {"account_id": batch.account_id, "reports": reports}


def decode(data: bytes | str, is_wanted: Callable[[AccountID], bool] = lambda _: True) -> Message:
    """Read a message, of reports those whose accounts are wanted. Raises Unreadable."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from None
    message = _object(value, "the message")
    if (version := message.get("v")) != VERSION:
        raise Unreadable(f"v is {version!r}, and this reader knows {VERSION}")
    try:
        return _message(message, is_wanted)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _message(message: Mapping[str, object], is_wanted: Callable[[AccountID], bool]) -> Message:
    match kind := message.get("kind"):
        case Channel.REPORTS:
            batches = _items(message, "batches", partial(_batch, is_wanted))
            if not batches:
                raise Unreadable("batches is empty")
            return Reports(tuple(batch for batch in batches if batch is not None))
        case Channel.QUOTES:
            return QuoteFrame(tuple(_items(message, "quotes", _quote)))
        case Channel.STATES:
            return StateChanges(tuple(_items(message, "changes", _state_change)))
        case Channel.RINGS:
            accounts = tuple(map(AccountID, _items(message, "accounts", _text_of)))
            return Ring(accounts, tuple(_items(message, "brokers", _text_of)))
        case _:
            raise Unreadable(f"kind is {kind!r}, which is none of {', '.join(Channel)}")


def _batch(is_wanted: Callable[[AccountID], bool], value: object, path: str) -> ReportBatch | None:
    """Read a batch, or nothing of one that nobody wants: most of the work is in its reports."""
    batch = _object(value, path)
    account_id = AccountID(_text_of(batch.get("account_id"), f"{path}.account_id"))
    if not is_wanted(account_id):
        return None
    try:
        return ReportBatch(account_id, tuple(_items(batch, "reports", _report)))
    except ValueError as error:
        raise Unreadable(f"{path}.{error}") from None


def _tagged(report: Report) -> dict[str, object]:
    members = {name: getattr(report, name) for name in report.__dataclass_fields__}
    return {"type": type(report).__name__} | members


def _text(value: object) -> str:
    # orjson writes dataclasses, enums and integers by itself, and asks for the rest.
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"{type(value).__name__} has no form on the bus")


# --- reading -------------------------------------------------------------------------------------

type _Reader[T] = Callable[[object, str], T]

_NAMES: dict[str, object] = {**vars(ids), **vars(quantity), **vars(reject), **vars(order)}


def _report(value: object, path: str) -> Report:
    match kind := _object(value, path).get("type"):
        case "ExecutionReport":
            return _execution_report(value, path)
        case "OrderCancelReject":
            return _order_cancel_reject(value, path)
        case _:
            raise Unreadable(f"{path}.type is {kind!r}, which is no report")


def _items[T](message: Mapping[str, object], name: str, read: _Reader[T]) -> Sequence[T]:
    values = message.get(name)
    if not isinstance(values, list):
        raise Unreadable(f"{name} is not a list")
    return [read(value, f"{name}[{at}]") for at, value in enumerate(values)]


def _reader[T](kind: type[T]) -> _Reader[T]:
    """Make the reader of a dataclass from its annotations."""
    # `trading.execution` names some types for the type checker alone, so they are given here.
    hints = typing.get_type_hints(kind, localns=_NAMES)
    readers = tuple((name, _reader_of(hint)) for name, hint in hints.items())

    def read(value: object, path: str) -> T:
        members = _object(value, path)
        try:
            return kind(**{name: read(members[name], name) for name, read in readers})
        except KeyError as missing:
            raise Unreadable(f"{path}.{missing.args[0]} is missing") from None
        except ValueError as error:
            raise Unreadable(f"{path}.{error}") from None

    return read


def _reader_of(hint: object) -> _Reader[object]:
    match hint:
        case typing.NewType():
            return _reader_of(hint.__supertype__)
        case typing.TypeAliasType():
            return _reader_of(hint.__value__)
        case _ if types.NoneType in (kinds := typing.get_args(hint)):
            return _or_null(_reader_of(kinds[0]))
        case type() if issubclass(hint, StrEnum):
            return _member_of(hint)
        case type():
            return _SCALARS[hint]
        case _:
            raise TypeError(f"{hint!r} has no form on the bus")


def _or_null(read: _Reader[object]) -> _Reader[object]:
    return lambda value, path: None if value is None else read(value, path)


def _member_of(kind: type[StrEnum]) -> _Reader[object]:
    def read(value: object, path: str) -> StrEnum:
        try:
            return kind(_text_of(value, path))
        except ValueError:
            raise Unreadable(f"{path} is {value!r}, which is no {kind.__name__}") from None

    return read


def _object(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Unreadable(f"{path} is not an object")
    return value


def _text_of(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"{path} is not a string")
    return value


def _integer(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(f"{path} is not an integer")
    if not -_INTEGERS <= value < _INTEGERS:
        raise Unreadable(f"{path} has more than 64 bits")
    return value


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"{path} is not true or false")
    return value


def _decimal(value: object, path: str) -> Decimal:
    text = _text_of(value, path)
    try:
        return parse(text)
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from None


_SCALARS: Mapping[type, _Reader[object]] = {
    str: _text_of,
    int: _integer,
    bool: _boolean,
    Decimal: _decimal,
}

_execution_report = _reader(ExecutionReport)
_order_cancel_reject = _reader(OrderCancelReject)
_quote = _reader(Quote)
_state_change = _reader(TradingStateChange)
