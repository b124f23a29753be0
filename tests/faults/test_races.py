"""Clients in four processes race for what a limit admits: exactly that is admitted."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import batched
from typing import Any

import pytest

from tests.faults.house import Gateway, House
from tests.faults.services import until
from tests.gateway.client import Client

pytestmark = pytest.mark.faults

PROCESSES, CLIENTS = 4, 16

ORDERS = 10_000
"""Orders of each kind."""

# Far from the market and within the collar: these rest, and nothing of them is given back.
RESTING = {"side": "BUY", "ordType": "LIMIT", "timeInForce": "GOOD_TILL_CANCEL"}
STOCK = RESTING | {"symbol": "AAPL", "price": "222"}

LANES = 4
"""Requests that a client has under way at a time, so that each process has batches to judge."""

AT_A_TIME = 10
"""How many orders a request places, one after the other: few enough for the client's patience."""

PATIENCE = 100


def placing(count: int) -> str:
    numbers = range(count)
    variables = ", ".join(f"$o{number}: PlaceOrderInput!" for number in numbers)
    fields = " ".join(
        f"o{number}: placeOrder(input: $o{number}) {{ ... on Order {{ rejectedBy text }} }}"
        for number in numbers
    )
    return f"mutation({variables}) {{ {fields} }}"


def placed(client: Client, orders: Sequence[dict[str, Any]]) -> list[str]:
    """Place orders, and tell of each the code that it was refused with, or that it was admitted."""
    variables = {f"o{number}": order for number, order in enumerate(orders)}
    answer = client.answer(placing(len(orders)), **variables)
    assert "errors" not in answer, answer["errors"]
    found = (answer["data"][name] for name in variables)
    return [(each["rejectedBy"] and each["text"].split(":")[0]) or "admitted" for each in found]


