"""The control desk: who may tighten and loosen trading, and when that takes effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trading.account import TradingState
from trading.books import Books, Wants
from trading.command import SetTradingState
from trading.control import ApprovalRequest, TradingStateChange
from trading.ids import AccountID, UserID, base62
from trading.outcome import (
    ApprovalRequired,
    Forbidden,
    InvalidInput,
    NotFound,
    TradingStateResult,
    TradingStateSet,
)
from trading.permission import Permission, Principal
from trading.permit import Permits
from trading.ports import Clock, Doorbell, IdSource
from trading.store import Store
from trading.validation import state_errors

REQUEST_LIFE_NS = 3_600_000_000_000
"""How long a request to loosen may wait for its approval: one hour."""


class ControlDesk:
    """Tightens at once on one person's word; loosens when a second person has agreed."""

    def __init__(
        self, *, store: Store, permits: Permits, doorbell: Doorbell, clock: Clock, ids: IdSource
    ) -> None:
        """Take the permits of this process's sessions, which hear of a change once committed."""
        self._store = store
        self._permits = permits
        self._doorbell = doorbell
        self._clock = clock
        self._ids = ids

    async def set_trading_state(
        self, principal: Principal, command: SetTradingState
    ) -> TradingStateResult:
        """Change the state of an account or tenant, or ask for the approval that loosening takes.

        Raises NotFound for an account or tenant that is not the principal's, and Forbidden.
        """
        _authorize(principal)
        if errors := state_errors(command):
            return InvalidInput(errors)
        accounts = await self._scope(principal, command.account_id, command.tenant_id)
        at = self._clock.now()
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(accounts)
            books = await transaction.load(Wants(accounts=frozenset(accounts)))
            looser = [a for a in accounts if _loosens(books, a, command.state)]
            # Where a scope has both, what tightens does not wait for the rest's approval.
            others = [a for a in accounts if a not in looser]
            terms, by = (command.state, command.reason), (principal.user_id, None)
            changes = _change(books, others, terms, by, at)
            result: TradingStateResult = TradingStateSet(changes)
            if looser:
                request = self._request(principal, command, at)
                books.new_approval_requests.append(request)
                result = ApprovalRequired(request)
            await transaction.save(books)
        self._announce(books)
        return result

    async def approve_trading_state(
        self, principal: Principal, request_id: str
    ) -> TradingStateResult:
        """Loosen as another person has asked. Raises NotFound, and Forbidden to the requester."""
        _authorize(principal)
        request = await self._awaiting(principal, request_id)
        if request.requested_by == principal.user_id:
            raise Forbidden("another person than the requester must approve")
        tenant = None if request.account_id else request.tenant_id
        accounts = await self._scope(principal, request.account_id, tenant)
        by = (request.requested_by, principal.user_id)
        at = self._clock.now()
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(accounts)
            # Asked once more, now that nobody can tighten: this must not undo a newer word.
            await self._awaiting(principal, request_id)
            books = await transaction.load(Wants(accounts=frozenset(accounts)))
            terms = (request.state, request.reason)
            changes = _change(books, accounts, terms, by, at)
            books.new_approval_requests.append(replace(request, approved_by=principal.user_id))
            await transaction.save(books)
        self._announce(books)
        return TradingStateSet(changes)

    async def _awaiting(self, principal: Principal, request_id: str) -> ApprovalRequest:
        request = await self._store.approval_request(request_id)
        overdue = request is not None and self._clock.now() >= request.expires_at
        if request is None or overdue or request.tenant_id != principal.tenant_id:
            raise NotFound(f"no request {request_id} awaits approval: ask anew")
        return request

    async def _scope(
        self, principal: Principal, account_id: AccountID | None, tenant_id: str | None
    ) -> Sequence[AccountID]:
        if account_id is not None:
            if not principal.may_read(account_id):
                raise NotFound(f"there is no account {account_id}")
            return [account_id]
        if tenant_id != principal.tenant_id:
            raise NotFound(f"there is no tenant {tenant_id}")
        return await self._store.account_ids(principal.tenant_id)

    def _request(self, principal: Principal, command: SetTradingState, at: int) -> ApprovalRequest:
        return ApprovalRequest(
            id=base62(self._ids.next()),
            tenant_id=principal.tenant_id,
            account_id=command.account_id,
            state=command.state,
            reason=command.reason,
            requested_by=principal.user_id,
            requested_at=at,
            expires_at=at + REQUEST_LIFE_NS,
        )

    def _announce(self, books: Books) -> None:
        for change in books.new_state_changes:
            self._permits.hear(change.account_id, change.state)
        self._doorbell.ring_states(books.new_state_changes)


def _authorize(principal: Principal) -> None:
    if Permission.TRADING_STATE_WRITE not in principal.permissions:
        raise Forbidden(f"this takes the permission {Permission.TRADING_STATE_WRITE}")


def _loosens(books: Books, account_id: AccountID, state: TradingState) -> bool:
    return books.accounts[account_id].trading_state.strictness > state.strictness


def _change(
    books: Books,
    accounts: Sequence[AccountID],
    terms: tuple[TradingState, str],
    by: tuple[UserID, UserID | None],
    at: int,
) -> Sequence[TradingStateChange]:
    (state, reason), (changed_by, approved_by) = terms, by
    for account_id in accounts:
        account = books.accounts[account_id]
        if account.trading_state is state:
            continue
        books.put_account(replace(account, trading_state=state))
        books.new_state_changes.append(
            TradingStateChange(
                tenant_id=account.tenant_id,
                account_id=account_id,
                before=account.trading_state,
                state=state,
                reason=reason,
                changed_by=changed_by,
                approved_by=approved_by,
                changed_at=at,
            )
        )
    return tuple(books.new_state_changes)
