"""Two processes race for the last units of a limit: exactly what it admits is admitted."""

import threading
from collections import Counter
from typing import Any

import pytest

from tests.faults.house import House
from tests.gateway.client import Client
from tests.gateway.documents import PLACE

pytestmark = pytest.mark.faults

RACERS = 12
RESTING = {
    "accountId": "equity",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "LIMIT",
    "price": "222",
    "timeInForce": "GOOD_TILL_CANCEL",
}


def raced(clients: list[Client], order_qty: str) -> Counter[str]:
    """Have as many clients as there are place an order each at the same moment."""
    start, outcomes = threading.Barrier(len(clients)), Counter[str]()

    def place(number: int, client: Client) -> None:
        start.wait()
        order: Any = {**RESTING, "clOrdId": f"racer-{number}", "orderQty": order_qty}
        placed = client.data(PLACE, input=order, waitFor="COMMIT")
        outcomes[placed["rejectedBy"] or "admitted"] += 1

    threads = [
        threading.Thread(target=place, args=(number, client))
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize(
    ("limit", "value", "order_qty", "admitted"),
    [
        ("MAX_OPEN_ORDERS", 5, "1", 5),
        ("MAX_POSITION_QTY", 50, "10", 5),
        # Of the million that the account has, each order reserves 222,000.
        ("MIN_BUYING_POWER", 0, "1000", 4),
    ],
)
def test_no_more_is_admitted_than_the_limit_has(
    house: House, limit: str, value: int, order_qty: str, admitted: int
) -> None:
    gateways = [house.start(), house.start("api")]
    assert house.limit(gateways[0], limit, str(value))["__typename"] == "LimitsSet"
    house.priced(gateways[0], {**RESTING, "orderQty": "1"})
    clients = [house.client(gateways[number % 2]) for number in range(RACERS)]

    outcomes = raced(clients, order_qty)

    assert outcomes == {"admitted": admitted, "GATEWAY": RACERS - admitted}
    case = house.balanced()
    assert sum(order.is_open for order in case.market.ledger.orders.values()) == admitted
