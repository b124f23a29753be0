"""Which of the user's accounts at Tradovate are which of ours: one log-in serves several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brokers.tradovate.fence import check_account
from brokers.tradovate.messages import TradovateAccount
from trading.ids import AccountID
from trading.ports import Environment, Rejected, Unauthorized

type Wanted = Mapping[AccountID, str | None]
"""Our accounts by the names of theirs; None is the only one that there is."""


class Accounts:
    """The accounts that may be traded, by our ids and by theirs."""

    def __init__(
        self, wanted: Wanted, listed: Sequence[TradovateAccount], environment: Environment
    ) -> None:
        """Find each of ours among those that Tradovate lists.

        Raises Unauthorized for one that is not there, closed, or of another environment.
        """
        self.theirs = {ours: _found(ours, name, listed) for ours, name in wanted.items()}
        self.ours = {account.id: ours for ours, account in self.theirs.items()}
        if len(self.ours) < len(self.theirs):
            raise Unauthorized("two of our accounts are the same one at Tradovate: say one of them")
        for account in self.theirs.values():
            check_account(account.name, environment)
            if not account.is_open:
                raise Unauthorized(f"Tradovate's account {account.name} cannot trade: it is closed")

    def of(self, account_id: AccountID) -> TradovateAccount:
        """Return the account at Tradovate. Raises Rejected for one that is not served here."""
        if (found := self.theirs.get(account_id)) is None:
            served = ", ".join(sorted(self.theirs))
            raise Rejected(
                f"this log-in at Tradovate trades the accounts {served}, not {account_id}"
            )
        return found


def _found(
    ours: AccountID, name: str | None, listed: Sequence[TradovateAccount]
) -> TradovateAccount:
    if name is None and len(listed) == 1:
        return listed[0]
    for each in listed:
        if each.name == name:
            return each
    known = ", ".join(sorted(each.name for each in listed)) or "none"
    what = "it is not said which one" if name is None else f"there is no {name}, which"
    raise Unauthorized(
        f"{what} the account {ours} is at Tradovate, where the user has {known}: say {ours}=NAME"
    )
