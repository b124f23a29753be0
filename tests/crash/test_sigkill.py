"""A gateway that is killed in the middle of its work loses nothing that it has acknowledged."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from brokers.paper.codec import decode
from brokers.paper.ledger import Ledger
from brokers.paper.messages import NewOrder
from persistence.opening import store_file
from persistence.sqlite import SqliteDatabase
from tests.faults.checker import gathered, unrest, violations
from tests.gateway.client import Client, eventually
from tests.gateway.documents import CANCEL, CANCEL_ALL, FIND_BY_CL_ORD_ID, PLACE
from tests.gateway.process import STOP_S, complaints, running, started
from tests.gateway.tokens import minted
from trading.ids import WireID
from trading.quantity import use_exact_arithmetic

pytestmark = pytest.mark.crash

ALONE = (sys.executable, "-m", "tests.crash.entry")
"""A gateway in which nothing but recovery settles what was under way."""

ROUNDS = 6
TRADERS = 4
OPEN_MAX = 40
ACKNOWLEDGED_MIN = 30
CASH = Decimal(1_000_000)
# Within the collar, and further from the market than it strays in a minute: these rest until they
# are canceled, or a market order here finds too little at the quote.
FAR = {"AAPL": ("222.00", "238.00"), "MSFT": ("415.00", "445.00")}
WORKING = """
query($after: String) { orders(accountId: "equity", first: 100, after: $after) {
  nodes { id clOrdId secondaryOrderId ordType ordStatus isOpen inDoubt cumQty rejectedBy
          fills { execId lastQty } }
  pageInfo { hasNextPage endCursor }
} }
"""


@dataclass(slots=True)
class Promises:
    """What clients were told and what they could not know, over all rounds."""

    lock: threading.Condition = field(default_factory=threading.Condition)
    orders: dict[str, str] = field(default_factory=dict)
    """ClOrdIDs of acknowledged orders, and their OrderIDs."""
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    resting: list[str] = field(default_factory=list)
    cancels: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    unknown: list[dict[str, Any]] = field(default_factory=list)
    """Orders whose answer was lost: to be sent again as they were."""

    def acknowledge(self, body: dict[str, Any], order: Any) -> None:
        with self.lock:
            known = self.orders.setdefault(body["clOrdId"], order["id"])
            assert known == order["id"]
            self.bodies[body["clOrdId"]] = body
            if order["isOpen"] and body["ordType"] == "LIMIT":
                self.resting.append(body["clOrdId"])
            self.lock.notify_all()

    def wait_for(self, count: int) -> None:
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.orders) >= count, timeout=30)


class Trader(threading.Thread):
    """Places orders and cancels some, until its gateway is gone."""

    def __init__(self, client: Client, promises: Promises, name: str, random: Random) -> None:
        """Take the book of promises that it shares with the others."""
        super().__init__(name=name)
        self.client, self.promises, self.random = client, promises, random
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            self.place_again()
            for number in range(100_000):
                self.place(self.order(f"{self.name}-{number}"))
                if self.random.random() < 0.3:
                    self.cancel(f"{self.name}-cancel-{number}")
        except httpx2.TransportError:
            pass  # the gateway was killed, as it was meant to be
        except BaseException as defect:  # noqa: BLE001 - a thread's failure must fail the test
            self.defect = defect

    def place_again(self) -> None:
        """Settle what the last round left open, by the same ClOrdIDs."""
        while True:
            with self.promises.lock:
                if not self.promises.unknown:
                    return
                body = self.promises.unknown.pop()
            self.place(body)

    def place(self, body: dict[str, Any]) -> None:
        wait_for = self.random.choice(["COMMIT", "BROKER"])
        try:
            order = self.client.data(PLACE, input=body, waitFor=wait_for)
        except httpx2.TransportError:
            with self.promises.lock:
                self.promises.unknown.append(body)
            raise
        assert order["__typename"] == "Order", order
        self.promises.acknowledge(body, order)

    def cancel(self, cl_ord_id: str) -> None:
        with self.promises.lock:
            resting = self.promises.resting
            if len(resting) < OPEN_MAX / 2:
                return
            target = resting.pop(self.random.randrange(len(resting)))
        body = {
            "accountId": "equity",
            "clOrdId": cl_ord_id,
            "target": {"origClOrdId": target},
        }
        answer = self.client.data(CANCEL, input=body)
        with self.promises.lock:
            self.promises.cancels.append((answer["__typename"], body))

    def order(self, cl_ord_id: str) -> dict[str, Any]:
        symbol = self.random.choice(sorted(FAR))
        side = self.random.choice(["BUY", "SELL"])
        order = {
            "accountId": "equity",
            "clOrdId": cl_ord_id,
            "symbol": symbol,
            "side": side,
            "ordType": "MARKET",
            "orderQty": str(self.random.randint(1, 20)),
        }
        if len(self.promises.resting) < OPEN_MAX and self.random.random() < 0.5:
            price = FAR[symbol][side == "SELL"]
            order |= {"ordType": "LIMIT", "price": price, "timeInForce": "GOOD_TILL_CANCEL"}
        return order


def killed_at_work(data: Path, promises: Promises, number: int, random: Random) -> None:
    """Have traders work on a gateway, and kill it when some more orders were acknowledged."""
    with started(data, program=ALONE) as gateway:
        clients = [Client(gateway.url, minted(data)) for _ in range(TRADERS)]
        traders = [
            Trader(client, promises, f"round{number}-{n}", Random(random.random()))
            for n, client in enumerate(clients)
        ]
        for trader in traders:
            trader.start()
        promises.wait_for(len(promises.orders) + random.randint(ACKNOWLEDGED_MIN, 120))
        gateway.kill()
        for trader, client in zip(traders, clients, strict=True):
            trader.join()
            client.close()
        assert [trader.defect for trader in traders] == [None] * TRADERS


def all_orders(client: Client) -> list[Any]:
    found, after = [], None
    while True:
        page = client.data(WORKING, after=after)
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


def moves(order: Any) -> bool:
    """Say whether an order may still change by itself: no quote reaches the limit orders here."""
    if order["inDoubt"] or order["ordStatus"].startswith("PENDING_"):
        return True
    return bool(order["isOpen"] and order["ordType"] == "MARKET")


def at_rest(client: Client) -> list[Any]:
    """Return all orders once none of them moves any more."""
    return eventually(lambda: all_orders(client), lambda found: not any(map(moves, found)))


def books_balance(client: Client) -> None:
    """See that reports are 1..n, fills are cumQty are positions, and cash is exact."""
    reports, account = client.reports(), client.account()
    assert [int(report["seq"]) for report in reports] == list(range(1, len(reports) + 1))
    assert int(account["lastSeq"]) == len(reports)

    traded: dict[str, Decimal] = defaultdict(Decimal)
    net: dict[str, Decimal] = defaultdict(Decimal)
    cash = CASH
    for report in reports:
        if report["__typename"] == "ExecutionReport" and report["execType"] == "TRADE":
            qty = Decimal(report["lastQty"])
            signed = qty if report["side"] == "BUY" else -qty
            traded[report["orderId"]] += qty
            net[report["symbol"]] += signed
            cash -= signed * Decimal(report["lastPx"])
    for order in all_orders(client):
        fills = {fill["execId"]: Decimal(fill["lastQty"]) for fill in order["fills"]}
        assert len(fills) == len(order["fills"])
        assert sum(fills.values()) == Decimal(order["cumQty"]) == traded[order["id"]]
    held = {p["symbol"]: Decimal(p["netQty"]) for p in account["positions"]}
    assert {s: q for s, q in held.items() if q} == {s: q for s, q in net.items() if q}
    assert Decimal(account["cash"]) == cash


def journal(data: Path) -> Ledger:
    """Fold the exchange's journal, which refuses a wire id that came twice."""
    ledger = Ledger()
    _, *lines = (data / "paper.journal").read_bytes().splitlines()
    for line in lines:
        ledger.restore(decode(line))
    return ledger


