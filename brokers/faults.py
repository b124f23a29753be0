"""The fault script: what a simulated broker does wrong, and when; one list for every simulator.

It holds no behaviour: a simulator asks a run of the script what strikes now, and does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

from brokers.documents import Record, read_records
from trading.execution import ExecType
from trading.ids import InstrumentID
from trading.quantity import Px, Qty


@unique
class Operation(StrEnum):
    """What a fault strikes: a request, the delivery of an event, or a trade as it is made."""

    SUBMIT = "submit"
    REPLACE = "replace"
    CANCEL = "cancel"
    EVENT = "event"
    TRADE = "trade"


@unique
class FaultKind(StrEnum):
    """What goes wrong."""

    DROP_REQUEST = "drop_request"
    """The request is lost on its way; the sender is in doubt."""

    DROP_ANSWER = "drop_answer"
    """The request takes effect and its answer is lost; the sender is in doubt."""

    SERVER_ERROR = "server_error"
    """The request takes effect, and the answer is that the server has failed."""

    UNAUTHORIZED = "unauthorized"
    """The request is turned away, for its credential is not accepted."""

    RATE_LIMIT = "rate_limit"
    """The request is turned away, to be sent again after `retry_after_ms`."""

    DELAY = "delay"
    """The request, or the event, takes `delay_ms` longer."""

    FILL_BEFORE_ACK = "fill_before_ack"
    """The trades of the order are reported before its NEW, and the answer `delay_ms` after them."""

    DUPLICATE = "duplicate"
    """The event is delivered twice."""

    DISCONNECT = "disconnect"
    """The link breaks after the event, for `delay_ms`; nothing can be sent meanwhile."""

    TOKEN_EXPIRY = "token_expiry"  # noqa: S105 - the name of a fault
    """All access tokens expire after the event. Links that are open stay so, and tell no more."""

    EVICTION = "eviction"
    """After the event another log-in of the same user ends the session, and with it the link."""

    MAINTENANCE = "maintenance"
    """After the event the broker closes for maintenance, for `delay_ms`, and ends all links."""

    GAP = "gap"
    """The event is not delivered, and those after it are."""

    MUTE = "mute"
    """The event is not delivered, nor any after it on this link, which stays open."""

    UNKNOWN_STATUS = "unknown_status"
    """The event arrives as something that cannot be read."""

    TRADE_CANCEL = "trade_cancel"
    """The trade is canceled after `delay_ms`."""

    TRADE_CORRECT = "trade_correct"
    """The trade is corrected after `delay_ms`, to `last_qty`, `last_px` or both."""


_REQUESTS = frozenset({Operation.SUBMIT, Operation.REPLACE, Operation.CANCEL})
_EVENTS = frozenset({Operation.EVENT})
_TRADES = frozenset({Operation.TRADE})

BREAKS = (
    FaultKind.DISCONNECT,
    FaultKind.TOKEN_EXPIRY,
    FaultKind.EVICTION,
    FaultKind.MAINTENANCE,
)
"""What ends a link. For a broker that has no sessions, each is a link that breaks."""

STRIKES: Mapping[FaultKind, frozenset[Operation]] = {
    FaultKind.DROP_REQUEST: _REQUESTS,
    FaultKind.DROP_ANSWER: _REQUESTS,
    FaultKind.SERVER_ERROR: _REQUESTS,
    FaultKind.UNAUTHORIZED: _REQUESTS,
    FaultKind.RATE_LIMIT: _REQUESTS,
    FaultKind.DELAY: _REQUESTS | _EVENTS,
    FaultKind.FILL_BEFORE_ACK: frozenset({Operation.SUBMIT}),
    FaultKind.DUPLICATE: _EVENTS,
    **dict.fromkeys(BREAKS, _EVENTS),
    FaultKind.GAP: _EVENTS,
    FaultKind.MUTE: _EVENTS,
    FaultKind.UNKNOWN_STATUS: _EVENTS,
    FaultKind.TRADE_CANCEL: _TRADES,
    FaultKind.TRADE_CORRECT: _TRADES,
}
"""The operations that each kind of fault can strike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of the script: it strikes the nth of the operations it selects, or every nth.

    `symbol` is a `symbol@MIC`, and `exec_type` selects among events; None selects all. Durations
    are in milliseconds.
    """

    kind: FaultKind
    operation: Operation
    nth: int | None = None
    every: int | None = None
    symbol: InstrumentID | None = None
    exec_type: ExecType | None = None
    delay_ms: int = 0
    retry_after_ms: int = 1000
    last_qty: Qty | None = None
    last_px: Px | None = None

    def selects(
        self, operation: Operation, symbol: InstrumentID | None, exec_type: ExecType | None
    ) -> bool:
        """Tell whether an operation counts for this fault."""
        return (
            operation is self.operation
            and self.symbol in {None, symbol}
            and self.exec_type in {None, exec_type}
        )

    def strikes(self, count: int) -> bool:
        """Tell whether the operation of this count, from one, is struck."""
        return count == self.nth or (self.every is not None and count % self.every == 0)


@dataclass(frozen=True, slots=True)
class FaultScript:
    """All that goes wrong, as data."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def load(cls, path: Path) -> FaultScript:
        """Read a script from a JSON file, `{"faults": [{"kind": …, "operation": …, "nth": …}]}`.

        Raises DocumentError, which names the file, the entry and the field.
        """
        return cls(tuple(_fault(record) for record in read_records(path, "faults")))