class Race:
    """One kind of limit: an account of its own, its limits, and what exactly they admit."""

    def __init__(
        self,
        name: str,
        limits: dict[str, str],
        admitted: int,
        order: Callable[[int], dict[str, Any]],
        *,
        code: str,
        cash: str = "1000000",
    ) -> None:
        self.account, self.limits, self.admitted = f"race-{name}", limits, admitted
        self.order, self.code, self.cash = order, code, cash

    def run(self, clients: Sequence[Client], count: int) -> Counter[str]:
        """Have each client place its share of the orders, all at the same time."""
        lanes = [*clients] * LANES
        start, outcomes = threading.Barrier(len(lanes)), Counter[str]()
        lock, failures = threading.Lock(), list[BaseException]()

        def place(mine: range, client: Client) -> None:
            found = Counter[str]()
            try:
                start.wait()
                for some in batched(mine, AT_A_TIME):
                    found.update(self.judged(some, client))
            except BaseException as failure:  # noqa: BLE001 - a thread's failure must fail the test
                failures.append(failure)
            with lock:
                outcomes.update(found)

        threads = [
            threading.Thread(target=place, args=(range(number, count, len(lanes)), client))
            for number, client in enumerate(lanes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        return outcomes

    def judged(self, numbers: Sequence[int], client: Client) -> Counter[str]:
        """Place orders until the limits have judged them: a price may be late on a busy machine."""
        outcomes, waiting = Counter[str](), list(numbers)
        for attempt in range(PATIENCE):
            orders = [
                self.order(number)
                | {"accountId": self.account, "clOrdId": f"racer-{number}-{attempt}"}
                for number in waiting
            ]
            codes = dict(zip(waiting, placed(client, orders), strict=True))
            waiting = [number for number, code in codes.items() if code.startswith("REFERENCE")]
            outcomes.update(code for code in codes.values() if not code.startswith("REFERENCE"))
            if not waiting:
                return outcomes
        raise AssertionError(f"no price for {waiting}")


ONE_IN = 99
"""Of how many orders one fits what limits each by itself: odd, so that every client has some."""


def now_and_then(fits: str, beyond: str) -> Callable[[int], dict[str, Any]]:
    return lambda number: STOCK | {"orderQty": beyond if number % ONE_IN else fits}


def races() -> list[Race]:
    """Name the kinds; those of one order alone tell each order apart, the others add them up."""
    of_order = -(-ORDERS // ONE_IN)
    return [
        Race(
            "open-orders",
            {"MAX_OPEN_ORDERS": "100"},
            100,
            lambda _: STOCK | {"orderQty": "1"},
            code="TOO_MANY_OPEN_ORDERS",
        ),
        Race(
            "position",
            {"MAX_POSITION_QTY": "301"},
            100,
            lambda _: STOCK | {"orderQty": "3"},
            code="POSITION_LIMIT",
        ),
        Race(
            "quantity",
            {"MAX_ORDER_QTY": "4"},
            of_order,
            now_and_then("4", "5"),
            code="QTY_EXCEEDS_MAX",
        ),
        Race(
            "notional",
            {"MAX_ORDER_NOTIONAL": "888"},
            of_order,
            now_and_then("4", "5"),
            code="NOTIONAL_EXCEEDS_MAX",
        ),
        # Of the million, less what must remain, each order reserves 22,200.
        Race(
            "buying-power",
            {"MIN_BUYING_POWER": "1000"},
            (1_000_000 - 1_000) // 22_200,
            lambda _: STOCK | {"orderQty": "100"},
            code="INSUFFICIENT_BUYING_POWER",
        ),
    ]


FUTURE = """
{ instrument(symbol: "ESZ6") { initialMargin tick } quotes(symbols: ["ESZ6"]) { bid } }
"""


def _quoted(client: Client) -> Any:
    found = client.answer(FUTURE)["data"]
    return found["quotes"] and found


def margin_race(client: Client) -> Race:
    """Of the cash, each contract takes its initial margin, whatever its price."""
    found = until(lambda: _quoted(client))
    tick, bid = Decimal(found["instrument"]["tick"]), Decimal(found["quotes"][0]["bid"])
    price = str((bid * Decimal("0.97") // tick) * tick)
    admitted = int(Decimal(1_000_000) // Decimal(found["instrument"]["initialMargin"]))
    return Race(
        "margin",
        {"MAX_POSITION_QTY": str(admitted * 10)},
        admitted,
        lambda _: RESTING | {"symbol": "ESZ6", "price": price, "orderQty": "1"},
        code="INSUFFICIENT_BUYING_POWER",
    )


def limited(house: House, gateway: Gateway, race: Race) -> None:
    for name, value in race.limits.items():
        answer = house.limit(gateway, name, value, race.account)
        assert answer["__typename"] == "LimitsSet", answer


def test_exactly_what_a_limit_admits_is_admitted(house: House) -> None:
    for name in ("open-orders", "position", "quantity", "notional", "buying-power", "margin"):
        house.add_account(f"race-{name}", cash="1000000")
    gateways = [house.start(), *(house.start("api") for _ in range(PROCESSES - 1))]
    clients = [house.client(gateways[number % PROCESSES]) for number in range(CLIENTS)]
    found = [*races(), margin_race(clients[0])]

    for race in found:
        limited(house, gateways[0], race)
        outcomes = race.run(clients, ORDERS)

        assert outcomes["admitted"] == race.admitted, (race.account, outcomes)
        assert set(outcomes) == {"admitted", race.code}, (race.account, outcomes)
        assert outcomes.total() == ORDERS
    case = house.balanced()
    admitted = sum(race.admitted for race in found)
    assert sum(order.is_open for order in case.market.ledger.orders.values()) == admitted


def test_after_a_tightening_is_acknowledged_nothing_is_admitted_by_the_limit_before(
    house: House,
) -> None:
    """One process is told, and others place as fast as they can meanwhile."""
    house.add_account("raced", cash="1000000")
    gateways = [house.start(), house.start("api")]
    clients = [house.client(gateways[number % 2]) for number in range(8)]
    house.priced(gateways[0], STOCK | {"accountId": "raced", "orderQty": "1"})
    started, done = threading.Event(), threading.Event()
    outcomes: list[tuple[bool, bool]] = []

    def place(number: int, client: Client) -> None:
        for turn in range(100):
            asked_after = done.is_set()
            ids = {"accountId": "raced", "clOrdId": f"{number}-{turn}", "orderQty": "1"}
            [code] = placed(client, [STOCK | ids])
            outcomes.append((asked_after, code == "admitted"))
            if turn == 5:
                started.set()

    threads = [threading.Thread(target=place, args=each) for each in enumerate(clients)]
    for thread in threads:
        thread.start()
    assert started.wait(60)
    answer = house.limit(gateways[0], "MAX_ORDER_QTY", "0", "raced")
    # What the acknowledgement found recorded is all that there will ever be.
    counted = house.query(ADMITTED)[0]["count"]
    done.set()
    for thread in threads:
        thread.join()

    assert answer["__typename"] == "LimitsSet"
    assert 0 < counted == house.query(ADMITTED)[0]["count"]
    assert (True, True) not in outcomes
    assert {(False, True), (True, False)} <= set(outcomes)
    house.balanced()
    # Whichever process decided, and by which of the two versions: each decision is its inputs'.
    decided = house.query("SELECT count(*) AS count FROM decisions")[0]["count"]
    assert f"{decided} decisions" in house.command("risk", "replay")


ADMITTED = (
    "SELECT count(*) AS count FROM orders WHERE account_id = 'raced' AND status <> 'REJECTED'"
)
