"""The end of a user's tokens: those issued before an instant open nothing any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trading.audit import Act, ActDecision, ActKind, act
from trading.ids import TenantID, UserID
from trading.outcome import BadUserInput, NotFound
from trading.permission import Principal
from trading.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A user's tokens that were issued before this instant (UTC nanoseconds) are revoked."""

    user_id: UserID
    before: int


class RevocationStore(Protocol):
    """Where revocations are kept."""

    async def revoke(self, tenant_id: TenantID, revocation: Revocation, act: Act) -> bool:
        """Keep a revocation, and record the act; tell whether the tenant has such a user.

        One that reaches further stays. Raises StoreUnavailable.
        """


class RevocationDesk:
    """Ends sessions and tokens, on one person's word: it only tightens."""

    def __init__(self, *, store: RevocationStore, clock: Clock) -> None:
        """Take the store."""
        self._store = store
        self._clock = clock

    async def revoke(
        self, principal: Principal, user_id: UserID, before: int | None, reason: str
    ) -> Revocation:
        """Revoke a user's tokens, all that there are now unless another instant is said.

        Raises NotFound for a user that is not of the principal's tenant, and BadUserInput.
        """
        at = self._clock.now()
        if not reason.strip():
            raise BadUserInput("reason: say why, for the record")
        if before is not None and before > at:
            raise BadUserInput("before: it lies ahead; leave it out to end all that there is now")
        revoked = Revocation(user_id=user_id, before=at if before is None else before)
        done = act(
            ActKind.REVOKE_TOKENS, ActDecision.DONE, principal, at, subject=user_id, detail=reason
        )
        if not await self._store.revoke(principal.tenant_id, revoked, done):
            raise NotFound(f"userId: there is no user {user_id!r} in your tenant")
        return revoked
