"""Sending one command, and what that says of it."""

from __future__ import annotations

import logging

from trading.control import subject_of_order
from trading.ledger import Dispatch
from trading.order import ApprovedOrder, ApprovedReplace
from trading.permit import Permits
from trading.ports import (
    Broker,
    InDoubt,
    PermitRefused,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from trading.probe import Leg, Probe
from trading.recorder import Answer, Doubted, Refused, Returned

logger = logging.getLogger(__name__)

RETRY_S = 1.0


async def attempt(
    broker: Broker, dispatch: Dispatch, permits: Permits, probe: Probe
) -> Answer | None:
    """Send one command. A broker that took it tells the outcome in its stream: then None.

    Whatever cannot be shown to have failed before it took effect is in doubt.
    """
    command, name = dispatch.command, broker.capabilities.broker
    about: dict[str, str | int] = {"command": command.kind, "attempt": command.attempt}
    with probe.begin(Leg.SUBMIT, command.traceparent, broker=name, **about) as span:
        answer = await _attempt(broker, dispatch, permits)
        span.tell(outcome="Taken" if answer is None else type(answer).__name__)
        return answer


async def _attempt(broker: Broker, dispatch: Dispatch, permits: Permits) -> Answer | None:
    wire_id = dispatch.command.wire_id
    try:
        await _hand_over(broker, dispatch, permits)
    except Rejected as rejected:
        return Refused(wire_id, str(rejected))
    except (PermitRefused, RateLimited, Unavailable, Unauthorized) as refused:
        wait_s = refused.retry_after_s if isinstance(refused, RateLimited) else RETRY_S
        return Returned(wire_id, str(refused), wait_s)
    except InDoubt as doubt:
        return Doubted(wire_id, str(doubt))
    except Exception as defect:
        logger.exception("an adapter let an error of another kind out")
        return Doubted(wire_id, f"{type(defect).__name__} in the adapter")
    return None


async def _hand_over(broker: Broker, dispatch: Dispatch, permits: Permits) -> None:
    broker_name, user_id = broker.capabilities.broker, dispatch.command.user_id
    subject = subject_of_order(dispatch.order, broker_name, user_id)
    permit = permits.permit(subject, dispatch.approved_under)
    match dispatch.approved:
        case ApprovedOrder() as approved:
            await broker.submit(approved, permit)
        case ApprovedReplace() as approved:
            await broker.replace(approved, permit)
        case None:
            permits.check_open()
            await broker.cancel(dispatch.order, dispatch.command.wire_id)
