"""Checks that our books and the exchange's agree, from what both have written down alone.

It reads the store and the exchange's journal, asks no gateway, and says everything that is wrong:

    python -m tests.faults.checker --database-url postgresql://… --journal FILE
        [--opening equity=1000000]… [--stream FILE]…

A stream is a file of what a subscriber received from the first report on, one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from schema.scalar import write_instant
from tests.faults.evidence import Market, Records, executions, read_store, traded
from trading.command import Command, CommandKind, CommandState
from trading.execution import ExecType, Fill, OrderCancelReject, Origin, Report
from trading.ids import AccountID, InstrumentID, OrderID
from trading.order import Order, OrdStatus, Side
from trading.quantity import ONE, ZERO, Money, Qty, plain, use_exact_arithmetic
from trading.reject import RejectedBy

SEEDED = {AccountID("equity"): Decimal(1_000_000), AccountID("futures"): Decimal(250_000)}
_UNANSWERED = {ExecType.PENDING_NEW, ExecType.PENDING_CANCEL, ExecType.PENDING_REPLACE}

type Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Both sides, the cash that accounts began with, and what subscribers received, by account."""

    records: Records
    market: Market
    opening: Mapping[AccountID, Money]
    streams: Sequence[Sequence[Item]] = ()


def unrest(case: Case) -> Iterator[str]:
    """Say what is still under way, and must come to an end before anything can be compared."""
    records, market = case.records, case.market
    for command in records.commands:
        if command.state.is_open:
            yield f"the {command.kind} {command.cl_ord_id} is {command.state}"
    for order in records.orders:
        if order.in_doubt or order.ord_status.startswith("PENDING_"):
            yield f"the order {order.cl_ord_id} is {order.ord_status}, in doubt: {order.in_doubt}"
        elif order.is_open and not order.ord_type.has_price and not order.ord_type.has_stop_px:
            yield f"the market order {order.cl_ord_id} is {order.ord_status}"
    if records.heard < market.ledger.number:
        yield f"{records.heard} events are recorded of the exchange's {market.ledger.number}"
    if records.unpublished:
        yield f"{records.unpublished} rows of the outbox are not published"


def one_broker_order_per_chain(case: Case) -> Iterator[str]:
    """At most one order at the exchange for each of ours, and none there that is not ours."""
    ours = {order.wire_id: order.id for order in case.records.orders}
    chains = {command.wire_id: command.order_id for command in case.records.commands}
    for wire_id, count in case.market.asked.items():
        if count > 1:
            yield f"the exchange was asked {count} times for {wire_id}"
        if wire_id not in ours:
            yield f"the exchange has {wire_id}, which is no order of ours"
    live = Counter(
        chains.get(order.wire_id) for order in case.market.ledger.orders.values() if order.is_open
    )
    for order_id, count in live.items():
        if order_id is not None and count > 1:
            yield f"the order {order_id} has {count} live orders at the exchange"


def orders_agree(case: Case) -> Iterator[str]:
    """Each order stands as it does at the exchange, or never got there and says so."""
    for order in case.records.orders:
        theirs = case.market.ledger.orders.get(order.wire_id)
        if theirs is None:
            if order.is_open or order.cum_qty or not _never_sent(order):
                yield f"{_name(order)} is {order.status}, and the exchange never had it"
            continue
        for what, mine, its in (
            ("is open", order.is_open, theirs.is_open),
            ("has the id", order.secondary_order_id, theirs.order_id),
            ("has filled", order.cum_qty, theirs.cum_qty),
            ("has traded for", order.cum_value, theirs.cum_value),
            ("is for", order.order_qty, theirs.order_qty),
            ("is at", order.price, theirs.price),
        ):
            if mine != its:
                yield f"{_name(order)} {what}: {mine} here, {its} at the exchange"


def _never_sent(order: Order) -> bool:
    rejected = order.status is OrdStatus.REJECTED and order.rejected_by is RejectedBy.GATEWAY
    return rejected or order.status is OrdStatus.CANCELED


