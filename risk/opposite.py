"""What else is open in an instrument: orders of the same owner that an order could trade with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trading.account import Account
from trading.books import Books
from trading.ids import AccountID, OrderID
from trading.order import Order, Resting, Side
from trading.quantity import Px


class Opposite(NamedTuple):
    """The best order on the other side, if any; `is_unpriced` where it could trade at any price."""

    order_id: OrderID | None = None
    px: Px | None = None
    is_unpriced: bool = False


NONE = Opposite()


def opposite(books: Books, order: Order, account: Account) -> Opposite:
    """Find the order of the same owner on the other side that is the likeliest to trade with one.

    A market or stop order comes first, then the best price.
    """
    best: Resting | None = None
    for account_id in _of_owner(books, account):
        for each in books.resting.get((account_id, order.symbol), {}).values():
            if each.side is not order.side and (best is None or _is_likelier(each, best)):
                best = each
    return NONE if best is None else Opposite(best.order_id, best.px, best.px is None)


def in_doubt_side(books: Books, order: Order) -> int:
    """Count the account's other orders on this side of the instrument that are in doubt."""
    mine = books.resting.get((order.account_id, order.symbol), {}).values()
    return sum(
        each.in_doubt and each.side is order.side and each.order_id != order.id for each in mine
    )


def _of_owner(books: Books, account: Account) -> Iterable[AccountID]:
    if account.owner is None:
        return (account.id,)
    return [each for each, owner in books.owners.items() if owner == account.owner]


def _is_likelier(one: Resting, other: Resting) -> bool:
    if one.px is None or other.px is None:
        return other.px is not None
    return one.px < other.px if one.side is Side.SELL else one.px > other.px
