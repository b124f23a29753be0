"""Administrative acts that the schema's policy refuses before they are begun: some go on record.

Of each user only some are recorded: a flood of them must not fill the record, which only grows.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from graphql import OperationType

from resolvers.document import Operation
from resolvers.operation import Refused
from security.rates import HOUR_S, LocalAccount, Rate
from serving.traffic import roots
from trading.audit import ActDecision, ActKind, ActLog, act
from trading.permission import Principal
from trading.ports import Clock

logger = logging.getLogger(__name__)

RECORDED = Rate(10, HOUR_S)
"""How many refusals of a user each process records."""

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Refusals:
    """Records what was refused of an operation, as acts of its caller."""

    def __init__(self, log: ActLog, clock: Clock) -> None:
        """Take the record."""
        self._log, self._clock = log, clock
        self._account = LocalAccount(clock)

    async def record(self, refused: Refused, principal: Principal, address: str) -> None:
        """Record a refusal of an administrative mutation. Raises StoreUnavailable."""
        if refused.forbidden is None:
            return
        whose = f"{principal.tenant_id}:{principal.user_id}"
        for name, kind in _administrative(refused.forbidden).items():
            if not (await self._account.draw(whose, RECORDED, 1)).count:
                logger.warning("user %s is refused %s, too often to record it", whose, name)
                continue
            who, now = replace(principal, address=address), self._clock.now()
            decision, why = ActDecision.REFUSED, str(refused)
            await self._log.record(act(kind, decision, who, now, subject=name, detail=why))


def _administrative(operation: Operation) -> dict[str, ActKind]:
    """Return the fields of a mutation's root that are acts."""
    if operation.node.operation is not OperationType.MUTATION:
        return {}
    known = {name: _WORD.sub("_", name).upper() for name in roots(operation)}
    return {name: ActKind(kind) for name, kind in known.items() if kind in ActKind}
