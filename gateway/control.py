"""`drawbridge halt` and `release`: trading states, directly on the store, gateway or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.attached import attached
from gateway.config import ConfigError, Settings
from gateway.system import SystemClock, TimeOrderedIds
from persistence.store import SqlStore
from trading.account import TradingState
from trading.closing import Acknowledgement
from trading.command import SetTradingState
from trading.control import ApprovalRequest, MassAction, ScopeState, TradingStateChange
from trading.controller import ControlDesk
from trading.ids import AccountID, TenantID, UserID
from trading.instrument import UnknownSymbol
from trading.order import Order
from trading.outcome import ApprovalRequired, InvalidInput, NotFound, TradingStateSet
from trading.permission import Entitlement, Permission, Principal
from trading.permit import Permits
from trading.scope import Scope, ScopeKind

_LIFE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What an operator says on the command line, and under which name.

    `scope` is `all`, or a kind and an id as in `account:equity`; `tenant` narrows it.
    """

    scope: str
    reason: str
    by: str
    tenant: str | None
    state: TradingState
    action: MassAction = MassAction.NONE


async def set_state(settings: Settings, word: Word) -> tuple[str, bool]:
    """Tighten a scope at once, or ask for its release; return what to tell, and if all confirmed.

    Raises ConfigError, StoreRefused, NotFound.
    """
    async with _desk(settings) as (store, desk):
        scope = _scope(store, word)
        principal = await _operator(store, word.by, await _tenant(store, scope, word.tenant))
        command = SetTradingState(
            state=word.state, action=word.action, reason=word.reason, scope=scope
        )
        match await desk.set_trading_state(principal, command):
            case InvalidInput(errors):
                raise ConfigError("\n".join(error.message for error in errors))
            case ApprovalRequired(request):
                return _asks(request), True
            case TradingStateSet(changes, acknowledgement):
                return _tells(scope, changes, acknowledgement)


async def approve(settings: Settings, request_id: str, by: str) -> str:
    """Approve a request to release. Raises StoreRefused, NotFound, Forbidden to the requester."""
    async with _desk(settings) as (store, desk):
        request = await store.approval_request(request_id)
        if request is None:
            raise NotFound(f"no request {request_id} awaits approval: ask anew")
        principal = await _operator(store, by, request.tenant_id)
        await desk.approve_trading_state(principal, request_id)
        return f"{request.wanted} is {request.state}"


async def states(settings: Settings) -> str:
    """List the scopes that are not ACTIVE. Raises StoreRefused."""
    async with _desk(settings) as (store, _):
        rows = (await store.scopes.trading_states()).current.values()
        held = [row for row in rows if row.state is not TradingState.ACTIVE]
        return "\n".join(map(_line, sorted(held, key=lambda row: row.epoch))) or "all is ACTIVE"


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[tuple[SqlStore, ControlDesk]]:
    clock = SystemClock()
    async with attached(settings) as store:
        yield (
            store,
            ControlDesk(
                store=store,
                permits=Permits(clock),
                doorbell=_Silent(),
                clock=clock,
                ids=TimeOrderedIds(clock),
            ),
        )


class _Silent:
    """A doorbell that nobody hears: all who wait for one look into the store by themselves."""

    def ring(self, accounts: Collection[AccountID]) -> None:
        del accounts

    def ring_states(self, changes: Sequence[TradingStateChange]) -> None:
        del changes

    def ring_session(self, broker: str) -> None:
        del broker


def _scope(store: SqlStore, word: Word) -> Scope:
    """Read a scope. Raises ConfigError."""
    kind_name, _, name = word.scope.partition(":")
    try:
        kind = ScopeKind(kind_name.upper())
    except ValueError:
        kinds = ", ".join(kind.lower() for kind in ScopeKind)
        raise ConfigError(f"--scope {word.scope}: say one of {kinds}, and an id") from None
    if (kind is ScopeKind.ALL) == bool(name):
        raise ConfigError(f"--scope {word.scope}: say `all`, or a kind and an id as `account:a1`")
    if kind is ScopeKind.INSTRUMENT:
        try:
            name = store.catalogue.resolve(name).id
        except UnknownSymbol as unknown:
            raise ConfigError(f"--scope {word.scope}: {unknown}") from None
    whole = kind in {ScopeKind.ALL, ScopeKind.TENANT, ScopeKind.ACCOUNT}
    return Scope(kind, name, None if whole or word.tenant is None else TenantID(word.tenant))


async def _tenant(store: SqlStore, scope: Scope, given: str | None) -> TenantID:
    """Return the tenant whose people are to approve a release."""
    known = [tenant.id for tenant in await store.accounts.tenants()]
    wanted = scope.id if scope.kind is ScopeKind.TENANT else given
    if wanted is not None and wanted not in known:
        raise ConfigError(f"there is no tenant {wanted}: there are {', '.join(known) or 'none'}")
    if scope.kind is ScopeKind.ACCOUNT and given is None:
        found = await store.reads.accounts([AccountID(scope.id)])
        return found[0].tenant_id if found else known[0]
    return TenantID(wanted) if wanted is not None else known[0]


async def _operator(store: SqlStore, by: str, tenant_id: TenantID) -> Principal:
    """Make the principal of whoever has the store's credentials, under the name they give."""
    accounts = await store.account_ids(tenant_id)
    return Principal(
        user_id=UserID(by),
        name=by,
        tenant_id=tenant_id,
        role="operator",
        permissions=frozenset(Permission),
        accounts=dict.fromkeys(accounts, Entitlement.READ),
        expires_at=SystemClock().now() + _LIFE_NS,
    )


def _asks(request: ApprovalRequest) -> str:
    return (
        "nothing is released yet: another person must approve it within the hour, as by\n"
        f"  drawbridge approve {request.id} --by NAME"
    )


def _tells(
    scope: Scope, changes: Sequence[TradingStateChange], told: Acknowledgement | None
) -> tuple[str, bool]:
    if told is None:
        return f"{scope} is ACTIVE already: nothing was changed", True
    owners = [f"confirmed: {broker}" for broker in told.confirmed]
    owners += [
        f"NOT CONFIRMED: {broker}: its owner may be gone; its lease runs out"
        for broker in told.unconfirmed
    ]
    lines = [
        f"{scope} is closed, epoch {told.epoch}; accounts changed: {len(changes)}",
        *(owners or ["no process owns a session"]),
        *_orders("may still appear at the broker", told.in_flight),
        *_orders("working", told.working),
    ]
    return "\n".join(lines), not told.unconfirmed


def _orders(what: str, orders: Sequence[Order]) -> list[str]:
    rows = (f"  {o.account_id} {o.cl_ord_id} {o.id} {o.ord_status}" for o in orders)
    return [f"{what}: {len(orders)}", *rows]


def _line(row: ScopeState) -> str:
    clean = "" if not row.action.cancels else ", clean" if row.clean_at else ", not clean yet"
    said = f"by {row.changed_by}: {row.reason}"
    return f"{row.epoch} {row.scope} {row.state} {row.action}{clean}, {said}"
