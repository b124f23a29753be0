"""Permits: the last word on whether a NEW or REPLACE may leave, just before its first byte."""

from __future__ import annotations

from dataclasses import dataclass

from trading.account import TradingState
from trading.control import NOTHING_SET, TradingStates
from trading.ports import Clock, PermitRefused
from trading.scope import Subject


class Permits:
    """Whether this process may send, and the trading states of all scopes as it last heard them.

    It may send until a deadline, which its lease pushes on: a process that was stopped for long
    and goes on finds it passed, before it can have heard of anything.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin closed, and with no word of any scope."""
        self._clock = clock
        self._deadline = 0
        self._states = NOTHING_SET
        self._epoch = 0
        self._is_any_set = False
        self._halted_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether this process may send now."""
        return self._clock.monotonic() < self._deadline

    def check_open(self) -> None:
        """Raise PermitRefused if nothing may be sent, not even a cancel."""
        if not self.is_open:
            raise PermitRefused("this process may no longer send")

    def extend(self, deadline: int) -> None:
        """Let this process send until a moment of its monotonic clock, in nanoseconds."""
        self._deadline = deadline

    def close(self) -> None:
        """Let nothing more leave."""
        self._deadline = 0

    def hear(self, states: TradingStates) -> None:
        """Take in the trading states, with effect on everything not yet written.

        Those of an earlier moment than the last ones are passed over.
        """
        if (epoch := states.epoch) < self._epoch:
            return
        self._epoch, self._states = epoch, states
        self._is_any_set = any(
            row.state is not TradingState.ACTIVE for row in states.current.values()
        )

    def halt(self, by: str) -> None:
        """Let no NEW or REPLACE leave this process, whatever the states say, until `resume`."""
        self._halted_by = by

    def resume(self) -> None:
        """Go by the trading states again."""
        self._halted_by = None

    def permit(self, subject: Subject, approved_under: TradingState) -> OrderPermit:
        """Give leave to send what was approved under a trading state, while none is stricter."""
        return OrderPermit(self, subject, approved_under)

    def check_state(self, subject: Subject, approved_under: TradingState) -> None:
        """Raise PermitRefused if some scope of an order forbids what was approved."""
        if self._halted_by is not None:
            raise PermitRefused(f"trading is {TradingState.HALTED} by {self._halted_by}")
        state = self._states.over(subject) if self._is_any_set else TradingState.ACTIVE
        if state.strictness > approved_under.strictness or state is TradingState.HALTED:
            raise PermitRefused(f"trading is {state} for this order")


@dataclass(frozen=True, slots=True)
class OrderPermit:
    """Leave to send one command of one order."""

    permits: Permits
    subject: Subject
    approved_under: TradingState

    def check(self) -> None:
        """Raise PermitRefused if the gate has closed since the approval."""
        self.permits.check_open()
        self.permits.check_state(self.subject, self.approved_under)
