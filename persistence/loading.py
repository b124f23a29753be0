"""What a transaction locks and loads: of the accounts that it has locked, and of no others.

The number of statements does not grow with the number of accounts, orders or commands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection, Query
from persistence.limits import KnownLimits
from persistence.mapping import (
    ACCOUNTS,
    CANCEL_REJECTS,
    CLAIMS,
    COMMANDS,
    FILLS,
    ORDERS,
    POSITIONS,
    QUOTES,
)
from persistence.resting import load_judged
from persistence.scopes import take_turn
from persistence.within import pair_within, within
from trading.account import Account, TradingState
from trading.books import Books, ClaimKey, Wants
from trading.held import Held
from trading.ids import AccountID, InstrumentID, WireID
from trading.instrument import Catalogue
from trading.limits import Limits, LimitSet
from trading.quantity import Px
from trading.quote import LOOKBACK_NS, Quote

_ASKED, _SIBLING = tables.accounts.alias("asked"), tables.accounts.alias("sibling")
# Accounts of one owner must not trade with one another, so that they are locked together.
_OF_SAME_OWNER = sa.union(
    sa.select(_ASKED.c.id).where(within(_ASKED.c.id, "accounts")),
    sa.select(_SIBLING.c.id)
    .join(_ASKED, _SIBLING.c.owner == _ASKED.c.owner)
    .where(within(_ASKED.c.id, "accounts")),
)
# SQLite leaves FOR UPDATE out: there the lock was taken when the transaction began. No key is ever
# changed, and rows that refer to an account need not wait: NO KEY.
_LOCK = (
    ACCOUNTS.select()
    .where(tables.accounts.c.id.in_(_OF_SAME_OWNER))
    .order_by(tables.accounts.c.id)
    .with_for_update(key_share=True)
)
_CLAIMS = CLAIMS.select().where(
    pair_within(tables.cl_ord_ids.c.account_id, tables.cl_ord_ids.c.cl_ord_id, "keys")
)
_CANCEL_REJECTS = CANCEL_REJECTS.select().where(
    pair_within(tables.reports.c.account_id, tables.reports.c.seq, "keys")
)
_ORDERS = {
    "order_ids": within(tables.orders.c.id, "order_ids"),
    "wire_ids": within(tables.orders.c.wire_id, "wire_ids"),
    "accounts": within(tables.orders.c.account_id, "accounts") & tables.OPEN_ORDER,
}
_ORDER_HEADS = sa.select(tables.orders.c.id, tables.orders.c.last_seq).where(
    within(tables.orders.c.id, "order_ids")
)
_COMMANDS_NAMED = COMMANDS.select().where(within(tables.commands.c.wire_id, "wire_ids"))
_OPEN_COMMANDS = COMMANDS.select().where(
    within(tables.commands.c.order_id, "order_ids"), tables.OPEN_COMMAND
)
_FILLS = (
    FILLS.select().where(within(tables.fills.c.order_id, "order_ids")).order_by(tables.fills.c.seq)
)
_POSITIONS = POSITIONS.select().where(within(tables.positions.c.account_id, "accounts"))
_QUOTES = (
    QUOTES.select()
    .add_columns(tables.reference_prices.c.earlier_px, tables.reference_prices.c.earlier_at)
    .where(within(tables.reference_prices.c.symbol, "symbols"))
)
_SEEN = sa.select(tables.broker_events.c.key).where(within(tables.broker_events.c.key, "keys"))


def lock(connection: Connection, accounts: Collection[AccountID]) -> dict[AccountID, Account]:
    """Lock the rows of accounts, and of all with the same owner, in the order of their ids.

    Those that there are are read.
    """
    found = connection.items(ACCOUNTS, _LOCK, {"accounts": accounts})
    return {account.id: account for account in found}


def load(
    connection: Connection,
    catalogue: Catalogue,
    known: KnownLimits,
    locked: Mapping[AccountID, Account],
    wants: Wants,
) -> Books:
    """Read what was asked for, of the accounts that are locked."""
    books = Books(catalogue=catalogue)
    # In the order of their ids, as they were read: a set would have another one in each process.
    books.accounts = {each: locked[each] for each in locked if each in wants.accounts}
    _load_claims(connection, books, wants.cl_ord_ids)
    _take_held(connection, books, wants.held)
    _load_orders(connection, books, wants, books.accounts)
    _load_fills(connection, books, wants.fills_of)
    _load_positions(connection, books, wants, locked)
    if not (wants.readmits and all(map(_is_free, books.accounts.values()))):
        _load_exposure(connection, books, wants.symbols)
        _load_limits(connection, books, known)
    _load_seen_keys(connection, books, wants.broker_keys)
    if wants.states:
        books.states = take_turn(connection)
    return books


def _load_claims(connection: Connection, books: Books, keys: Collection[ClaimKey]) -> None:
    if not keys:
        return
    claims = connection.items(CLAIMS, _CLAIMS, {"keys": keys})
    books.claims = {(claim.account_id, claim.cl_ord_id): claim for claim in claims}
    refused = {(c.account_id, c.reject_seq) for c in claims if c.reject_seq is not None}
    if refused:
        rejects = connection.items(CANCEL_REJECTS, _CANCEL_REJECTS, {"keys": refused})
        books.cancel_rejects = {(each.account_id, each.seq): each for each in rejects}


def _is_free(account: Account) -> bool:
    return account.trading_state is TradingState.ACTIVE and not account.scoped_states


def _take_held(connection: Connection, books: Books, held: Mapping[WireID, Held]) -> None:
    """Take orders that the caller knows, where nothing was reported of them since."""
    known = {each.order.id: each for each in held.values()}
    if not known:
        return
    for row in connection.rows(_ORDER_HEADS, {"order_ids": known}):
        order, commands, fills = (each := known[row.id]).order, each.commands, each.fills
        if row.last_seq == order.last_seq and order.account_id in books.accounts:
            books.orders[order.id] = order
            books.commands.update((command.wire_id, command) for command in commands)
            books.fills[order.id] = list(fills)


def _load_orders(
    connection: Connection, books: Books, wants: Wants, locked: Collection[AccountID]
) -> None:
    taken = {each for each, held in wants.held.items() if held.order.id in books.orders}
    wire_ids = (wants.wire_ids | wants.fills_of) - taken
    if wire_ids:
        _load_commands(connection, books, _COMMANDS_NAMED, {"wire_ids": wire_ids}, locked)
    order_ids = wants.order_ids | {c.order_id for c in books.commands.values()}
    order_ids -= books.orders.keys()
    order_ids |= {c.order_id for c in books.claims.values() if c.order_id is not None}
    wanted = {"order_ids": order_ids, "wire_ids": wire_ids, "accounts": wants.open_orders_of}
    values = {name: ids for name, ids in wanted.items() if ids}
    if not values:
        return
    orders = connection.items(ORDERS, _orders_by(*values), values)
    # Left to the database, the choice of accounts would read their whole history.
    found = {order.id: order for order in orders if order.account_id in locked}
    books.orders |= found
    if found:
        _load_commands(connection, books, _OPEN_COMMANDS, {"order_ids": found}, locked)


@cache
def _orders_by(*names: str) -> Query:
    """Make the query for orders that are named in one of these ways, and no wider one."""
    return ORDERS.select().where(sa.or_(*(_ORDERS[name] for name in names)))


def _load_commands(
    connection: Connection,
    books: Books,
    query: Query,
    values: Mapping[str, Collection[str]],
    locked: Collection[AccountID],
) -> None:
    for command in connection.items(COMMANDS, query, values):
        if command.account_id in locked:
            books.commands[command.wire_id] = command


def _load_fills(connection: Connection, books: Books, wire_ids: Collection[WireID]) -> None:
    found = {order.id for wire in wire_ids if (order := books.order_of(wire)) is not None}
    if found := found - books.fills.keys():
        for fill in connection.items(FILLS, _FILLS, {"order_ids": found}):
            books.fills.setdefault(fill.order_id, []).append(fill)


def _load_positions(
    connection: Connection, books: Books, wants: Wants, locked: Mapping[AccountID, Account]
) -> None:
    if wants.judges:
        books.owners = {each: a.owner for each, a in locked.items() if a.owner is not None}
        symbols = wants.symbols | {order.symbol for order in books.orders.values()}
        load_judged(connection, books, books.accounts.keys() | books.owners.keys(), symbols)
        return
    held = connection.items(POSITIONS, _POSITIONS, {"accounts": books.accounts})
    books.positions = {(each.account_id, each.symbol): each for each in held}


def _load_exposure(connection: Connection, books: Books, symbols: Collection[InstrumentID]) -> None:
    if wanted := {*symbols, *(symbol for _, symbol in books.positions)}:
        for row in connection.rows(_QUOTES, {"symbols": wanted}):
            quote = QUOTES.item(row)
            books.references[quote.symbol] = quote
            if (px := _earlier(quote, row.earlier_px, row.earlier_at)) is not None:
                books.earlier[quote.symbol] = px


def _earlier(quote: Quote, px: Px | None, received_at: int | None) -> Px | None:
    """Return the reference of a minute ago; where the feed keeps none, its past begins now."""
    kept = received_at is not None and quote.received_at - received_at < 2 * LOOKBACK_NS
    return px if kept else quote.mid


def _load_limits(connection: Connection, books: Books, known: KnownLimits) -> None:
    # Read under the accounts' locks: who changes limits waits for those who may have read earlier.
    limits = known.read(connection) if books.accounts else LimitSet()
    books.limits = {
        each.id: Limits.of(each, limits, books.catalogue) for each in books.accounts.values()
    }


def _load_seen_keys(connection: Connection, books: Books, keys: Collection[str]) -> None:
    if keys:
        books.seen_keys = {row.key for row in connection.rows(_SEEN, {"keys": keys})}
