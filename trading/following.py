"""Accounts follow the trading states of their scopes: some at a time, each under its own lock."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import batched

from trading import ledger
from trading.account import Account, TradingState
from trading.books import Books, Wants
from trading.command import CommandKind, CommandState
from trading.control import ScopeState, TradingStateChange, TradingStates, subject_of
from trading.ids import AccountID
from trading.ports import Clock, Doorbell
from trading.reject import OrdRejReason
from trading.scope import Scope, ScopeKind
from trading.store import Store, StoreBusy

logger = logging.getLogger(__name__)

CHUNK = 64
"""How many accounts are locked at a time."""

_TRIES = 10
_PAUSE_S = 0.25


class Follower:
    """Puts the states of scopes on account rows, where risk reads them, and empties their queues.

    After that no transaction approves what a state forbids, for each takes the account's lock; and
    nothing that a halt forbids waits to be sent.
    """

    def __init__(self, *, store: Store, doorbell: Doorbell, clock: Clock) -> None:
        """Take the store, and whom to tell of what was recorded."""
        self._store = store
        self._doorbell = doorbell
        self._clock = clock

    async def follow(self, accounts: Collection[AccountID]) -> Sequence[TradingStateChange]:
        """Bring accounts to the states of their scopes as they are now; return what changed."""
        changes: list[TradingStateChange] = []
        for chunk in batched(sorted(accounts), CHUNK):
            changes += await self._patiently(chunk)
        return changes

    async def _patiently(self, accounts: Sequence[AccountID]) -> Sequence[TradingStateChange]:
        """Try again where a lock stays taken: a process may have stopped that holds it."""
        for _ in range(_TRIES - 1):
            try:
                return await self._follow(accounts)
            except StoreBusy as busy:
                logger.warning("accounts are busy and follow later: %s", busy)
                await self._clock.sleep(_PAUSE_S)
        return await self._follow(accounts)

    async def _follow(self, accounts: Sequence[AccountID]) -> Sequence[TradingStateChange]:
        locked, at = frozenset(accounts), self._clock.now()
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(accounts)
            wants = Wants(accounts=locked, open_orders_of=locked, states=True)
            books = await transaction.load(wants)
            for account in list(books.accounts.values()):
                books.new_state_changes.extend(_changes(account, books.states, at))
                books.put_account(followed(account, books.states))
            _withhold(books, at)
            await transaction.save(books)
        self._doorbell.ring(accounts)
        self._doorbell.ring_states(books.new_state_changes)
        return books.new_state_changes


def followed(account: Account, states: TradingStates) -> Account:
    """Return an account as the states of its scopes have it.

    It is never loosened without a release, which two people have agreed on since it last followed:
    risk may have latched it in the meantime.
    """
    covering = states.covering(subject_of(account))
    state = states.over(subject_of(account))
    fresh = [row for row in covering if row.epoch > account.scope_epoch]
    released = any(row.approved_by is not None for row in fresh)
    if state.strictness < account.trading_state.strictness and not released:
        state = account.trading_state
    return replace(
        account,
        trading_state=state,
        scoped_states=states.within(account),
        scope_epoch=max((row.epoch for row in covering), default=account.scope_epoch),
    )


def _changes(account: Account, states: TradingStates, at: int) -> Iterator[TradingStateChange]:
    """Say what changes for an account, and by which scope's word."""
    after = followed(account, states)
    if after.trading_state is not account.trading_state:
        cause = states.covering(subject_of(account))[-1]
        yield _change(account, (account.trading_state, after.trading_state), cause, at)
    before = {(kind, name): state for kind, name, state in account.scoped_states}
    now = {(kind, name): state for kind, name, state in after.scoped_states}
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, TradingState.ACTIVE), now.get(key, TradingState.ACTIVE)
        if old is not new and (row := _cause(key, account, states)) is not None:
            yield _change(account, (old, new), row, at)


def _cause(key: tuple[str, str], account: Account, states: TradingStates) -> ScopeState | None:
    kind, name = key
    scopes = (Scope(ScopeKind(kind), name, tenant) for tenant in (None, account.tenant_id))
    rows = [row for scope in scopes if (row := states.current.get(scope)) is not None]
    return max(rows, key=lambda row: row.epoch, default=None)


def _change(
    account: Account, moved: tuple[TradingState, TradingState], cause: ScopeState, at: int
) -> TradingStateChange:
    before, state = moved
    return TradingStateChange(
        tenant_id=account.tenant_id,
        account_id=account.id,
        before=before,
        state=state,
        reason=cause.reason,
        changed_by=cause.changed_by,
        approved_by=cause.approved_by,
        changed_at=at,
        scope_kind=cause.scope.kind,
        scope_id=cause.scope.id,
    )


def _withhold(books: Books, at: int) -> None:
    """Refuse what is queued and a halt forbids; what REDUCING forbids, risk tells on sending."""
    for command in list(books.commands.values()):
        if command.state is not CommandState.QUEUED or command.kind is CommandKind.CANCEL:
            continue
        order = books.orders[command.order_id]
        state = books.accounts[command.account_id].state_for(order, command.user_id)
        if state is TradingState.HALTED:
            ledger.withhold(
                books, command, OrdRejReason.OTHER, f"TRADING_HALTED: state={state}", at
            )