def wire_ids(data: Path) -> dict[str, str]:
    """Read which order has which wire id, which no client is told."""
    with closing(sqlite3.connect(data / "store.sqlite3")) as store:
        return dict(store.execute("select id, wire_id from orders").fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A gateway that runs on what the killed ones left."""

    client: Client
    data: Path
    promises: Promises


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recovered]:
    data, promises, random = tmp_path_factory.mktemp("crash") / "data", Promises(), Random(7)
    for number in range(ROUNDS):
        killed_at_work(data, promises, number, random)
    with (
        running(data, program=ALONE) as gateway,
        Client(gateway.url, minted(data)) as client,
    ):
        Trader(client, promises, "last", Random(1)).place_again()
        at_rest(client)
        yield Recovered(client=client, data=data, promises=promises)


def test_every_acknowledged_order_is_there(recovered: Recovered) -> None:
    promised = recovered.promises.orders
    found = {order["id"] for order in all_orders(recovered.client)}

    assert len(promised) >= ROUNDS * ACKNOWLEDGED_MIN
    assert set(promised.values()) == found
    for cl_ord_id, order_id in promised.items():
        order = recovered.client.data(FIND_BY_CL_ORD_ID, accountId="equity", clOrdId=cl_ord_id)
        assert order["id"] == order_id


def test_a_repeated_cl_ord_id_is_the_same_command(recovered: Recovered) -> None:
    client, promises = recovered.client, recovered.promises
    before = client.account()["lastSeq"]

    for cl_ord_id, body in promises.bodies.items():
        again = client.data(PLACE, input=body, waitFor="COMMIT")
        assert again["id"] == promises.orders[cl_ord_id]
    for kind, body in promises.cancels:
        # A cancel that was accepted and then came too late was answered by its refusal the first
        # time; what is repeated is the decision.
        again = client.data(CANCEL, input=body, waitFor="COMMIT")
        assert again["__typename"] in {kind, "Order"}
    assert client.account()["lastSeq"] == before


def test_reports_fills_positions_and_cash_agree(recovered: Recovered) -> None:
    books_balance(recovered.client)


def test_the_exchange_has_one_order_for_each_of_ours(recovered: Recovered) -> None:
    ledger, wires = journal(recovered.data), wire_ids(recovered.data)
    asked = Counter(r.wire_id for r in ledger.requests.values() if isinstance(r, NewOrder))

    assert set(asked) == set(ledger.orders) <= set(wires.values())
    assert set(asked.values()) == {1}
    for order in at_rest(recovered.client):
        theirs = ledger.orders.get(WireID(wires[order["id"]]))
        if theirs is None:
            # It never left: withheld by us, or canceled before it was sent after a restart.
            assert order["rejectedBy"] == "GATEWAY" or order["ordStatus"] == "CANCELED"
            assert Decimal(order["cumQty"]) == 0
            continue
        assert theirs.order_id == order["secondaryOrderId"]
        assert theirs.cum_qty == Decimal(order["cumQty"])
        assert theirs.is_open == order["isOpen"]


def test_what_rests_at_the_exchange_can_be_canceled(recovered: Recovered) -> None:
    client = recovered.client
    working = {order["id"] for order in at_rest(client) if order["isOpen"]}
    assert working

    report = client.data(CANCEL_ALL, input={"accountId": "equity", "clOrdId": "the-end"})
    assert {order["id"] for order in report["orders"]} == working
    for order_id in working:
        assert client.finished(order_id)["ordStatus"] == "CANCELED"
    assert not [order for order in journal(recovered.data).orders.values() if order.is_open]
    books_balance(client)


async def test_both_sides_agree_on_everything_that_they_have_written(recovered: Recovered) -> None:
    url, journal_file = f"sqlite:///{store_file(recovered.data)}", recovered.data / "paper.journal"
    use_exact_arithmetic()
    async with asyncio.timeout(60):
        while list(unrest(case := await gathered(url, journal_file))):
            recovered.client.account()  # a round trip to the gateway, which is still publishing
    assert violations(case) == []


async def test_the_writer_of_such_a_store_waits_for_the_disk(recovered: Recovered) -> None:
    """A kill does not show whether a commit is on the disk, since the machine lives on."""
    database = SqliteDatabase(recovered.data / "store.sqlite3")
    try:
        synchronous = await database.write(
            lambda connection: connection.bare.exec_driver_sql("PRAGMA synchronous").scalar_one()
        )
    finally:
        await database.close()
    assert synchronous == 2  # FULL


def test_what_was_about_to_be_sent_is_settled_by_the_start_alone(tmp_path: Path) -> None:
    """The exchange knows nothing of it, so no report will ever come of itself."""
    data = tmp_path / "data"
    order = {"accountId": "equity", "symbol": "AAPL", "side": "BUY", "orderQty": "1"}
    resting = order | {"ordType": "LIMIT", "price": "222", "timeInForce": "GOOD_TILL_CANCEL"}
    with (
        started(data, program=(*ALONE, "--kill-at-submit", 3)) as gateway,
        Client(gateway.url, minted(data)) as client,
    ):
        for name in ("order-0", "order-1"):
            client.place(**resting, clOrdId=name)
        with pytest.raises(httpx2.TransportError):
            client.place(**resting, clOrdId="order-2")
        assert gateway.process.wait(STOP_S) == -signal.SIGKILL
    assert sent(data) == ["order-2"]

    with (
        running(data, program=ALONE) as gateway,
        Client(gateway.url, minted(data)) as client,
    ):
        [last] = [each for each in at_rest(client) if each["clOrdId"] == "order-2"]
        doubts = [each["ordStatus"] for each in client.reports() if each.get("inDoubt")]
    assert sent(data) == []
    assert (last["ordStatus"], doubts) == ("NEW", ["PENDING_NEW"])


def sent(data: Path) -> list[str]:
    """Read which commands are sent, and not answered yet."""
    with closing(sqlite3.connect(data / "store.sqlite3")) as store:
        rows = store.execute("select cl_ord_id from commands where state = 'SENT'").fetchall()
    return [row[0] for row in rows]


def test_recovery_leaves_nothing_worse_than_a_warning_behind(recovered: Recovered) -> None:
    assert complaints(recovered.data.with_name("data.log")) == []
