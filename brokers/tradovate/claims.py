"""What Tradovate's stream says, as claims in the words of the core.

A claim is made of one entity and named by its id, so that the same report told by a change and by a
snapshot is one. Facts are in execution reports; refusals of modifications and cancels are in the
reports on their commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from brokers.tradovate.dossier import Dossier
from brokers.tradovate.messages import (
    REFUSED,
    Command,
    CommandReport,
    ExecutionReport,
    cursor_at,
)
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

_STATUSES = {
    "New": ExecType.NEW,
    "Canceled": ExecType.CANCELED,
    "Expired": ExecType.EXPIRED,
    "DoneForDay": ExecType.DONE_FOR_DAY,
    "Suspended": ExecType.SUSPENDED,
}
_REVISIONS = {"TradeCancel": ExecType.TRADE_CANCEL, "TradeCorrect": ExecType.TRADE_CORRECT}
_SILENT = frozenset({"OrderStatus", "PendingCancel", "PendingNew", "PendingReplace", "Stopped"})
"""Reports that say nothing that our own ledger does not show already."""

_NEW = "New"

type _Reading = Callable[[ExecutionReport, Dossier, bytes], BrokerEvent | None]


class Claims:
    """Turns reports of executions and commands into claims."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock."""
        self._clock = clock
        self._special: Mapping[str, _Reading] = {
            "Trade": self._trade,
            "TradeCancel": self._revision,
            "TradeCorrect": self._revision,
            "Replaced": self._replaced,
            "Rejected": self._rejected,
            "Completed": self._completed,
        }

    def of_execution(
        self, told: ExecutionReport, dossier: Dossier, raw: bytes
    ) -> BrokerEvent | None:
        """Say what a report on an order claims; None for nothing.

        What cannot be understood is a BrokerUnknown, which has the order looked up.
        """
        word = told.exec_type
        if word in _SILENT:
            return None
        if (special := self._special.get(word)) is not None:
            return special(told, dossier, raw)
        if (exec_type := _STATUSES.get(word)) is not None:
            return self._report(told, dossier, raw, exec_type, text=told.reason)
        return self._unknown(told, dossier, raw, f"{word} is no known ExecType")

    def of_command(
        self, told: CommandReport, command: Command, dossier: Dossier, raw: bytes
    ) -> BrokerEvent | None:
        """Say what a report on a command claims: only a refusal says something that is news."""
        if told.status not in REFUSED:
            return None
        if command.kind == _NEW:
            return BrokerReport(
                key=_rejected_key(dossier),
                cursor=cursor_at(told.at),
                wire_id=dossier.wire_id,
                received_at=self._clock.now(),
                raw=raw,
                exec_type=ExecType.REJECTED,
                transact_time=told.at,
                ord_rej_reason=OrdRejReason.BROKER_OPTION,
                text=told.reason,
            )
        return self._refused(command, dossier, told.at, told.reason, raw)

    def _refused(
        self, command: Command, dossier: Dossier, at: int, why: str | None, raw: bytes
    ) -> BrokerEvent | None:
        if command.cl_ord_id is None:
            return None  # Somebody else has asked, and was refused.
        return BrokerCancelReject(
            key=f"tradovate:command:{command.id}:refused",
            cursor=cursor_at(at),
            wire_id=dossier.wire_id,
            received_at=self._clock.now(),
            raw=raw,
            request_wire_id=WireID(command.cl_ord_id),
            cxl_rej_reason=CxlRejReason.BROKER_OPTION,
            transact_time=at,
            text=f"Tradovate: {why or 'refused without a word'}",
        )

    def _trade(self, told: ExecutionReport, dossier: Dossier, raw: bytes) -> BrokerEvent:
        if told.last_qty is None or told.last_px is None:
            return self._unknown(told, dossier, raw, "a trade without quantity or price")
        terms = {"last_qty": told.last_qty, "last_px": told.last_px}
        return self._report(told, dossier, raw, ExecType.TRADE, exec_id=ExecID(told.name), **terms)

    def _revision(self, told: ExecutionReport, dossier: Dossier, raw: bytes) -> BrokerEvent:
        if told.exec_ref_id is None:
            return self._unknown(told, dossier, raw, f"a {told.exec_type} of no execution")
        return self._report(
            told,
            dossier,
            raw,
            _REVISIONS[told.exec_type],
            exec_id=ExecID(told.name),
            exec_ref_id=ExecID(told.exec_ref_id),
            last_qty=told.last_qty or ZERO,
            last_px=told.last_px or ZERO,
            # What is undone is not traded: the count after it is less than ours, and no gap.
            cum_qty=None,
        )

    def _replaced(self, told: ExecutionReport, dossier: Dossier, raw: bytes) -> BrokerEvent:
        versions = [each for each in dossier.versions if each.id == told.command_id]
        terms = versions[-1] if versions else dossier.terms
        return self._report(
            told,
            dossier,
            raw,
            ExecType.REPLACED,
            order_qty=terms.qty,
            price=terms.px,
            stop_px=terms.stop_px,
        )

    def _completed(self, told: ExecutionReport, dossier: Dossier, raw: bytes) -> BrokerEvent | None:
        """Claim that an order has ended, where its fills do not tell that by themselves."""
        if told.cum_qty is not None and told.cum_qty >= dossier.terms.qty:
            return None
        return self._report(told, dossier, raw, ExecType.CANCELED)

    def _rejected(self, told: ExecutionReport, dossier: Dossier, raw: bytes) -> BrokerEvent | None:
        command = next((c for c in dossier.commands if c.id == told.command_id), None)
        if command is not None and command.kind != _NEW:
            return self._refused(command, dossier, told.at, told.reason, raw)
        return self._report(
            told,
            dossier,
            raw,
            ExecType.REJECTED,
            key=_rejected_key(dossier),
            ord_rej_reason=OrdRejReason.BROKER_OPTION,
            text=told.reason,
        )

    def _unknown(
        self, told: ExecutionReport, dossier: Dossier, raw: bytes, why: str
    ) -> BrokerUnknown:
        return BrokerUnknown(
            key=f"tradovate:{told.id}:unknown",
            cursor=cursor_at(told.at),
            wire_id=dossier.wire_id,
            received_at=self._clock.now(),
            raw=raw,
            text=why,
        )

    def _report(
        self,
        told: ExecutionReport,
        dossier: Dossier,
        raw: bytes,
        exec_type: ExecType,
        **terms: object,
    ) -> BrokerReport:
        fields: dict[str, object] = {"key": f"tradovate:{told.id}", "cum_qty": told.cum_qty}
        return BrokerReport(
            cursor=cursor_at(told.at),
            wire_id=dossier.wire_id,
            received_at=self._clock.now(),
            raw=raw,
            exec_type=exec_type,
            transact_time=told.at,
            secondary_order_id=SecondaryOrderID(str(told.order_id)),
            **{**fields, **terms},  # type: ignore[arg-type]  # fields of the report, by name
        )


def _rejected_key(dossier: Dossier) -> str:
    """Name a rejection by its order, for it is told twice: of the order, and of its command."""
    return f"tradovate:order:{dossier.order.id}:rejected"
