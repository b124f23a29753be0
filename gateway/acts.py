"""Acts at the command line, as the audit record has them: by whom they are said to be."""

from __future__ import annotations

import getpass

from gateway.system import SystemClock
from trading.audit import Act, ActDecision, ActKind
from trading.ids import TenantID, UserID


def local_act(
    kind: ActKind,
    by: str | None,
    *,
    subject: str,
    detail: str = "",
    tenant_id: TenantID | None = None,
) -> Act:
    """Say what somebody has done who has the store's credentials; else it is this machine's user.

    No token vouches for the name: that it is right rests on who may log in here.
    """
    return Act(
        kind=kind,
        decision=ActDecision.DONE,
        subject=subject,
        detail=detail,
        tenant_id=tenant_id,
        user_id=UserID(by or getpass.getuser()),
        role="operator",
        client_id="drawbridge",
        token_id="",
        address="",
        at=SystemClock().now(),
    )
