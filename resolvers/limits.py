"""Limits: reading, tightening, loosening."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import strawberry
from strawberry import UNSET

import trading.limitrequest
import trading.limits
from resolvers.context import Info
from resolvers.errors import InputRefused
from schema.definition import field
from schema.limits import Limit, LimitInput, LimitRequest, LimitVersion, SetLimitsInput
from schema.outcome import SetLimitsResult
from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import SecurityType
from trading.outcome import BadUserInput, InvalidInput, LimitsResult
from trading.permission import Permission, Principal
from trading.reject import InputError

FIRST_MAX = 100

First = Annotated[int, strawberry.argument(description=f"How many at most, up to {FIRST_MAX}.")]
RequestID = Annotated[strawberry.ID, strawberry.argument(description="The request's id.")]


async def list_limits(info: Info) -> Sequence[trading.limits.Limit]:
    """Read all limits in force that the caller may see."""
    return await info.context.limits.in_force(info.context.caller)


async def list_versions(
    info: Info,
    first: First = 20,
    before: Annotated[
        int | None, strawberry.argument(description="Only versions before this one.")
    ] = None,
) -> Sequence[trading.limitrequest.LimitVersion]:
    """Read what changed, the newest first."""
    return await info.context.limits.versions(info.context.caller, _bounded(first), before)


async def list_requests(
    info: Info, first: First = 20
) -> Sequence[trading.limitrequest.LimitRequest]:
    """Read the newest requests."""
    return await info.context.limits.requests(info.context.caller, _bounded(first))


async def set_limits(
    info: Info,
    change: Annotated[
        SetLimitsInput, strawberry.argument(name="input", description="Which, to what, why.")
    ],
) -> LimitsResult:
    """Tighten limits, or ask to loosen them."""
    if errors := tuple(_unsaid(change.limits)):
        return InvalidInput(errors)
    limits = [_limit(each, change, info.context.caller) for each in change.limits]
    result = await info.context.limits.set_limits(info.context.actor, limits)
    return _shared(result) if isinstance(result, InvalidInput) else result


async def approve_limits(info: Info, request_id: RequestID) -> LimitsResult:
    """Approve what another person asked for."""
    return await info.context.limits.approve(info.context.actor, request_id)


async def deny_limits(
    info: Info,
    request_id: RequestID,
    reason: Annotated[str, strawberry.argument(description="Why, for the record.")],
) -> trading.limitrequest.LimitRequest:
    """Deny what another person asked for."""
    result = await info.context.limits.deny(info.context.actor, request_id, reason)
    if isinstance(result, InvalidInput):
        raise InputRefused([replace(each, path=each.path[1:]) for each in result.errors])
    return result


async def withdraw_limits(info: Info, request_id: RequestID) -> trading.limitrequest.LimitRequest:
    """Take one's own request back."""
    return await info.context.limits.withdraw(info.context.actor, request_id)


def _bounded(first: int) -> int:
    if not 1 <= first <= FIRST_MAX:
        raise BadUserInput(f"first: say a number from 1 to {FIRST_MAX}")
    return first


def _unsaid(limits: Sequence[LimitInput]) -> list[InputError]:
    """Ask for values that are left out: only a null that is written takes a limit away."""
    message = "say the value, or null to take the limit away"
    return [
        InputError(("input", "limits", str(number), "value"), "REQUIRED", message)
        for number, each in enumerate(limits)
        if each.value is UNSET
    ]


def _limit(asked: LimitInput, change: SetLimitsInput, principal: Principal) -> trading.limits.Limit:
    where = asked.scope
    tenant_id = _said(where.tenant_id, TenantID)
    if tenant_id is None and _said(where.strategy_id, str) is not None:
        tenant_id = principal.tenant_id
    return trading.limits.Limit(
        scope=trading.limits.LimitScope(
            broker=_said(where.broker, str),
            tenant_id=tenant_id,
            strategy_id=_said(where.strategy_id, str),
            account_id=_said(where.account_id, AccountID),
            security_type=_said(where.security_type, SecurityType),
            symbol=_said(where.symbol, InstrumentID),
        ),
        name=asked.name,
        value=asked.value,
        owner=change.owner,
        reason=change.reason,
        effective_at=_said(change.effective_at, int),
        expires_at=_said(change.expires_at, int),
    )


def _said[T, U](value: T | None, type_: Callable[[T], U]) -> U | None:
    """Take what is given, an empty text too: only what is left out, or null, leaves it open."""
    return None if value is None or value is UNSET else type_(value)


def _shared(result: InvalidInput) -> InvalidInput:
    """Name what all limits of an input share where it stands there, and once."""
    errors = {}
    for each in result.errors:
        match each.path:
            case (root, "limits", _, ("owner" | "reason" | "effectiveAt" | "expiresAt") as name):
                error = replace(each, path=(root, name))
            case _:
                error = each
        errors[error.path, error.code] = error
    return InvalidInput(tuple(errors.values()))


@strawberry.type
class LimitQuery:
    limits: list[Limit] = field(
        "Every limit in force that may concern accounts that you see.",
        requires=Permission.LIMITS_READ,
        resolver=list_limits,
    )
    limit_versions: list[LimitVersion] = field(
        "Changes of limits, the newest first: who, when and why.",
        requires=Permission.LIMITS_READ,
        resolver=list_versions,
    )
    limit_requests: list[LimitRequest] = field(
        "Requests to loosen limits, the newest first.",
        requires=Permission.LIMITS_READ,
        resolver=list_requests,
    )


@strawberry.type
class LimitMutation:
    set_limits: SetLimitsResult = field(
        "Set limits, all or none. Tightening takes effect at once; where any loosens, it takes"
        " another person's approval.",
        requires=Permission.LIMITS_WRITE,
        resolver=set_limits,
    )
    approve_limits: SetLimitsResult = field(
        "Approve a request to loosen limits; nobody approves their own.",
        requires=Permission.LIMITS_WRITE,
        resolver=approve_limits,
    )
    deny_limits: LimitRequest = field(
        "Deny another person's request to loosen limits.",
        requires=Permission.LIMITS_WRITE,
        resolver=deny_limits,
    )
    withdraw_limits: LimitRequest = field(
        "Take back one's own request to loosen limits.",
        requires=Permission.LIMITS_WRITE,
        resolver=withdraw_limits,
    )
