"""Pages of long lists: Relay connections over keyset cursors."""

from collections.abc import Sequence
from dataclasses import dataclass

from schema.definition import AUTHENTICATED, field, noun
from schema.execution import OrderReport
from schema.instrument import Instrument
from schema.order import Order
from schema.scalar import Sequence as SequenceNumber
from trading.permission import Permission


@dataclass(frozen=True, slots=True)
class Edge[T]:
    """One item, and the cursor that stands after it."""

    cursor: str
    node: T


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a page begins and ends, and what lies beyond."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection[T]:
    """A page of a list, as of a sequence number."""

    edges: Sequence[Edge[T]]
    has_next_page: bool
    has_previous_page: bool
    as_of_seq: int = 0

    @property
    def nodes(self) -> Sequence[T]:
        """The items alone."""
        return [edge.node for edge in self.edges]

    @property
    def page_info(self) -> Ends:
        """The cursors of the first and the last item, and whether more follows."""
        return Ends(
            self.has_next_page,
            self.has_previous_page,
            self.edges[0].cursor if self.edges else None,
            self.edges[-1].cursor if self.edges else None,
        )


@noun("Where a page begins and ends.", requires=AUTHENTICATED, of=Ends)
class PageInfo:
    has_next_page: bool = field("Whether more follows; ask with `endCursor`.")
    has_previous_page: bool = field("Whether this page was asked for from a cursor.")
    start_cursor: str | None = field("The cursor of the first item; null on an empty page.")
    end_cursor: str | None = field("The cursor of the last item; null on an empty page.")


@noun("An order on a page.", requires=Permission.ORDERS_READ, of=Edge)
class OrderEdge:
    cursor: str = field("Opaque; `after` continues behind it.")
    node: Order = field("The order.")


@noun("Orders of an account, newest first.", requires=Permission.ORDERS_READ, of=Connection)
class OrderConnection:
    edges: list[OrderEdge] = field("The orders with their cursors.")
    nodes: list[Order] = field("The orders alone.")
    page_info: PageInfo = field("Where the page ends.")
    as_of_seq: SequenceNumber = field(
        "The account's newest report at the time of reading: subscribe to `orderReports` after it,"
        " and nothing is missed."
    )


@noun("A report on a page.", requires=Permission.ORDERS_READ, of=Edge)
class OrderReportEdge:
    cursor: str = field("The report's sequence number; `afterSeq` continues behind it.")
    node: OrderReport = field("The report.")


@noun("Reports of an account in sequence.", requires=Permission.ORDERS_READ, of=Connection)
class OrderReportConnection:
    edges: list[OrderReportEdge] = field("The reports with their cursors.")
    nodes: list[OrderReport] = field("The reports alone.")
    page_info: PageInfo = field("Where the page ends.")
    as_of_seq: SequenceNumber = field("The account's newest report at the time of reading.")


@noun("An instrument on a page.", requires=AUTHENTICATED, of=Edge)
class InstrumentEdge:
    cursor: str = field("Opaque; `after` continues behind it.")
    node: Instrument = field("The instrument.")


@noun("Instruments in the order of their ids.", requires=AUTHENTICATED, of=Connection)
class InstrumentConnection:
    edges: list[InstrumentEdge] = field("The instruments with their cursors.")
    nodes: list[Instrument] = field("The instruments alone.")
    page_info: PageInfo = field("Where the page ends.")