class FaultRun:
    """A script as it runs: it counts the operations of one simulator."""

    def __init__(self, script: FaultScript) -> None:
        """Start to count."""
        self._counts = dict.fromkeys(range(len(script.faults)), 0)
        self._script = script

    def strike(
        self,
        operation: Operation,
        symbol: InstrumentID | None,
        exec_type: ExecType | None = None,
    ) -> Mapping[FaultKind, Fault]:
        """Count an operation, and return what strikes it: of each kind the first in the script."""
        struck: dict[FaultKind, Fault] = {}
        for index, fault in enumerate(self._script.faults):
            if fault.selects(operation, symbol, exec_type):
                self._counts[index] += 1
                if fault.strikes(self._counts[index]):
                    struck.setdefault(fault.kind, fault)
        return struck


def _fault(record: Record) -> Fault:
    kind = record.choice("kind", FaultKind)
    symbol = record.optional_text("symbol")
    fault = Fault(
        kind=kind,
        operation=record.choice("operation", Operation),
        nth=record.optional_integer("nth", least=1),
        every=record.optional_integer("every", least=1),
        symbol=None if symbol is None else InstrumentID(symbol),
        exec_type=record.optional_choice("exec_type", ExecType),
        delay_ms=record.integer("delay_ms", 0),
        retry_after_ms=record.integer("retry_after_ms", 1000),
        last_qty=record.optional_decimal("last_qty"),
        last_px=record.optional_decimal("last_px", positive=False),
    )
    record.end()
    if problem := _problem(fault):
        raise record.error(problem)
    return fault


def _problem(fault: Fault) -> str | None:
    if fault.operation not in STRIKES[fault.kind]:
        possible = ", ".join(sorted(STRIKES[fault.kind]))
        return f"operation must be one of {possible} for {fault.kind}, and is {fault.operation}"
    if (fault.nth is None) == (fault.every is None):
        return "exactly one of nth and every must be given"
    if fault.exec_type is not None and fault.operation is not Operation.EVENT:
        return "exec_type selects among events only"
    if fault.symbol is not None and "@" not in fault.symbol:
        return f'symbol must be a symbol@MIC, and is "{fault.symbol}"'
    corrects = fault.last_qty is not None or fault.last_px is not None
    if corrects != (fault.kind is FaultKind.TRADE_CORRECT):
        return "last_qty or last_px belongs to a trade_correct, which needs one of them"
    return None
