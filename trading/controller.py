"""The control desk: who may tighten and loosen trading, and when that takes effect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from trading.account import TradingState
from trading.audit import Act, ActDecision, ActKind, act
from trading.books import Books, Wants
from trading.closing import Acknowledger
from trading.command import SetTradingState
from trading.control import ApprovalRequest, MassAction, ScopeState, TradingStateChange
from trading.following import Follower
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
from trading.refusals import refusals
from trading.scope import Scope, ScopeKind
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
        self._follower = Follower(store=store, doorbell=doorbell, clock=clock)
        self._acknowledger = Acknowledger(store=store, doorbell=doorbell, clock=clock)

    async def set_trading_state(
        self, principal: Principal, command: SetTradingState
    ) -> TradingStateResult:
        """Change the state of a scope, or ask for the approval that loosening takes.

        What tightens is answered when every owner of a session has confirmed that nothing leaves
        any more that the state forbids, or has been waited for long enough.

        Raises NotFound for a scope that is not the principal's, and Forbidden.
        """
        kind, named = ActKind.SET_TRADING_STATE, str(_named(command))
        async with refusals(self._store.audit, self._clock, principal, kind, named):
            _authorize(principal)
            if errors := state_errors(command):
                return InvalidInput(errors)
            scope = await self._scope(principal, command)
        accounts = await self._store.scopes.accounts_in(scope)
        at = self._clock.now()
        request = self._request(principal, command, scope, at)
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(())
            books = await transaction.load(Wants(accounts=frozenset(), states=True))
            wanted = _wanted(books, request, at)
            looser = _loosens(books, request) or _stricter_accounts(books, request, accounts)
            if looser:
                books.new_approval_requests.append(request)
            if not _loosens(books, request):
                books.put_scope_state(wanted)
            decision = ActDecision.AWAITS_APPROVAL if looser else ActDecision.DONE
            said = act(kind, decision, principal, at, subject=str(scope), detail=_said(request))
            books.new_acts.append(said)
            await transaction.save(books)
        changes = await self._close(books, accounts)
        if looser:
            return ApprovalRequired(request)
        row = books.states.current.get(scope)
        if row is None or row.state is TradingState.ACTIVE:
            return TradingStateSet(())
        # Also for what was so already: the answer to the first word may have been lost.
        acknowledgement = await self._acknowledger.acknowledge(row, accounts)
        return TradingStateSet(tuple(changes), acknowledgement.seen_by(principal))

    async def trading_states(self, principal: Principal) -> Sequence[ScopeState]:
        """Return what is not ACTIVE and holds for accounts that the principal may read."""
        states = (await self._store.scopes.trading_states()).current.values()
        set_ = (row for row in states if row.state is not TradingState.ACTIVE)
        return [row for row in set_ if _is_seen(principal, row.scope)]

    async def tighten(self, scope: Scope, state: TradingState, reason: str, by: UserID) -> bool:
        """Tighten a scope on a monitor's word, which is at most REDUCING or HALTED and no more.

        Return whether that changed anything: what is as strict already stays as it is.
        """
        at = self._clock.now()
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(())
            books = await transaction.load(Wants(accounts=frozenset(), states=True))
            if books.states.state(scope).strictness >= state.strictness:
                return False
            held = books.states.current.get(scope)
            row = ScopeState(
                epoch=books.states.epoch + 1,
                scope=scope,
                state=state,
                action=held.action if held else MassAction.NONE,
                reason=reason,
                changed_by=by,
                approved_by=None,
                changed_at=at,
            )
            books.put_scope_state(row)
            books.new_acts.append(_by_itself(scope, state, reason, by, at))
            await transaction.save(books)
        await self._close(books, await self._store.scopes.accounts_in(scope))
        return True

    async def approve_trading_state(
        self, principal: Principal, request_id: str
    ) -> TradingStateResult:
        """Loosen as another person has asked. Raises NotFound, and Forbidden to the requester."""
        kind = ActKind.APPROVE_TRADING_STATE
        async with refusals(self._store.audit, self._clock, principal, kind, request_id):
            return await self._approve(principal, request_id)

    async def _approve(self, principal: Principal, request_id: str) -> TradingStateResult:
        _authorize(principal)
        request = await self._awaiting(principal, request_id)
        if request.requested_by == principal.user_id:
            raise Forbidden("another person than the requester must approve")
        scope = request.wanted
        _authorize_scope(principal, scope)
        accounts = await self._store.scopes.accounts_in(scope)
        at = self._clock.now()
        async with self._store.transaction(urgent=True) as transaction:
            await transaction.lock(())
            books = await transaction.load(Wants(accounts=frozenset(), states=True))
            # Asked once more, now that nobody can tighten: this must not undo a newer word.
            await self._awaiting(principal, request_id)
            _refuse_overtaken(books, request, accounts)
            approved = replace(request, approved_by=principal.user_id)
            for each in (scope, *_stricter_accounts(books, request, accounts)):
                books.put_scope_state(replace(_row(books, approved, at), scope=each))
            books.new_approval_requests.append(approved)
            kind, detail = ActKind.APPROVE_TRADING_STATE, f"{request.id}: {_said(request)}"
            done = act(kind, ActDecision.DONE, principal, at, subject=str(scope), detail=detail)
            books.new_acts.append(done)
            await transaction.save(books)
        return TradingStateSet(tuple(await self._close(books, accounts)))

    async def _awaiting(self, principal: Principal, request_id: str) -> ApprovalRequest:
        request = await self._store.approval_request(request_id)
        overdue = request is not None and self._clock.now() >= request.expires_at
        if request is None or overdue or request.tenant_id != principal.tenant_id:
            raise _not_awaited(request_id)
        return request

    async def _scope(self, principal: Principal, command: SetTradingState) -> Scope:
        """Return the scope that is meant. Raises NotFound for one that is not the principal's."""
        scope = _named(command)
        _authorize_scope(principal, scope)
        if not await self._store.scopes.has_scope(scope, principal.tenant_id):
            raise NotFound(f"there is no {scope}")
        return scope

    def _request(
        self, principal: Principal, command: SetTradingState, scope: Scope, at: int
    ) -> ApprovalRequest:
        is_account = scope.kind is ScopeKind.ACCOUNT
        return ApprovalRequest(
            id=base62(self._ids.next()),
            tenant_id=principal.tenant_id,
            account_id=AccountID(scope.id) if is_account else None,
            scope=scope,
            state=command.state,
            action=command.action,
            reason=command.reason,
            requested_by=principal.user_id,
            requested_at=at,
            expires_at=at + REQUEST_LIFE_NS,
        )

    async def _close(
        self, books: Books, accounts: Collection[AccountID]
    ) -> Sequence[TradingStateChange]:
        """Let this process and the owners hear of what is committed, and its accounts follow."""
        if not books.new_scope_states:
            return ()
        self._permits.hear(books.states)
        await self._acknowledger.ring()
        return await self._follower.follow(accounts)