def fills_agree(case: Case) -> Iterator[str]:
    """Each fill of the exchange is here once, as it was; their sum is cumQty, on both sides."""
    ours: Counter[object] = Counter(
        (fill.exec_id, fill.exec_type, fill.side, fill.last_qty, fill.last_px)
        for fill in case.records.fills
    )
    orders = case.market.ledger.orders
    theirs: Counter[object] = Counter(
        (each.exec_id, each.exec_type, orders[each.wire_id].side, each.last_qty, each.last_px)
        for each in case.market.fills
    )
    for what, count in (ours - theirs).items():
        yield f"the fill {what} is here {count} times more than at the exchange"
    for what, count in (theirs - ours).items():
        yield f"the fill {what} is at the exchange {count} times more than here"
    yield from (
        f"the fill {fill.exec_id} is a guess of reconciliation"
        for fill in case.records.fills
        if fill.origin is not Origin.BROKER
    )
    sums: dict[OrderID, Qty] = defaultdict(Decimal)
    for fill, qty, _ in _effects(case.records.fills):
        sums[fill.order_id] += qty * fill.side.sign
    for order in case.records.orders:
        if sums[order.id] != order.cum_qty:
            yield f"{_name(order)} has cumQty {order.cum_qty}, and fills of {sums[order.id]}"


def _effects(fills: Sequence[Fill]) -> Iterator[tuple[Fill, Qty, Money]]:
    """Return the signed quantity by which each fill moves a position, and its value."""
    by_id = {(fill.account_id, fill.exec_id): fill for fill in fills}
    for fill in fills:
        sign, qty, value = fill.side.sign, ZERO, ZERO
        undone = by_id.get((fill.account_id, fill.exec_ref_id)) if fill.exec_ref_id else None
        if undone is not None:
            qty, value = -undone.last_qty, -undone.last_qty * undone.last_px
        if fill.exec_type is not ExecType.TRADE_CANCEL:
            qty, value = qty + fill.last_qty, value + fill.last_qty * fill.last_px
        yield fill, sign * qty, sign * value


def positions_and_cash_agree(case: Case) -> Iterator[str]:
    """Positions are the sum of fills, here and there; cash is what fills have moved."""
    records = case.records
    qty: dict[tuple[AccountID, InstrumentID], Qty] = defaultdict(Decimal)
    value: dict[tuple[AccountID, InstrumentID], Money] = defaultdict(Decimal)
    for fill, moved, worth in _effects(records.fills):
        qty[fill.account_id, fill.symbol] += moved
        value[fill.account_id, fill.symbol] += worth
    held = {(each.account_id, each.symbol): each for each in records.positions}
    cash = dict(case.opening)
    for key in sorted(qty.keys() | held.keys() | case.market.ledger.positions.keys()):
        mine = held[key].net_qty if key in held else ZERO
        theirs = case.market.ledger.positions.get(key, ZERO)
        if not mine == qty[key] == theirs:
            yield f"the position {key} is {mine}, {qty[key]} by its fills, {theirs} there"
        if key not in held:
            continue
        instrument = records.instruments[key[1]]
        # What is neither paid for nor realized is what the position stands at.
        realized = (held[key].cost - value[key]) * instrument.multiplier
        if realized != held[key].realized_pnl:
            yield f"the position {key} has gained {held[key].realized_pnl}, by its fills {realized}"
        paid = realized if instrument.is_margined else -value[key] * instrument.multiplier
        cash[key[0]] = cash.get(key[0], ZERO) + paid
    for account in records.accounts.values():
        if cash.get(account.id, ZERO) != account.cash:
            yield f"{account.id} has cash {account.cash}, by its fills {cash.get(account.id)}"


