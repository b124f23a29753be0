"""A day in the life of a futures account at Tradovate, with quotes that were recorded of the ES.

Four minutes of them are the day, a bit slower than they were. In it tokens are renewed, a penalty
is served, the maintenance window comes and goes, and another log-in ends the session; at its end
the books of the gateway and of the broker agree to the cent and the contract.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.brokers.test_recorded_quotes import ES, RECORDED
from tests.faults.services import database, found
from tests.gateway.client import Client, eventually
from tests.gateway.documents import CANCEL_ALL, PLACE, QUOTES
from tests.gateway.process import running
from tests.gateway.simulator import simulated
from tests.gateway.test_tour import below, fresh, quote
from tests.gateway.tokens import minted

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.quotes,
    pytest.mark.skipif(not (RECORDED / ES).is_file(), reason="no recorded quotes on this machine"),
]

D = Decimal
SYMBOL, TICK = "ESU4", D("0.25")
ACCOUNT = "futures"
THEIRS = 1000001
TOKEN_S = 45
RETURN_S = 60
SPEED = 0.7
"""Slow enough for all that happens, and so that no pause in the recording makes a price stale."""

WARNING = timedelta(seconds=30)
WINDOW = timedelta(minutes=1)
PENALTY = {"kind": "rate_limit", "operation": "submit", "nth": 3, "retry_after_ms": 1500}


class Tradovate:
    """The user at a screen of Tradovate's own, who sees what the broker truly has."""

    def __init__(self, url: str, credentials: Path) -> None:
        names = ("name", "password", "cid", "sec")
        self._login = {name: (credentials / name).read_text().strip() for name in names}
        self._http = httpx2.Client(base_url=f"{url}/v1/", trust_env=False)

    def close(self) -> None:
        self._http.close()

    def log_in(self) -> None:
        answer = self._http.post("auth/accesstokenrequest", json=self._login).json()
        self._http.headers["authorization"] = f"Bearer {answer['accessToken']}"

    def asked(self, path: str) -> Any:
        response = self._http.get(path)
        assert response.status_code == 200, response.text
        return json.loads(response.text, parse_float=Decimal)

    def of_account(self, kind: str) -> Any:
        return self.asked(f"{kind}/deps?masterid={THEIRS}")


@dataclass(frozen=True, slots=True)
class Day:
    """The gateway's client, the user at the broker's screen, and when the broker is shut."""

    trader: Client
    tradovate: Tradovate
    shuts_at: datetime
    data: Path

    def wire(self) -> list[Any]:
        """Read what went over the wire."""
        return [
            json.loads(line) for line in (self.data / "tradovate.jsonl").read_text().splitlines()
        ]

    def heard(self, word: str) -> int:
        """Count lines of the wire with a word."""
        return sum(word in json.dumps(line) for line in self.wire())


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    """Run a simulator and a gateway, which know when the broker will be shut."""
    (tmp_path / "faults.json").write_text(json.dumps({"faults": [PENALTY]}))
    shuts_at = (datetime.now(UTC) + WARNING).replace(second=0, microsecond=0) + WINDOW
    opens_at = shuts_at + WINDOW
    with (
        found() as services,
        database(services.postgres) as database_url,
        simulated(
            "tradovate",
            tmp_path,
            *("--quotes", RECORDED / ES, "--speed", SPEED, "--faults", tmp_path / "faults.json"),
            *("--token-life", TOKEN_S, "--maintenance", f"{shuts_at:%H:%M}-{opens_at:%H:%M}"),
        ) as url,
        running(
            tmp_path / "data",
            broker="tradovate",
            broker_url=url,
            broker_credentials=str(tmp_path / "simulator" / "credentials"),
            broker_account=f"{ACCOUNT}=SIM1000001",
            broker_maintenance=f"{_of_week(shuts_at)}-{_of_week(opens_at)}",
            symbols=SYMBOL,
            database_url=database_url,
            amqp_url=services.amqp,
            redis_url=services.redis,
        ) as gateway,
        Client(gateway.url, minted(gateway.data, "trader")) as trader,
        closing(Tradovate(url, tmp_path / "simulator" / "credentials")) as tradovate,
    ):
        yield Day(trader, tradovate, shuts_at, gateway.data)


def _of_week(moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo('America/Chicago')):%a %H:%M}"


def terms(**changes: Any) -> dict[str, str]:
    order = {
        "accountId": ACCOUNT,
        "clOrdId": fresh("day"),
        "symbol": SYMBOL,
        "side": "BUY",
        "ordType": "MARKET",
        "orderQty": "2",
    }
    return order | {name: str(value) for name, value in changes.items()}


def limit(px: Decimal, **changes: Any) -> dict[str, str]:
    return terms(ordType="LIMIT", price=px, **changes)


def at_last(is_so: Callable[[], bool]) -> None:
    """Wait for what comes back in its own time: doubts are asked about less and less often."""
    deadline = time.monotonic() + RETURN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def wait_until(moment: datetime) -> None:
    time.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0))


def test_a_day_in_the_life_of_a_futures_account(day: Day) -> None:
    bought = day.trader.finished(day.trader.placed(**terms())["id"])
    assert (bought["ordStatus"], bought["cumQty"]) == ("FILLED", "2")
    filled_in_parts(day)
    resting = rests_after_a_penalty(day)
    works_on(day)
    shut_and_open(day, resting)
    thrown_out(day)
    agree(day)

    closed(day)
    agree(day)
    assert day.heard("renewaccesstoken") > 0


