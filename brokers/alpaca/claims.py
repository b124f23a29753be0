"""What Alpaca's stream says, as claims in the words of the core.

The keys are made of what a claim is about, never of how it came: the same fill told by the stream,
by its replay and by the account's activities has one key, and counts once.
"""

from __future__ import annotations

from collections.abc import Sequence

from brokers.alpaca.chains import Chain, Chains
from brokers.alpaca.messages import Activity, AlpacaOrder, Update, fill_key, time_cursor
from brokers.alpaca.requests import Requests
from trading.execution import (
    BrokerCancelReject,
    BrokerEvent,
    BrokerReport,
    BrokerUnknown,
    ExecType,
)
from trading.ids import ExecID, SecondaryOrderID, WireID
from trading.ports import Clock
from trading.quantity import ZERO
from trading.reject import CxlRejReason, OrdRejReason

_ENDINGS = {
    "canceled": ExecType.CANCELED,
    "expired": ExecType.EXPIRED,
    "done_for_day": ExecType.DONE_FOR_DAY,
    "suspended": ExecType.SUSPENDED,
}
_FILLS = frozenset({"fill", "partial_fill"})
_REVISIONS = {"trade_bust": ExecType.TRADE_CANCEL, "trade_correct": ExecType.TRADE_CORRECT}
_SILENT = frozenset(
    {
        "accepted",
        "pending_new",
        "pending_cancel",
        "pending_replace",
        "pending_review",
        "held",
        "stopped",
        "calculated",
        "restated",
    }
)
"""Events that say nothing that our own ledger does not show already."""


