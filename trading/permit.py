"""Permits: the last word on whether a NEW or REPLACE may leave, just before its first byte."""

from __future__ import annotations

from dataclasses import dataclass

from trading.account import TradingState
from trading.ids import AccountID
from trading.ports import PermitRefused


class Permits:
    """The trading states of accounts as this process last heard them, and whether it may send."""

    def __init__(self) -> None:
        """Begin with no word of any account: the state under which an order was approved holds."""
        self._states: dict[AccountID, TradingState] = {}
        self.is_open = True
        """False once this process has fenced itself off: then nothing more is sent."""

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
        if not self.permits.is_open:
            raise PermitRefused("this process may no longer send")
        state = self.permits.state(self.account_id, self.approved_under)
        if state.strictness > self.approved_under.strictness or state is TradingState.HALTED:
            raise PermitRefused(f"the account is {state}")
