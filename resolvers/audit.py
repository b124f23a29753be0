"""The record of administrative acts, for who audits."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

import trading.audit
from resolvers.context import Info
from schema.audit import Act
from schema.definition import field
from schema.scalar import Sequence as SequenceNumber
from trading.outcome import BadUserInput
from trading.permission import Permission

FIRST_MAX = 500
_NEWEST = 1 << 62


async def list_acts(
    info: Info,
    first: Annotated[
        int, strawberry.argument(description=f"How many at most, up to {FIRST_MAX}.")
    ] = 50,
    before: Annotated[
        SequenceNumber | None, strawberry.argument(description="Only acts before this one.")
    ] = None,
) -> Sequence[trading.audit.Act]:
    """Read the acts of the caller's tenant, the newest first."""
    if not 1 <= first <= FIRST_MAX:
        raise BadUserInput(f"first: say a number from 1 to {FIRST_MAX}")
    tenant_id = info.context.caller.tenant_id
    return await info.context.acts.acts(tenant_id, first, _NEWEST if before is None else before)


@strawberry.type
class AuditQuery:
    acts: list[Act] = field(
        "Administrative acts of your tenant, the newest first.",
        requires=Permission.AUDIT_READ,
        resolver=list_acts,
    )
