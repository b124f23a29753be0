"""Permits: the last word on whether a NEW or REPLACE may leave, just before its first byte."""

from __future__ import annotations

from dataclasses import dataclass

from trading.account import TradingState
from trading.ids import AccountID
from trading.ports import Clock, PermitRefused


class Permits:
    """Whether this process may send, and the trading states of accounts as it last heard them.

    It may send until a deadline, which its lease pushes on: a process that was stopped for long
    and goes on finds it passed, before it can have heard of anything.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin closed, and with no word of any account."""
        self._clock = clock
        self._deadline = 0
        self._states: dict[AccountID, TradingState] = {}

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

    def hear(self, account_id: AccountID, state: TradingState) -> None:
        """Take in an account's trading state, with effect on everything not yet written."""
        self._states[account_id] = state

    def permit(self, account_id: AccountID, approved_under: TradingState) -> AccountPermit:
        """Give leave to send what was approved under a trading state, while none is stricter."""
        return AccountPermit(self, account_id, approved_under)

    def state(self, account_id: AccountID, default: TradingState) -> TradingState:
        """Return the state last heard of, or the one given."""
        return self._states.get(account_id, default)


@dataclass(frozen=True, slots=True)
class AccountPermit:
    """Leave to send one command of one account."""

    permits: Permits
    account_id: AccountID
    approved_under: TradingState

    def check(self) -> None:
        """Raise PermitRefused if the gate has closed since the approval."""
        self.permits.check_open()
        state = self.permits.state(self.account_id, self.approved_under)
        if state.strictness > self.approved_under.strictness or state is TradingState.HALTED:
            raise PermitRefused(f"the account is {state}")
