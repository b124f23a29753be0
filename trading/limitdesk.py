"""The limit desk: who may set limits at which scope, and what takes a second person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from trading.audit import Act, ActDecision, ActKind, act, canonical
from trading.ids import AccountID, base62
from trading.instrument import Catalogue, UnknownSymbol
from trading.limitrequest import LimitRequest, LimitRequestState, LimitVersion
from trading.limits import SHAPES, Limit, LimitSet, Whose
from trading.loosening import World, loosened
from trading.outcome import (
    Forbidden,
    InvalidInput,
    LimitApprovalRequired,
    LimitsResult,
    LimitsSet,
    NotFound,
)
from trading.permission import Permission, Principal
from trading.ports import Clock, IdSource
from trading.quantity import ZERO, plain
from trading.refusals import refusals
from trading.reject import InputError
from trading.store import LimitsSeen, LimitState, LimitStore, LimitTransaction
from trading.validation import text_errors

REQUEST_LIFE_NS = 86_400_000_000_000
"""How long a request to loosen limits may wait for its approval: one day."""

LIMITS_MAX = 1_000
LOCAL_LIMITS_MAX = 10_000
"""How many limits one change may set, over the API and at the machine itself."""

_NAME_MAX = 64
_SAID_MAX = 20


class LimitDesk:
    """Tightens limits at once on one person's word; loosens when a second person has agreed."""

    def __init__(
        self,
        *,
        store: LimitStore,
        catalogue: Catalogue,
        clock: Clock,
        ids: IdSource,
        is_local: bool = False,
    ) -> None:
        """Take the limits' store. A local operator's desk also reaches beyond one tenant."""
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._ids = ids
        self._is_local = is_local

    async def in_force(self, principal: Principal) -> Sequence[Limit]:
        """Return every limit in force that a principal may see."""
        seen, known = _seen(principal), await self._store.now()
        return [limit for limit in known.in_force(self._clock.now()) if seen.sees(limit)]

    async def versions(
        self, principal: Principal, first: int, before: int | None
    ) -> Sequence[LimitVersion]:
        """Return what changed, the newest first, as far as a principal may see it."""
        return await self._store.versions(_seen(principal), first, before)

    async def requests(self, principal: Principal, first: int) -> Sequence[LimitRequest]:
        """Return the newest requests, as far as a principal may see them."""
        seen = _seen(principal)
        found = await self._store.requests(principal.tenant_id, first)
        return [request for request in found if all(map(seen.sees, request.limits))]

    async def set_limits(self, principal: Principal, limits: Sequence[Limit]) -> LimitsResult:
        """Set limits, all at once or none: where any loosens, ask for the approval that it takes.

        After LimitsSet no order is judged by earlier limits, in any process. Raises NotFound for an
        account or tenant that is not the principal's, and Forbidden.
        """
        kind, named = ActKind.SET_LIMITS, f"{len(limits)} limits"
        async with refusals(self._store.audit, self._clock, principal, kind, named):
            return await self._set_limits(principal, limits)

    async def _set_limits(self, principal: Principal, limits: Sequence[Limit]) -> LimitsResult:
        _authorize(principal)
        at = self._clock.now()
        limits = [self._named(limit) for limit in limits]
        if errors := tuple(self._errors(limits, at)):
            return InvalidInput(errors)
        async with self._store.transaction() as transaction:
            state = await transaction.lock()
            self._admit(principal, limits, state.accounts)
            if errors := tuple(_unknown(limits, state.accounts)):
                return InvalidInput(errors)
            result = await self._set(transaction, state, principal, limits, at)
        if isinstance(result, LimitsSet):
            await self._outlast(limits, state.accounts)
        return result

    async def approve(self, principal: Principal, request_id: str) -> LimitsSet:
        """Loosen as another person has asked. Raises NotFound, and Forbidden to the requester."""
        kind = ActKind.APPROVE_LIMITS
        async with refusals(self._store.audit, self._clock, principal, kind, request_id):
            return await self._approve(principal, request_id)

    async def _approve(self, principal: Principal, request_id: str) -> LimitsSet:
        _authorize(principal)
        at = self._clock.now()
        async with self._store.transaction() as transaction:
            state = await transaction.lock()
            request = await _awaiting(transaction, principal, request_id, at)
            if request.requested_by == principal.user_id:
                raise Forbidden("another person than the requester must approve")
            limits = _from_now_on(request, state.known, at)
            self._admit(principal, limits, state.accounts)
            decided = _decided(request, LimitRequestState.APPROVED, principal, at, None)
            await transaction.put(decided)
            version = self._version(state, limits, decided, at)
            await transaction.record(version)
            said = _act(principal, ActDecision.DONE, request.id, version.limits, at)
            await transaction.act(replace(said, kind=ActKind.APPROVE_LIMITS))
        await self._outlast(limits, state.accounts)
        return LimitsSet(version.version, version.limits)

    async def deny(
        self, principal: Principal, request_id: str, reason: str
    ) -> LimitRequest | InvalidInput:
        """End another person's request. Raises NotFound, and Forbidden to the requester."""
        if errors := tuple(text_errors("reason", reason, "say why the request is denied")):
            return InvalidInput(errors)
        return await self._end(principal, request_id, LimitRequestState.DENIED, reason)

    async def withdraw(self, principal: Principal, request_id: str) -> LimitRequest:
        """End one's own request. Raises NotFound, and Forbidden to others."""
        return await self._end(principal, request_id, LimitRequestState.WITHDRAWN, None)

    async def _end(
        self, principal: Principal, request_id: str, to: LimitRequestState, reason: str | None
    ) -> LimitRequest:
        is_denial = to is LimitRequestState.DENIED
        kind = ActKind.DENY_LIMITS if is_denial else ActKind.WITHDRAW_LIMITS
        async with refusals(self._store.audit, self._clock, principal, kind, request_id):
            return await self._decide(principal, request_id, to, reason, kind)

    async def _decide(
        self,
        principal: Principal,
        request_id: str,
        to: LimitRequestState,
        reason: str | None,
        kind: ActKind,
    ) -> LimitRequest:
        _authorize(principal)
        at = self._clock.now()
        async with self._store.transaction() as transaction:
            await transaction.lock()
            request = await _awaiting(transaction, principal, request_id, at)
            is_own = request.requested_by == principal.user_id
            if is_own is not (to is LimitRequestState.WITHDRAWN):
                raise Forbidden(
                    "withdraw your own request, rather than deny it"
                    if is_own
                    else "only the requester may withdraw it: deny it instead"
                )
            decided = _decided(request, to, principal, at, reason)
            await transaction.put(decided)
            done, why = ActDecision.DONE, reason or ""
            await transaction.act(act(kind, done, principal, at, subject=request_id, detail=why))
        return decided

    async def _set(
        self,
        transaction: LimitTransaction,
        state: LimitState,
        principal: Principal,
        limits: Sequence[Limit],
        at: int,
    ) -> LimitsSet | LimitApprovalRequired:
        changes = [limit for limit in limits if not state.known.says(limit, at)]
        if not changes:
            return LimitsSet(state.known.version, ())
        request = self._request(principal, state.known.version, changes, at)
        version = self._version(state, changes, request, at)
        after = state.known.then(version.version, version.id, version.limits)
        world = World(state.accounts, self._catalogue)
        keys = [limit.key for limit in changes]
        if (looser := loosened(state.known, after, keys, world, at)) is not None:
            await transaction.put(request)
            asked = _act(principal, ActDecision.AWAITS_APPROVAL, request.id, changes, at)
            await transaction.act(asked)
            return LimitApprovalRequired(request, looser)
        await transaction.record(version)
        number = f"limits version {version.version}"
        await transaction.act(_act(principal, ActDecision.DONE, number, changes, at))
        return LimitsSet(version.version, version.limits)

    def _request(
        self, principal: Principal, version: int, limits: Sequence[Limit], at: int
    ) -> LimitRequest:
        return LimitRequest(
            id=base62(self._ids.next()),
            tenant_id=principal.tenant_id,
            version=version,
            limits=tuple(limits),
            state=LimitRequestState.PENDING,
            requested_by=principal.user_id,
            requested_at=at,
            expires_at=at + REQUEST_LIFE_NS,
        )

    def _version(
        self, state: LimitState, limits: Sequence[Limit], request: LimitRequest, at: int
    ) -> LimitVersion:
        number = state.known.version + 1
        return LimitVersion(
            version=number,
            id=base62(self._ids.next()),
            requested_by=request.requested_by,
            approved_by=request.decided_by,
            changed_at=at,
            limits=tuple(replace(limit, version=number) for limit in limits),
        )

    async def _outlast(self, limits: Sequence[Limit], accounts: Mapping[AccountID, Whose]) -> None:
        """Wait for those who may have read the limits before: whoever comes now reads these."""
        scopes = {limit.scope for limit in limits}
        reached = {a for a, whose in accounts.items() if any(s.reaches(a, whose) for s in scopes)}
        await self._store.outlast(reached)

    def _named(self, limit: Limit) -> Limit:
        """Give an instrument its whole name, where a symbol alone says which it is."""
        if limit.scope.symbol is None:
            return limit
        try:
            symbol = self._catalogue.resolve(limit.scope.symbol).id
        except UnknownSymbol:
            return limit
        return replace(limit, scope=replace(limit.scope, symbol=symbol))

    def _errors(self, limits: Sequence[Limit], at: int) -> Iterator[InputError]:
        most = LOCAL_LIMITS_MAX if self._is_local else LIMITS_MAX
        if not 0 < len(limits) <= most:
            yield _error("limits", "COUNT", f"set from 1 to {most} limits at a time")
            return
        seen = set()
        for number, limit in enumerate(limits):
            path = f"limits.{number}"
            yield from _limit_errors(path, limit, at)
            symbol = limit.scope.symbol
            if symbol is not None and self._catalogue.get(symbol) is None:
                message = f"no one instrument has the symbol {symbol}: say symbol@MIC"
                yield _error(f"{path}.scope.symbol", "UNKNOWN_SYMBOL", message)
            if limit.key in seen:
                yield _error(path, "REPEATED", f"{limit.name} of {limit.scope} is set above: once")
            seen.add(limit.key)

    def _admit(
        self, principal: Principal, limits: Sequence[Limit], accounts: Mapping[AccountID, Whose]
    ) -> None:
        """See that a principal may speak for all whom the limits reach."""
        for scope in () if self._is_local else {limit.scope: None for limit in limits}:
            if scope.account_id is not None and not (
                principal.may_read(scope.account_id) and scope.account_id in accounts
            ):
                raise NotFound(f"there is no account {scope.account_id}")
            if scope.tenant_id not in {None, principal.tenant_id}:
                raise NotFound(f"there is no tenant {scope.tenant_id}")
            for account_id, whose in accounts.items():
                if whose.tenant_id != principal.tenant_id and scope.reaches(account_id, whose):
                    raise Forbidden(
                        f"a limit for {scope} holds for other tenants too: name your tenant or one"
                        " of its accounts, or have it set by `drawbridge limits`"
                    )