def reservations_are_exact(case: Case) -> Iterator[str]:
    """Accounts and positions reserve what their open orders may still trade, and no more."""
    records = case.records
    count: Counter[AccountID] = Counter()
    held: dict[tuple[AccountID, InstrumentID, Side], tuple[Qty, Money]] = {}
    for order in records.orders:
        if not order.is_open:
            continue
        count[order.account_id] += 1
        instrument = records.instruments.get(order.symbol)
        left = order.order_qty - order.cum_qty
        worth = left * order.reserve_px * (instrument.multiplier if instrument else ONE)
        key = order.account_id, order.symbol, order.side
        qty, notional = held.get(key, (ZERO, ZERO))
        held[key] = qty + left, notional + worth
    for account in records.accounts.values():
        if account.open_orders != count[account.id]:
            yield f"{account.id} counts {account.open_orders} open orders of {count[account.id]}"
    for position in records.positions:
        for side, reserved in (
            (Side.BUY, (position.open_buy_qty, position.open_buy_notional)),
            (Side.SELL, (position.open_sell_qty, position.open_sell_notional)),
        ):
            due = held.pop((position.account_id, position.symbol, side), (ZERO, ZERO))
            if reserved != due:
                yield f"{position.account_id} reserves {reserved} of {position.symbol}, not {due}"
    yield from (f"nothing is reserved for {key}: {due}" for key, due in held.items())


def sequences_have_no_gap(case: Case) -> Iterator[str]:
    """Each account's reports are numbered 1, 2, … to its head, and tell its orders' states."""
    records = case.records
    logs = {key: list(log) for key, log in groupby(records.reports, lambda each: each.account_id)}
    for account in records.accounts.values():
        numbers = [report.seq for report in logs.get(account.id, [])]
        if numbers != list(range(1, account.last_seq + 1)):
            yield f"{account.id} is at {account.last_seq}, and its reports are {numbers}"
    told = {(each.account_id, each.seq): each for each in executions(records)}
    for fill in records.fills:
        report = told.get((fill.account_id, fill.seq))
        if report is None or (report.exec_id, report.last_qty) != (fill.exec_id, fill.last_qty):
            yield f"the fill {fill.exec_id} is not what report {fill.seq} tells"
    last = {report.order_id: report for report in executions(records)}
    for order in records.orders:
        final = last.get(order.id)
        if final is None or final.cum_qty != order.cum_qty or final.leaves_qty != order.leaves_qty:
            yield f"{_name(order)} is not as its last report tells: {final}"


def every_command_was_answered(case: Case) -> Iterator[str]:
    """What was accepted is settled, and a report names the ClOrdID and says how."""
    records = case.records
    answers = {
        (report.account_id, report.cl_ord_id)
        for report in records.reports
        if isinstance(report, OrderCancelReject) or report.exec_type not in _UNANSWERED
    }
    # An order that was canceled before it was sent has no other answer than that.
    withdrawn = {
        (report.account_id, report.orig_cl_ord_id)
        for report in executions(records)
        if report.exec_type is ExecType.CANCELED
    }
    for command in records.commands:
        if command.state.is_open:
            yield f"the {command.kind} {command.cl_ord_id} is {command.state}"
        elif (command.account_id, command.cl_ord_id) not in (
            withdrawn if _was_withdrawn(command) else answers
        ):
            yield f"no report answers the {command.kind} {command.cl_ord_id}: {command.state}"
    sent = {(each.account_id, each.cl_ord_id) for each in records.commands}
    for claim in records.claims:
        key = claim.account_id, claim.cl_ord_id
        if key not in sent | answers and claim.kind != "CancelAllOrders":
            yield f"nothing came of the {claim.kind} {claim.cl_ord_id}"


def _was_withdrawn(command: Command) -> bool:
    return command.kind is CommandKind.NEW and command.state is CommandState.SUPERSEDED


def owners_kept_to_their_turn(case: Case) -> Iterator[str]:
    """No command was sent under a lease that had not been given yet, or twice without a reason."""
    records = case.records
    for command in records.commands:
        fence = records.accounts[command.account_id].fence
        if records.epoch is not None and not command.epoch <= fence <= records.epoch:
            yield (
                f"the {command.kind} {command.cl_ord_id} was sent under {command.epoch}, where the"
                f" account is fenced at {fence} and the lease at {records.epoch}"
            )
        # An emergency cancel leaves under no lease at all.
        if not command.epoch and command.attempt and command.kind is not CommandKind.CANCEL:
            yield f"the {command.kind} {command.cl_ord_id} was sent without a lease"
        if _was_withdrawn(command) and case.market.asked[command.wire_id]:
            yield f"the order {command.cl_ord_id} was withdrawn, and is at the exchange"


