"""Reports and fills: the log of an account, read or followed."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import strawberry

import trading.execution
from resolvers import page
from resolvers.account import AccountArgument
from resolvers.context import Info
from resolvers.entitlement import visible
from resolvers.stream import Stream
from schema.definition import field, subscription
from schema.execution import Fill, OrderReport
from schema.page import Connection, OrderReportConnection
from schema.scalar import Sequence
from trading.outcome import CursorAhead
from trading.permission import Permission

FromNow = Annotated[
    Sequence | None,
    strawberry.argument(
        description=(
            "The last report that you have: those after it come first, then live ones, without a"
            " gap or a repeat. 0 is before the first; from now on, if left out."
        )
    ),
]


async def list_reports(
    info: Info,
    account_id: AccountArgument,
    after_seq: Annotated[
        Sequence | None,
        strawberry.argument(description="The report to continue behind; the first, if left out."),
    ] = None,
    first: page.First = None,
) -> Connection[trading.execution.Report]:
    """Page through an account's log. Raises BadUserInput, NotFound."""
    account = visible(info.context.caller, account_id)
    found = await info.context.reads.reports(
        account, after_seq or 0, page.size(first, info.context.rows)
    )
    return page.connection(found, lambda report: str(report.seq), continued=bool(after_seq))


async def watch_reports(
    info: Info, account_id: AccountArgument, after_seq: FromNow = None
) -> Stream[trading.execution.Report]:
    """Follow an account's log. Raises CursorAhead, NotFound."""
    return await _log(info, account_id, after_seq, lambda _: True)


async def watch_fills(
    info: Info, account_id: AccountArgument, after_seq: FromNow = None
) -> Stream[trading.execution.Report]:
    """Follow an account's fills. Raises CursorAhead, NotFound."""
    return await _log(info, account_id, after_seq, _is_fill)


async def _log(
    info: Info,
    account_id: str,
    after_seq: int | None,
    is_told: Callable[[trading.execution.Report], bool],
) -> Stream[trading.execution.Report]:
    account = visible(info.context.caller, account_id)
    reads, streams = info.context.reads, info.context.streams

    async def head() -> int:
        return (await reads.heads({account})).get(account, 0)

    # Asked here, so that the client is told before its stream begins.
    if after_seq and after_seq > (last := await head()):
        raise CursorAhead(f"afterSeq: {after_seq} is beyond the last report, {last}")
    return Stream(
        scope=account,
        follow=partial(streams.reports, account),
        after_seq=after_seq,
        head=head,
        is_told=is_told,
    )


def _is_fill(report: trading.execution.Report) -> bool:
    match report:
        case trading.execution.ExecutionReport():
            return report.exec_type.is_fill
        case trading.execution.OrderCancelReject():
            return False


@strawberry.type
class ExecutionQuery:
    order_reports: OrderReportConnection = field(
        "An account's reports in sequence.",
        requires=Permission.ORDERS_READ,
        resolver=list_reports,
    )


@strawberry.type
class ExecutionSubscription:
    order_reports: OrderReport = subscription(
        "An account's reports in sequence, without a gap or a repeat.",
        requires=Permission.ORDERS_READ,
        resolver=watch_reports,
    )
    fills: Fill = subscription(
        "An account's fills, out of its reports.",
        requires=Permission.ORDERS_READ,
        resolver=watch_fills,
    )
