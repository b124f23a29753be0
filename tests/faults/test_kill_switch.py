"""One halt, under load from four processes: what it has acknowledged holds at the exchange."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.faults.evidence import traded
from tests.faults.house import Gateway, House
from tests.faults.load import FAR
from tests.faults.services import until
from tests.gateway.client import Client
from tests.gateway.documents import PLACE
from trading.ids import WireID

pytestmark = pytest.mark.faults

KILL = """
mutation($input: SetTradingStateInput!) { setTradingState(input: $input) {
  __typename
  ... on TradingStateSet { acknowledgement {
    confirmed unconfirmed inFlightCount workingCount inFlight { id } working { id } } }
} }
"""
RESTING = {
    "accountId": "equity",
    "side": "BUY",
    "ordType": "LIMIT",
    "orderQty": "1",
    "timeInForce": "GOOD_TILL_CANCEL",
}
STATES = "{ tradingStates { scopeKind state action cleanAt } }"
EVERYTHING = {"tenantId": "demo"}
AT_MOST = 3000

WORKING = 300
"""Orders accepted before the halt: more than the account's limit of open orders was at first."""


class Hammer(threading.Thread):
    """Places resting orders at one gateway as fast as that answers, until it is told to end."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(name=name)
        self._client, self._is_over = client, threading.Event()
        self.statuses: list[str] = []
        self.defect: Exception | None = None

    def run(self) -> None:
        try:
            for number in range(AT_MOST):
                if self._is_over.is_set():
                    return
                self._place(number)
        except Exception as defect:  # noqa: BLE001 - a thread's failure must fail the test
            self.defect = defect

    def _place(self, number: int) -> None:
        symbol = list(FAR)[number % len(FAR)]
        named = {"clOrdId": f"{self.name}-{number}", "symbol": symbol, "price": str(FAR[symbol])}
        order: Any = RESTING | named
        try:
            answer = self._client.answer(PLACE, input=order, waitFor="COMMIT")
        except httpx2.TransportError:
            return
        if "errors" not in answer:
            self.statuses.append(answer["data"]["placeOrder"]["ordStatus"])

    def end(self) -> None:
        self._is_over.set()
        self.join(60)
        assert not self.is_alive()
        assert self.defect is None, self.defect


@contextmanager
def hammering(house: House, gateways: list[Gateway]) -> Iterator[list[Hammer]]:
    hammers = [
        Hammer(house.client(gateway), f"h{at}-{number}")
        for at, gateway in enumerate(gateways)
        for number in range(2)
    ]
    for hammer in hammers:
        hammer.start()
    try:
        yield hammers
    finally:
        for hammer in hammers:
            hammer.end()


def at_exchange(house: House) -> set[WireID]:
    return set(traded(house.journal).asked)


def placed(hammers: list[Hammer]) -> int:
    return sum(len(hammer.statuses) for hammer in hammers)


def refused(hammers: list[Hammer]) -> int:
    return sum(hammer.statuses.count("REJECTED") for hammer in hammers)


@pytest.mark.parametrize("owner_is", ["alive", "frozen"])
def test_nothing_appears_after_the_acknowledgement_that_it_did_not_list(
    house: House, owner_is: str
) -> None:
    gateways = [house.start() for _ in range(4)]
    house.fenced(1)
    house.loosen(gateways[-1], "MAX_OPEN_ORDERS", "100000")
    for symbol, price in FAR.items():
        house.priced(gateways[-1], RESTING | {"symbol": symbol, "price": str(price)})
    [owner] = [each for each in gateways if "this process owns" in each.log.read_text()]
    [*others] = [each for each in gateways if each is not owner]
    officer = house.client(others[-1], "risk_officer")

    with hammering(house, gateways if owner_is == "alive" else others) as hammers:
        until(lambda: placed(hammers) > WORKING and len(at_exchange(house)) > WORKING // 2)
        assert refused(hammers) < placed(hammers) // 10
        if owner_is == "frozen":
            owner.signal(signal.SIGSTOP)
            owner.stopped()
        halt = {
            "scope": EVERYTHING,
            "state": "HALTED",
            "action": "CANCEL_ORDERS",
            "reason": "a drill under load",
        }
        told = officer.data(KILL, input=halt)
        before = at_exchange(house)
        counted = placed(hammers)
        if owner_is == "frozen":
            owner.signal(signal.SIGCONT)
        until(lambda: placed(hammers) > counted + 20)

    acknowledgement = told["acknowledgement"]
    assert acknowledgement["unconfirmed"] == []
    assert acknowledgement["confirmed"] == ["paper"]
    case = house.balanced()
    listed = {order["id"] for order in acknowledgement["inFlight"]}
    assert len(listed) == acknowledgement["inFlightCount"]
    ids = {order.wire_id: order.id for order in case.records.orders}
    late = {ids[wire_id] for wire_id in at_exchange(house) - before}
    assert late <= listed
    # All that worked is canceled, and what came after was refused by us.
    until(lambda: not [o for o in house.quiet().market.ledger.orders.values() if o.is_open])
    assert all(hammer.statuses[-1] == "REJECTED" for hammer in hammers)
    until(lambda: officer.data(STATES)[0]["cleanAt"] is not None)
