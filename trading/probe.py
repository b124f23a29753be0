"""What happens on an order's way and how long it takes, for whoever traces: the core knows no tool.

A trace is named by an opaque `traceparent`. It comes with an operation, goes with the commands that
the operation gives, is recorded with them, and so is found again by whichever process goes on.
"""

from __future__ import annotations

from enum import StrEnum, unique
from types import TracebackType
from typing import Protocol, Self

from trading.books import Books
from trading.ids import OrderID


@unique
class Leg(StrEnum):
    """A part of the way: one span of a trace. The first three may begin a trace of their own."""

    REQUEST = "request"
    """A request over HTTP, from its head to its answer."""

    OPERATION = "operation"
    """An operation of a socket; a subscription until it is told all that its followers are."""

    EVENT = "event"
    """One event of a subscription, executed, encoded and told to all who follow."""

    DESK = "desk"
    """A command, from when it is queued until it is committed."""

    TRANSACTION = "transaction"
    """The transaction that a command shared with those of its batch."""

    SUBMIT = "submit"
    """A command on its way to the broker, until that has answered."""

    RECORD = "record"
    """What a broker said of an order, in the transaction that recorded it."""

    PUBLISH = "publish"
    """Reports of an order, from the outbox to the bus."""


class Span(Protocol):
    """One leg, under way. What is told of it are words and numbers of ours, and no client's."""

    @property
    def traceparent(self) -> str | None:
        """What comes of it carries this; None where nobody traces it."""

    def tell(self, **about: str | int) -> None:
        """Say more about it."""

    def end(self, **about: str | int) -> None:
        """Say that it is over. Said again, it is passed over."""

    def __enter__(self) -> Self:
        """Have it end with a block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """End it; its outcome is the code of an error that ends the block."""


class Probe(Protocol):
    """Hears of legs. It never blocks and never fails."""

    def begin(
        self, leg: Leg, parent: str | None = None, at: int | None = None, /, **about: str | int
    ) -> Span:
        """Hear that a leg of a trace has begun: now, or at an instant in UTC nanoseconds."""


class _NoSpan:
    """A leg that nobody traces."""

    __slots__ = ()

    traceparent = None

    def tell(self, **about: str | int) -> None:
        """Do nothing."""

    end = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _NoProbe:
    """Where nobody traces."""

    __slots__ = ()

    def begin(self, *_: object, **__: object) -> Span:
        return NO_SPAN


NO_SPAN: Span = _NoSpan()
NO_PROBE: Probe = _NoProbe()


def traces(books: Books) -> set[tuple[str, OrderID]]:
    """Return the traces that have commanded something of orders with new reports, and which."""
    reported = {report.order_id for report in books.new_reports}
    return {
        (command.traceparent, command.order_id)
        for command in books.commands.values()
        if command.traceparent is not None and command.order_id in reported
    }


def tell_recorded(probe: Probe, books: Books, at: int) -> None:
    """Tell of news that a transaction has recorded, once for each order and trace.

    Only of orders of which a command has moved on, or that have ended: others may trade for weeks.
    """
    if not (named := traces(books)):
        return  # as most often
    moved = {books.commands[each].order_id for each in books.changed_commands}
    for traceparent, order_id in named:
        order = books.orders[order_id]
        if order_id in moved or not order.is_open:
            reports = sum(report.order_id == order_id for report in books.new_reports)
            about: dict[str, str | int] = {"reports": reports, "outcome": order.status}
            probe.begin(Leg.RECORD, traceparent, at, **about).end()