def filled_in_parts(day: Day) -> None:
    """Take more than is shown at once, ask for more, and leave what is not there."""
    trader = day.trader
    _, ask = quote(trader, SYMBOL)
    order = trader.placed(**limit(ask, orderQty=40))
    part = trader.until(order["id"], lambda each: Decimal(each["cumQty"]) > 0)
    assert part["ordStatus"] == "PARTIALLY_FILLED"
    more = {"accountId": ACCOUNT, "orderQty": "45", "price": str(ask)}
    trader.replace(fresh("day"), order["clOrdId"], **more)
    replaced = trader.until(order["id"], lambda each: each["orderQty"] == "45")
    assert Decimal(replaced["cumQty"]) >= Decimal(part["cumQty"])
    trader.until(order["id"], lambda each: len(each["fills"]) > 1)
    canceled = trader.cancel(fresh("day"), replaced["clOrdId"], ACCOUNT)
    done = trader.finished(order["id"])
    # All of it may have traded before the cancel came.
    assert canceled["__typename"] == "Order" or done["ordStatus"] == "FILLED", canceled


def rests_after_a_penalty(day: Day) -> Any:
    """Place an order that is turned away with a ticket, and is taken with it."""
    order = day.trader.placed(**limit(below(day.trader, SYMBOL)))
    assert order["ordStatus"] == "NEW"
    assert day.heard("p-ticket") > 1, "the ticket is given, and shown"
    return order


def works_on(day: Day) -> None:
    """Offer some a little above the market, which may come while the broker is shut."""
    _, ask = quote(day.trader, SYMBOL)
    day.trader.placed(**limit(ask + TICK, side="SELL", orderQty=5))


def shut_and_open(day: Day, resting: Any) -> None:
    """Order and cancel while the broker is shut: one is refused in time, and the other waits."""
    trader = day.trader
    assert datetime.now(UTC) < day.shuts_at, "the morning took too long"
    wait_until(day.shuts_at + timedelta(seconds=2))
    sent = day.heard("placeorder")
    [before] = trader.data(QUOTES, symbols=[SYMBOL])
    late = trader.data(PLACE, input=terms(), waitFor="COMMIT")
    assert late["ordStatus"] == "PENDING_NEW"
    trader.cancel(fresh("day"), resting["clOrdId"], ACCOUNT)
    wait_until(day.shuts_at + WINDOW - timedelta(seconds=2))
    refused = trader.order(late["id"])
    assert (refused["ordStatus"], refused["ordRejReason"]) == ("REJECTED", "STALE_ORDER")
    assert trader.order(resting["id"])["isOpen"]
    assert day.heard("placeorder") == sent, "nothing leaves while the broker is shut"

    at_last(lambda: trader.order(resting["id"])["ordStatus"] == "CANCELED")
    at_last(lambda: trader.data(QUOTES, symbols=[SYMBOL]) != [before])


def thrown_out(day: Day) -> None:
    """Log in elsewhere, twice: the gateway's session is the oldest, and it comes back."""
    for _ in range(2):
        day.tradovate.log_in()
    eventually(lambda: day.heard("ConnectionQuotaReached"), bool)
    order = day.trader.placed(**terms())
    assert day.trader.finished(order["id"])["ordStatus"] == "FILLED"


def closed(day: Day) -> None:
    """Cancel what rests, and sell all that is held."""
    held = day.trader.data(CANCEL_ALL, input={"accountId": ACCOUNT, "clOrdId": fresh("day")})
    assert held["__typename"] == "OrderMassCancelReport"
    for each in held["orders"]:
        day.trader.finished(each["id"])
    [held] = day.trader.account(ACCOUNT)["positions"]
    order = day.trader.placed(**terms(side="SELL", orderQty=held["netQty"]))
    assert day.trader.finished(order["id"])["ordStatus"] == "FILLED"
    assert day.tradovate.of_account("position")[0]["netPos"] == 0


def agree(day: Day) -> None:
    """See that both books have the same fills, position and cash, and each order once."""
    eventually(lambda: differences(day), lambda found: not found)
    labels = [each["clOrdId"] for each in new_orders(day)]
    assert len(labels) == len(set(labels))


def new_orders(day: Day) -> list[Any]:
    return [each for each in day.tradovate.asked("command/list") if each["commandType"] == "New"]


def differences(day: Day) -> list[tuple[Any, Any]]:
    """Pair what the gateway has with what the broker truly has, where they differ."""
    account, reports = day.trader.account(ACCOUNT), day.trader.reports(ACCOUNT)
    trades = [each for each in reports if each.get("execType") == "TRADE"]
    sent = {each["orderId"] for each in reports if each.get("execType") == "NEW"}
    ours = sorted((each["side"], D(each["lastQty"]), D(each["lastPx"])) for each in trades)
    theirs = sorted(
        (each["action"].upper(), D(each["qty"]), D(each["price"]))
        for each in day.tradovate.asked("fill/list")
    )
    [cash] = day.tradovate.of_account("cashBalance")
    [position] = day.tradovate.of_account("position")
    pairs = [
        (ours, theirs),
        (sum(D(each["netQty"]) for each in account["positions"]), D(position["netPos"])),
        (len(sent), len(new_orders(day))),
    ]
    if not position["netPos"]:
        # Gains are the same by whatever lots, once none is left.
        pairs.append((D(account["cash"]), D(cash["amount"])))
    return [pair for pair in pairs if pair[0] != pair[1]]