class Claims:
    """Turns updates of the stream, and fills of the account's activities, into claims."""

    def __init__(self, chains: Chains, requests: Requests, clock: Clock) -> None:
        """Take what tells which order of ours one of Alpaca's is, and what was asked about it."""
        self._chains = chains
        self._requests = requests
        self._clock = clock

    async def of(self, update: Update) -> Sequence[BrokerEvent]:
        """Say what an update claims; nothing, for some. Raises BrokerError where Alpaca must help.

        What cannot be understood is a BrokerUnknown, which has the order looked up.
        """
        order, event = update.order, update.event
        if event in _SILENT:
            return []
        wire_id = await self._chains.wire_id(order)
        if event == "replaced" or (event == "new" and order.replaces is not None):
            return await self._replaced(update, wire_id)
        if event == "rejected" and order.replaces is not None:
            return [self._refused(update, wire_id, WireID(order.client_order_id))]
        if event in {"order_cancel_rejected", "order_replace_rejected"}:
            return [self._request_refused(update, wire_id)]
        return [self._plain(update, wire_id)]

    def fill(self, activity: Activity, wire_id: WireID, raw: bytes) -> BrokerReport:
        """Claim a fill that the account's activities have."""
        return BrokerReport(
            key=fill_key(activity.order_id, activity.cum_qty),
            cursor=time_cursor(activity.at),
            wire_id=wire_id,
            received_at=self._clock.now(),
            raw=raw,
            exec_type=ExecType.TRADE,
            transact_time=activity.at,
            exec_id=ExecID(activity.id.rpartition("::")[2]),
            last_qty=activity.qty,
            last_px=activity.px,
        )

    def _plain(self, update: Update, wire_id: WireID) -> BrokerEvent:
        order, event = update.order, update.event
        address = SecondaryOrderID(order.id)
        if event == "new":
            return self._report(update, wire_id, ExecType.NEW, secondary_order_id=address)
        if event in _FILLS:
            return self._fill(update, wire_id)
        if event in _REVISIONS:
            return self._revision(update, wire_id)
        if event == "rejected":
            reason = OrdRejReason.BROKER_OPTION
            return self._report(update, wire_id, ExecType.REJECTED, ord_rej_reason=reason)
        if (exec_type := _ENDINGS.get(event)) is not None:
            return self._report(update, wire_id, exec_type, secondary_order_id=address)
        return self.unknown(update, wire_id, f"Alpaca's event {event} is not one that is known")

    def _fill(self, update: Update, wire_id: WireID) -> BrokerEvent:
        if update.qty is None or update.px is None:
            return self.unknown(update, wire_id, "a fill without qty or price")
        key = fill_key(update.order.id, update.order.filled_qty)
        exec_id = ExecID(update.execution_id or key)
        terms = {"exec_id": exec_id, "last_qty": update.qty, "last_px": update.px}
        return self._report(update, wire_id, ExecType.TRADE, key=key, **terms)

    def _revision(self, update: Update, wire_id: WireID) -> BrokerEvent:
        undone = update.previous_execution_id
        if undone is None or update.execution_id is None:
            return self.unknown(update, wire_id, f"a {update.event} that names no execution")
        return self._report(
            update,
            wire_id,
            _REVISIONS[update.event],
            key=f"alpaca:{update.order.id}:{update.event}:{update.execution_id}",
            exec_id=ExecID(update.execution_id),
            exec_ref_id=ExecID(undone),
            last_qty=update.qty or ZERO,
            last_px=update.px or ZERO,
        )

    async def _replaced(self, update: Update, wire_id: WireID) -> Sequence[BrokerEvent]:
        """Claim the successor's terms, once, whichever end of the replace is told first."""
        chain = await self._chains.of(update.order)
        successor = _successor(chain, update)
        if successor is None:
            return [self.unknown(update, wire_id, "a replaced order without a successor")]
        place = chain.links.index(successor)
        total = Chain(chain.links[: place + 1]).order_qty
        return [
            self._report(
                update,
                wire_id,
                ExecType.REPLACED,
                key=f"alpaca:{successor.id}:REPLACED",
                secondary_order_id=SecondaryOrderID(successor.id),
                order_qty=total,
                price=successor.limit_px,
                stop_px=successor.stop_px,
            )
        ]

    def _request_refused(self, update: Update, wire_id: WireID) -> BrokerEvent:
        asked = (
            self._requests.cancel_of(update.order.id)
            if update.event == "order_cancel_rejected"
            else self._requests.replace_of(update.order.id)
        )
        if asked is None:
            return self.unknown(update, wire_id, f"a {update.event} of nothing that was asked here")
        return self._refused(update, wire_id, asked)

    def _refused(self, update: Update, wire_id: WireID, request: WireID) -> BrokerCancelReject:
        return BrokerCancelReject(
            key=f"alpaca:{update.order.id}:{update.event}:{request}",
            cursor=update.cursor,
            wire_id=wire_id,
            received_at=self._clock.now(),
            raw=update.raw,
            request_wire_id=request,
            cxl_rej_reason=CxlRejReason.BROKER_OPTION,
            transact_time=update.at,
            text=f"Alpaca: {update.event}",
        )

    def unknown(self, update: Update, wire_id: WireID, why: str) -> BrokerUnknown:
        """Pass on that something was said of an order, which is to be looked up for it."""
        return BrokerUnknown(
            key=f"alpaca:{update.order.id}:{update.event}:{update.at}",
            cursor=update.cursor,
            wire_id=wire_id,
            received_at=self._clock.now(),
            raw=update.raw,
            text=why,
        )

    def _report(
        self,
        update: Update,
        wire_id: WireID,
        exec_type: ExecType,
        *,
        key: str | None = None,
        **terms: object,
    ) -> BrokerReport:
        # A status can come and go, such as suspended: each time is a claim of its own.
        occasion = f":{update.at}" if update.event in {"suspended", "done_for_day"} else ""
        return BrokerReport(
            key=key or f"alpaca:{update.order.id}:{update.event}{occasion}",
            cursor=update.cursor,
            wire_id=wire_id,
            received_at=self._clock.now(),
            raw=update.raw,
            exec_type=exec_type,
            transact_time=update.at,
            # A successor counts its own fills alone, and a bust may come between two events.
            cum_qty=update.order.filled_qty if update.order.replaces is None else None,
            **terms,  # type: ignore[arg-type]  # fields of the report, by name
        )


def _successor(chain: Chain, update: Update) -> AlpacaOrder | None:
    """Return the successor that is told to be new, or the one after the order that it ended."""
    ids = [each.id for each in chain.links]
    place = ids.index(update.order.id) + (update.event == "replaced")
    return chain.links[place] if place < len(ids) else None