def _act(
    principal: Principal, decision: ActDecision, subject: str, limits: Sequence[Limit], at: int
) -> Act:
    detail = _said(limits)
    return act(ActKind.SET_LIMITS, decision, principal, at, subject=subject, detail=detail)


def _said(limits: Sequence[Limit]) -> str:
    """Write limits for the record, which is bounded: of very many, their hash stands for all."""
    lines = [
        f"{limit.name} {'none' if limit.value is None else plain(limit.value)} for {limit.scope}"
        f" ({limit.owner}: {limit.reason})"
        for limit in limits
    ]
    if len(lines) <= _SAID_MAX:
        return "; ".join(lines)
    digest = hashlib.sha256(canonical(lines)).hexdigest()
    return f"{'; '.join(lines[:_SAID_MAX])}; {len(lines)} in all, sha256 {digest}"


def _seen(principal: Principal) -> LimitsSeen:
    return LimitsSeen(principal.tenant_id, frozenset(principal.accounts))


def _authorize(principal: Principal) -> None:
    if Permission.LIMITS_WRITE not in principal.permissions:
        raise Forbidden(f"this takes the permission {Permission.LIMITS_WRITE}")


async def _awaiting(
    transaction: LimitTransaction, principal: Principal, request_id: str, at: int
) -> LimitRequest:
    request = await transaction.request(request_id)
    if (
        request is None
        or request.tenant_id != principal.tenant_id
        or request.state is not LimitRequestState.PENDING
        or at >= request.expires_at
    ):
        raise NotFound(f"no request {request_id} awaits a decision: ask anew")
    return request


