"""`drawbridge limits`: what an operator at this machine reads and sets, and as whom."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gateway.account import opened_store
from gateway.arguments import LIMIT_COLUMNS
from gateway.config import Settings
from gateway.limitfile import LimitFileError, read_limit, read_limits, write_limits
from gateway.system import SystemClock, TimeOrderedIds
from persistence.store import SqlStore
from schema.scalar import write_instant
from security.roles import ROLE_PERMISSIONS, Role
from trading.ids import UserID
from trading.limitdesk import LimitDesk
from trading.limitrequest import LimitRequest, LimitRequestState
from trading.limits import Limit
from trading.outcome import InvalidInput, LimitApprovalRequired, LimitsResult, LimitsSet
from trading.permission import Principal
from trading.quantity import plain
from trading.reject import InputError

AWAITS_APPROVAL = 3
"""The exit status of a change that loosens: it is recorded, and awaits a second person."""

_SHOWN = 100
_COLUMN_OF = {
    "accountId": "account",
    "tenantId": "tenant",
    "effectiveAt": "effective_at",
    "expiresAt": "expires_at",
}
_FOR_EVER = 1 << 62


class LimitsRefused(Exception):
    """Limits that cannot be set; each line names what, and the remedy."""


async def run_limits(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """Run an action; return what to print, and the exit status.

    Raises LimitsRefused and LimitFileError before anything is written, StoreRefused, and what the
    desk raises.
    """
    # Read to its end before the store is touched.
    limits = _wanted(options)
    clock = SystemClock()
    async with opened_store(settings) as store:
        desk = LimitDesk(
            store=store.limits,
            catalogue=store.catalogue,
            clock=clock,
            ids=TimeOrderedIds(clock),
            is_local=True,
        )
        if options.action in {"list", "export"}:
            return await _listed(store, clock.now(), options.action), 0
        return await _done(desk, await _principal(store, options.by), limits, options)


def _wanted(options: argparse.Namespace) -> Sequence[Limit]:
    match options.action:
        case "import":
            return read_limits(options.file)
        case "set":
            limit, errors = read_limit({name: getattr(options, name) for name in LIMIT_COLUMNS})
            if limit is None:
                raise LimitsRefused("\n".join(errors))
            return [limit]
        case _:
            return ()


async def _listed(store: SqlStore, at: int, action: str) -> str:
    known = await store.limits.now()
    limits = list(known.in_force(at))
    if action == "export":
        return write_limits(limits, at).removesuffix("\n")
    lines = [f"version {known.version}, {len(limits)} limits in force"]
    return "\n".join([*lines, *map(_line, limits)])


async def _done(
    desk: LimitDesk, principal: Principal, limits: Sequence[Limit], options: argparse.Namespace
) -> tuple[str, int]:
    match options.action:
        case "import" | "set":
            return _told(await desk.set_limits(principal, limits), options)
        case "requests":
            found = await desk.requests(principal, _SHOWN)
            return "\n".join(map(_request, found)) or "nobody has asked for anything", 0
        case "approve":
            return _told(await desk.approve(principal, options.request), options)
        case "deny":
            denied = await desk.deny(principal, options.request, options.reason)
            if isinstance(denied, InvalidInput):
                return _told(denied, options)
            return _request(denied), 0
        case "withdraw":
            return _request(await desk.withdraw(principal, options.request)), 0
        case _:
            raise AssertionError(f"the parser let {options.action} through")


async def _principal(store: SqlStore, user_id: str) -> Principal:
    """Speak as a user whom the store knows, with the permissions of the user's role."""
    user = await store.directory.user(UserID(user_id))
    if user is None or user.role not in Role:
        known = ", ".join(each.id for each in await store.directory.users())
        raise LimitsRefused(f"--by {user_id}: there is no such user; there are {known}")
    return Principal(
        user_id=user.id,
        name=user.name,
        tenant_id=user.tenant_id,
        role=user.role,
        permissions=ROLE_PERMISSIONS[Role(user.role)],
        accounts=user.accounts,
        expires_at=_FOR_EVER,
    )


def _told(result: LimitsResult, options: argparse.Namespace) -> tuple[str, int]:
    match result:
        case LimitsSet():
            lines = [f"version {result.version}, {len(result.limits)} limits changed"]
            return "\n".join([*lines, *map(_line, result.limits)]), 0
        case LimitApprovalRequired():
            looser = result.loosened
            before = "none, which refuses" if looser.before is None else _value(looser.before)
            text = (
                f"nothing is changed yet: {looser.name} would be {_value(looser.after)} for"
                f" {looser.place}, and is {before}. Another person must approve the request"
                f" {result.request.id}"
            )
            return text, AWAITS_APPROVAL
        case InvalidInput():
            raise LimitsRefused("\n".join(_where(each, options) for each in result.errors))


def _where(error: InputError, options: argparse.Namespace) -> str:
    """Name the line and the column, where a file was read."""
    match error.path:
        case (_, "limits", number, *names) if options.action == "import":
            column = _COLUMN_OF.get(names[-1], names[-1]) if names else "name"
            return f"{options.file}:{int(number) + 2}: {column}: {error.message}"
        case (*_, name):
            return f"{name}: {error.message}"
        case _:
            return error.message


def _line(limit: Limit) -> str:
    until = "" if limit.expires_at is None else f" until {write_instant(limit.expires_at)}"
    return f"{limit.name} {_value(limit)}{until} for {limit.scope} ({limit.owner}: {limit.reason})"


def _value(limit: Limit) -> str:
    return "none" if limit.value is None else plain(limit.value)


def _request(request: LimitRequest) -> str:
    head = f"{request.id} {request.state} asked by {request.requested_by}"
    if request.state is LimitRequestState.PENDING:
        head += f", to be decided until {write_instant(request.expires_at)}"
    else:
        head += f", decided by {request.decided_by}"
    return "\n".join([head, *(f"  {_line(limit)}" for limit in request.limits)])


REFUSALS = (LimitFileError, LimitsRefused)
