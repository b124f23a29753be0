"""Orders on a market that stands still, and proof that nothing else has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from tests.gateway.client import Client

NUMBERS = count(1)
ALL = """
{ accounts { id cash lastSeq openOrders tradingState positions { symbol netQty asOfSeq } } }
"""
ORDERS = """
query($accountId: ID!) { orders(accountId: $accountId, first: 100) {
  nodes { id clOrdId ordStatus orderQty price lastSeq }
} }
"""


def fresh(word: str) -> str:
    """Return a ClOrdID that nothing here has used."""
    return f"{word}-{next(NUMBERS)}"


def terms(**changes: Any) -> dict[str, Any]:
    """Return an order that would rest, with these changes; None takes a field out."""
    order = {
        "accountId": "equity",
        "clOrdId": fresh("order"),
        "symbol": "AAPL",
        "side": "BUY",
        "ordType": "LIMIT",
        "orderQty": "10",
        "price": "229.00",
    } | changes
    return {name: value for name, value in order.items() if value is not None}


def state(client: Client) -> Any:
    accounts = client.data(ALL)
    return accounts, [client.data(ORDERS, accountId=each["id"]) for each in accounts]


@contextmanager
def unchanged(*clients: Client) -> Iterator[None]:
    """See that no account, position, order or report is other than before."""
    before = [state(client) for client in clients]
    yield
    assert [state(client) for client in clients] == before


def is_free(trader: Client, cl_ord_id: str) -> None:
    """Prove that a ClOrdID was not consumed, by using it."""
    order = trader.placed(**terms(clOrdId=cl_ord_id))
    assert (order["clOrdId"], order["ordStatus"]) == (cl_ord_id, "NEW")


def resting(trader: Client, **changes: Any) -> Any:
    order = trader.placed(**terms(**changes))
    assert order["ordStatus"] == "NEW"
    return order
