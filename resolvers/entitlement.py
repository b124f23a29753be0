"""What callers may see: a foreign account gets the answer of one that does not exist."""

from trading.ids import AccountID
from trading.outcome import NotFound
from trading.permission import Principal


def visible(principal: Principal, account_id: str) -> AccountID:
    """Return the id of an account that the caller may see. Raises NotFound."""
    known = AccountID(account_id)
    if not principal.may_read(known):
        raise NotFound(f"accountId: there is no account {account_id!r} that you may see")
    return known