def _from_now_on(request: LimitRequest, known: LimitSet, at: int) -> list[Limit]:
    """Return what a request sets if it is approved now. Raises NotFound where that is too late."""
    for limit in request.limits:
        if known.newest(limit.key) > request.version:
            raise NotFound(f"{limit.name} of {limit.scope} was set since it was asked: ask anew")
        if limit.expires_at is not None and limit.expires_at <= at:
            raise NotFound(f"{limit.name} of {limit.scope} would have expired by now: ask anew")
    return [
        replace(limit, effective_at=None) if limit.holds(at) else limit for limit in request.limits
    ]


def _decided(
    request: LimitRequest, to: LimitRequestState, principal: Principal, at: int, reason: str | None
) -> LimitRequest:
    return replace(
        request,
        state=to,
        decided_by=principal.user_id,
        decided_at=at,
        decision_reason=reason,
    )


def _limit_errors(path: str, limit: Limit, at: int) -> Iterator[InputError]:
    if limit.scope.said not in SHAPES:
        message = (
            "a scope names an account, a strategy with its tenant, a tenant or a broker, and a"
            " symbol or a security type: one of each at most"
        )
        yield _error(f"{path}.scope", "SCOPE", message)
    if (strategy_id := limit.scope.strategy_id) is not None:
        named = "" if strategy_id == "*" else strategy_id
        ask = "name one strategy, or leave it out"
        yield from text_errors(f"{path}.scope.strategyId", named, ask, _NAME_MAX)
    if limit.value is not None and limit.value < ZERO:
        message = f"{plain(limit.value)} is negative: say 0 or more"
        yield _error(f"{path}.value", "NEGATIVE", message)
    yield from text_errors(f"{path}.reason", limit.reason, "say why the limit is set")
    yield from text_errors(f"{path}.owner", limit.owner, "say who answers for it", _NAME_MAX)
    if limit.effective_at is not None and limit.effective_at <= at:
        message = "effectiveAt is over: leave it out to have it take effect at once"
        yield _error(f"{path}.effectiveAt", "PAST", message)
    if limit.expires_at is not None and limit.expires_at <= max(at, limit.effective_at or at):
        message = "expiresAt must come after now, and after effectiveAt"
        yield _error(f"{path}.expiresAt", "PAST", message)


def _unknown(limits: Sequence[Limit], accounts: Mapping[AccountID, Whose]) -> Iterator[InputError]:
    """Say what is named and does not exist; accounts and tenants of others were refused before."""
    tenants = {whose.tenant_id for whose in accounts.values()}
    brokers = {whose.broker for whose in accounts.values()}
    for number, limit in enumerate(limits):
        scope, path = limit.scope, f"limits.{number}.scope"
        if scope.account_id not in {None, *accounts}:
            yield _error(f"{path}.accountId", "UNKNOWN", f"there is no account {scope.account_id}")
        if scope.tenant_id not in {None, *tenants}:
            message = f"there is no tenant {scope.tenant_id} with accounts"
            yield _error(f"{path}.tenantId", "UNKNOWN", message)
        if scope.broker not in {None, *brokers}:
            yield _error(f"{path}.broker", "UNKNOWN", f"no account is at a broker {scope.broker}")


def _error(path: str, code: str, message: str) -> InputError:
    return InputError(path=("input", *path.split(".")), code=code, message=message)
