"""Acts that were refused are recorded as well: who tried what, and why it was not done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trading.audit import ActDecision, ActKind, ActLog, act
from trading.outcome import Forbidden, NotFound
from trading.permission import Principal
from trading.ports import Clock


@asynccontextmanager
async def refusals(
    log: ActLog, clock: Clock, principal: Principal, kind: ActKind, subject: str
) -> AsyncIterator[None]:
    """Record what is refused within: a refusal that cannot be recorded ends in StoreUnavailable."""
    try:
        yield
    except (Forbidden, NotFound) as refused:
        decision, why = ActDecision.REFUSED, str(refused)
        await log.record(act(kind, decision, principal, clock.now(), subject=subject, detail=why))
        raise
