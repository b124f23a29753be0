"""Monitors over a thousand accounts that all trade: one wrong ledger is found, and no other."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import batched, count

import pytest

from brokers.quotes.simulated import SimulatedQuotes
from gateway.system import SystemClock
from persistence.account import Tenant
from persistence.directory import User
from persistence.opening import open_postgresql
from persistence.seed import seed, standard_limits
from tests.events.services import BOUND_S
from tests.faults.house import House
from tests.faults.services import until
from tests.faults.test_races import placed
from tests.gateway.client import Client
from trading.account import Account
from trading.ids import AccountID, TenantID, UserID
from trading.instrument import Catalogue
from trading.limits import Limit
from trading.permission import Entitlement
from trading.ports import Environment

pytestmark = pytest.mark.faults

CROWD = TenantID("crowd")
ACCOUNTS = [AccountID(f"crowd-{number:04}") for number in range(1000)]
WRONG, *TRADING = ACCOUNTS
AT_A_TIME = 10
ORDER = {"symbol": "AAPL", "ordType": "MARKET", "orderQty": "1"}


def account(account_id: AccountID) -> Account:
    return Account(
        id=account_id,
        tenant_id=CROWD,
        name=account_id,
        currency="USD",
        broker="paper",
        cash=Decimal(1_000_000),
    )


def limits_in_common() -> list[Limit]:
    of_one = standard_limits(WRONG)
    scopes = [replace(each.scope, account_id=None, tenant_id=CROWD) for each in of_one]
    return [replace(each, scope=scope) for each, scope in zip(of_one, scopes, strict=True)]


def trader() -> User:
    accounts = dict.fromkeys(ACCOUNTS, Entitlement.TRADE)
    return User(id=UserID("crowd"), tenant_id=CROWD, name="Crowd", role="trader", accounts=accounts)


async def add_crowd(url: str) -> None:
    """Fill a fresh store, also with the accounts of a tenant that has its limits in common."""
    clock = SystemClock()
    catalogue = Catalogue(SimulatedQuotes(clock, 1).instruments)
    store = await open_postgresql(
        url, environment=Environment.SIM, catalogue=catalogue, clock=clock, version="test"
    )
    try:
        await seed(store, "paper")
        tenant = Tenant(id=CROWD, name="Crowd")
        everyone = map(account, ACCOUNTS)
        await store.accounts.add_tenant(tenant, [*everyone], limits_in_common(), [trader()])
    finally:
        await store.close()


@contextmanager
def trading(clients: Sequence[Client]) -> Iterator[None]:
    """Have each client buy and sell in its share of the accounts, in turn, until the end."""
    is_over, numbers, failures = threading.Event(), count(), list[BaseException]()

    def trade(client: Client, mine: Sequence[AccountID]) -> None:
        try:
            for turn in count():
                side = {"side": "SELL" if turn % 2 else "BUY"}
                for some in batched(mine, AT_A_TIME):
                    if is_over.is_set():
                        return
                    ids = [{"accountId": each, "clOrdId": f"{next(numbers)}"} for each in some]
                    placed(client, [ORDER | side | each for each in ids])
        except BaseException as failure:  # noqa: BLE001 - a thread's failure must fail the test
            failures.append(failure)

    shares = [TRADING[number :: len(clients)] for number in range(len(clients))]
    both = zip(clients, shares, strict=True)
    threads = [threading.Thread(target=trade, args=each) for each in both]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def test_one_wrong_ledger_among_a_thousand_accounts_that_trade_is_found(house: House) -> None:
    asyncio.run(add_crowd(house.database_url))
    gateways = [house.start(), house.start("api")]
    house.fenced(1)
    clients = [house.client(gateways[number % 2], "crowd") for number in range(8)]
    house.priced(gateways[0], ORDER | {"side": "BUY", "accountId": "equity"})
    first = ORDER | {"side": "BUY", "accountId": WRONG, "clOrdId": "first"}
    assert placed(clients[0], [first]) == ["admitted"]

    with trading(clients):
        until(lambda: house.query(TRADED)[0]["count"] == len(ACCOUNTS), 2 * BOUND_S)
        house.query(f"UPDATE positions SET net_qty = net_qty + 1 WHERE account_id = '{WRONG}'")
        until(lambda: any(WHY in each["detail"] for each in house.query(BREAKS)))

    # The broker's own position, which is compared more rarely, may tell of the same.
    assert {each["account_id"] for each in house.query(BREAKS)} == {WRONG}
    assert [tuple(each.values()) for each in house.query(HELD)] == [(WRONG, "REDUCING")]


WHY = "EXPOSURE: symbol=AAPL@XNAS net_qty=2 recomputed=1"
BREAKS = "SELECT account_id, detail FROM breaks"
TRADED = "SELECT count(DISTINCT account_id) AS count FROM fills"
HELD = "SELECT id, trading_state FROM accounts WHERE trading_state <> 'ACTIVE'"