def _named(command: SetTradingState) -> Scope:
    if command.account_id is not None:
        return Scope(ScopeKind.ACCOUNT, command.account_id)
    return command.scope or Scope(ScopeKind.TENANT, command.tenant_id or "")


def _by_itself(scope: Scope, state: TradingState, reason: str, by: UserID, at: int) -> Act:
    """Say what a monitor has done: nobody's token or connection stands behind it."""
    return Act(
        kind=ActKind.SET_TRADING_STATE,
        decision=ActDecision.DONE,
        subject=str(scope),
        detail=f"{state}: {reason}",
        tenant_id=scope.tenant_id,
        user_id=by,
        role="monitor",
        client_id="",
        token_id="",
        address="",
        at=at,
    )


def _said(request: ApprovalRequest) -> str:
    return f"{request.state} {request.action}: {request.reason}"


def _authorize(principal: Principal) -> None:
    if Permission.TRADING_STATE_WRITE not in principal.permissions:
        raise Forbidden(f"this takes the permission {Permission.TRADING_STATE_WRITE}")


def _authorize_scope(principal: Principal, scope: Scope) -> None:
    """Raise NotFound, or Forbidden, for a scope that is not the principal's to set."""
    if scope.kind is ScopeKind.ACCOUNT:
        if not principal.may_read(AccountID(scope.id)):
            raise NotFound(f"there is no account {scope.id}")
    elif scope.kind is ScopeKind.TENANT:
        if scope.id != principal.tenant_id:
            raise NotFound(f"there is no tenant {scope.id}")
    elif scope.tenant_id != principal.tenant_id:
        # What is narrowed to no tenant holds for the others as well.
        needed = Permission.TRADING_STATE_WRITE_ALL
        if scope.tenant_id is not None or needed not in principal.permissions:
            raise Forbidden(f"{scope} of all tenants takes the permission {needed}")


def _is_seen(principal: Principal, scope: Scope) -> bool:
    match scope.kind:
        case ScopeKind.ACCOUNT:
            return principal.may_read(AccountID(scope.id))
        case ScopeKind.TENANT:
            return scope.id == principal.tenant_id
        case _:
            return scope.tenant_id in {None, principal.tenant_id}


def _row(books: Books, request: ApprovalRequest, at: int) -> ScopeState:
    return ScopeState(
        epoch=books.states.epoch + 1,
        scope=request.wanted,
        state=request.state,
        action=request.action,
        reason=request.reason,
        changed_by=request.requested_by,
        approved_by=request.approved_by,
        changed_at=at,
    )


def _wanted(books: Books, request: ApprovalRequest, at: int) -> ScopeState:
    """Return what is asked for, with what goes further already left as it is."""
    row = _row(books, request, at)
    held = books.states.current.get(row.scope)
    if held is not None and held.action.rank > row.action.rank:
        return replace(row, action=held.action)
    return row


def _loosens(books: Books, request: ApprovalRequest) -> bool:
    return books.states.state(request.wanted).strictness > request.state.strictness


def _stricter_accounts(
    books: Books, request: ApprovalRequest, accounts: Collection[AccountID]
) -> list[Scope]:
    """Return the accounts of a tenant that are stricter by themselves than is asked for all."""
    if request.wanted.kind is not ScopeKind.TENANT:
        return []
    scopes = (Scope(ScopeKind.ACCOUNT, account_id) for account_id in sorted(accounts))
    wanted = request.state.strictness
    return [scope for scope in scopes if books.states.state(scope).strictness > wanted]


def _refuse_overtaken(
    books: Books, request: ApprovalRequest, accounts: Collection[AccountID]
) -> None:
    for scope in (request.wanted, *_stricter_accounts(books, request, accounts)):
        row = books.states.current.get(scope)
        if row is not None and row.changed_at > request.requested_at:
            raise _not_awaited(request.id)


def _not_awaited(request_id: str) -> NotFound:
    return NotFound(f"no request {request_id} awaits approval: ask anew")