def nothing_is_left_to_explain(case: Case) -> Iterator[str]:
    """No break was raised: what happened here is nothing that the exchange did wrong."""
    for each in case.records.breaks:
        yield f"{each.kind} of {each.order_id} of {each.account_id}: {each.detail}"


def streams_equal_the_log(case: Case) -> Iterator[str]:
    """What a subscriber received is its account's log from the first report on, field by field."""
    for number, stream in enumerate(case.streams, 1):
        account = stream[0]["accountId"] if stream else None
        log = [told(each) for each in case.records.reports if each.account_id == account]
        if len(stream) != len(log):
            yield f"stream {number} of {account} has {len(stream)} items of {len(log)} in the log"
        for got, said in zip(stream, log, strict=False):
            if got != said:
                yield f"stream {number} of {account}: received {got}, where the log has {said}"
                break


def told(report: Report) -> dict[str, Any]:
    """Write a report as a subscriber receives it who asks for all of its plain fields."""
    values = {each.name: getattr(report, each.name) for each in fields(report)}
    del values["tenant_id"]
    return {camel(name): _plain(name, value) for name, value in values.items()} | {
        "__typename": type(report).__name__
    }


def _plain(name: str, value: object) -> object:
    match value:
        case bool() | None:
            return value
        case Decimal():
            return plain(value)
        case int():
            return write_instant(value) if name.endswith("_time") else str(value)
        case _:
            return str(value)


def camel(name: str) -> str:
    """Write a name as GraphQL does."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _name(order: Order) -> str:
    return f"the order {order.cl_ord_id} ({order.wire_id})"


CHECKS: Sequence[Callable[[Case], Iterator[str]]] = (
    unrest,
    one_broker_order_per_chain,
    orders_agree,
    fills_agree,
    positions_and_cash_agree,
    reservations_are_exact,
    sequences_have_no_gap,
    every_command_was_answered,
    owners_kept_to_their_turn,
    nothing_is_left_to_explain,
    streams_equal_the_log,
)


def violations(case: Case) -> list[str]:
    """Return everything that is wrong, each with the check that found it."""
    return [f"{check.__name__}: {wrong}" for check in CHECKS for wrong in check(case)]


async def gathered(
    database_url: str,
    journal: Path,
    opening: Mapping[AccountID, Money] | None = None,
    streams: Sequence[Sequence[Item]] = (),
) -> Case:
    """Read both sides."""
    return Case(
        records=await read_store(database_url),
        market=traded(journal),
        opening=SEEDED if opening is None else opening,
        streams=streams,
    )


def _opening(text: str) -> tuple[AccountID, Money]:
    account, _, money = text.partition("=")
    return AccountID(account), Decimal(money)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was looked at and what is wrong; return 1 if anything is."""
    parser = argparse.ArgumentParser(description="Check that our books and the exchange's agree.")
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--journal", required=True, type=Path)
    parser.add_argument("--opening", action="append", type=_opening, metavar="ACCOUNT=CASH")
    parser.add_argument("--stream", action="append", type=Path, default=[], metavar="FILE")
    options = parser.parse_args(arguments)
    use_exact_arithmetic()
    streams = [[json.loads(line) for line in file.open()] for file in options.stream]
    opening = dict(options.opening) if options.opening else None
    case = asyncio.run(gathered(options.database_url, options.journal, opening, streams))
    found = violations(case)
    records, ledger = case.records, case.market.ledger
    print(  # noqa: T201 - it is what it is for
        f"{len(records.orders)} orders, {len(records.commands)} commands,"
        f" {len(records.reports)} reports and {len(records.fills)} fills here;"
        f" {len(ledger.orders)} orders and {ledger.number} events at the exchange;"
        f" {len(streams)} streams"
    )
    print("\n".join(found) or f"All {len(CHECKS)} checks hold.")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
